"""The recorders in examples/ for frameworks of agents, with the real packages: `nox -s integrations` installs them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog
from tests import children, making, plain_scan


def needs(package: str) -> pytest.MarkDecorator:
    """Skip a test where a package is missing."""
    is_missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(is_missing, reason=f"needs {package}: nox -s integrations")


def calls(repo: Path, session: str) -> list[tuple[str, str, str]]:
    """Actor, input and what came of it, of each entry of a session in arrival order, by a plain scan."""
    found = plain_scan.scan_file(making.log_path(repo, session)).entries
    ops = [entry["domain_op"] for entry in found]
    return [
        (entry["actor_id"], op["input"], op.get("output") or op["error"]) for entry, op in zip(found, ops, strict=True)
    ]


def run_example(name: str, repo: Path) -> None:
    """Run an example as a process of its own, with warnings as errors and without a key."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    command = [sys.executable, "-W", "error", making.PROJECT / "examples" / name, repo]
    done = children.run(command, env={**environment, "PYTHONPATH": str(making.PROJECT)}, text=True)
    assert (done.stderr, done.returncode) == ("", 0)


@needs("langgraph")
@pytest.mark.process
def test_graph_records_the_calls_of_its_nodes(tmp_path: Path) -> None:
    """Each call is an entry of its node."""
    run_example("langgraph_recorder.py", tmp_path)

    assert calls(tmp_path, "graph") == [
        ("draft", "{'text': 'hello'}", "HELLO"),
        ("review", "{'text': 'HELLO!'}", "HELLO!"),
    ]


@needs("langgraph")
def test_graph_records_beside_the_event_loop_each_call_once_and_failures_too(repo: Path) -> None:
    """Twenty calls at once of one node: none is lost, each names the one before, and the loop's thread records none."""
    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import tool
    from langgraph.graph import END, START, StateGraph

    from examples.langgraph_recorder import Recorder, Text

    threads = set()

    class Watched(OpLog):
        def record(self, *arguments: Any, **options: Any) -> Any:
            threads.add(threading.get_ident())
            return super().record(*arguments, **options)

    @tool
    async def halve(number: int) -> int:
        """Half of an even number."""
        if number % 2:
            raise ValueError("odd")
        return number // 2

    async def node(state: Text, config: RunnableConfig) -> Text:
        tasks = [halve.ainvoke({"number": number}, config) for number in range(20)]
        await asyncio.gather(*tasks, return_exceptions=True)
        return state

    graph = StateGraph(Text)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    with Watched(repo, "graph") as log:
        asyncio.run(graph.compile().ainvoke({"text": ""}, {"callbacks": [Recorder(log)]}))

    assert sorted(calls(repo, "graph")) == sorted(
        ("node", str({"number": n}), "ValueError('odd')" if n % 2 else str(n // 2)) for n in range(20)
    )
    found = plain_scan.scan_file(making.log_path(repo, "graph")).entries
    op_ids = [entry["op_id"] for entry in found]
    assert [entry["parent_op_ids"] for entry in found] == [[], *([op_id] for op_id in op_ids[:-1])]
    assert threading.get_ident() not in threads


@needs("agents")
@pytest.mark.process
def test_agents_record_their_calls(tmp_path: Path) -> None:
    """Each call is an entry of the agent that made it."""
    run_example("openai_agents_recorder.py", tmp_path)

    assert calls(tmp_path, "agents") == [
        (name, f'{{"text": "hello from {name}"}}', f"HELLO FROM {name.upper()}") for name in ("drafter", "reviewer")
    ]


@needs("agents")
def test_agents_at_once_are_told_apart_and_a_span_told_twice_is_there_once(repo: Path) -> None:
    """Five agents in one event loop: all calls are there once after a flush, under the agent that made each."""
    from agents import Agent, Runner, set_trace_processors

    from examples.openai_agents_recorder import Recorder, Script, louder

    class Twice(Recorder):
        def on_span_end(self, span: Any) -> None:
            kept = dict(self._spans)
            super().on_span_end(span)
            self._spans = kept
            super().on_span_end(span)

    async def work() -> None:
        agents = [Agent(name=f"agent-{n}", model=Script(), tools=[louder]) for n in range(5)]
        await asyncio.gather(*(Runner.run(agent, f"hello from {agent.name}") for agent in agents))

    with OpLog(repo, "agents") as log:
        recorder = Twice(log)
        set_trace_processors([recorder])
        asyncio.run(work())
        recorder.force_flush()
        recorded = calls(repo, "agents")
        recorder.shutdown()
        set_trace_processors([])

    expected = [(f"agent-{n}", f'{{"text": "hello from agent-{n}"}}', f"HELLO FROM AGENT-{n}") for n in range(5)]
    assert sorted(recorded) == expected
    assert sorted(calls(repo, "agents")) == expected
