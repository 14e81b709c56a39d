"""Every tool call of a LangGraph graph, or of anything of LangChain, as an operation of a session.

    pip install langgraph
    python examples/langgraph_recorder.py [FOLDER]

Copy the class `Recorder`: one handler for a graph, given in the config of a call. In asynchronous graphs LangChain
calls it in a thread, so that recording does not block the event loop. The op_id comes from the run's id: a call that
is told twice is recorded once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, TypedDict
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

from muse.core.op_log import OpLog, op_id_of

SESSION = "graph"


class Recorder(BaseCallbackHandler):
    """Records each finished tool call: the actor is the node of the graph, its parent the node's call before."""

    raise_error = True
    """A call that could not be recorded fails. With False, LangChain's default, it would only be logged."""

    def __init__(self, log: OpLog) -> None:
        """`log` may be shared with others."""
        self._log = log
        self._lock = Lock()
        self._running: dict[UUID, tuple[str, str, str]] = {}
        self._last: dict[str, str] = {}

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **_more: Any,
    ) -> None:
        """Remember what is called, and in which node."""
        actor = str((metadata or {}).get("langgraph_node", "langchain"))
        self._running[run_id] = (actor, str(serialized.get("name", "tool")), input_str)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_more: Any) -> None:
        """Record what came of it."""
        self._record(run_id, {"output": str(getattr(output, "content", output))})

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_more: Any) -> None:
        """Record that it failed."""
        self._record(run_id, {"error": repr(error)})

    def _record(self, run_id: UUID, result: dict[str, str]) -> None:
        actor, name, given = self._running.pop(run_id)
        # Calls of one node may end in several threads at once; each is to name the one before.
        with self._lock:
            before = [self._last[actor]] if actor in self._last else []
            op = {"op": "call", "address": name, "input": given, **result}
            entry = self._log.record(actor, "tools", op, op_id=op_id_of(f"tool/{run_id}"), parent_op_ids=before)
            self._last[actor] = entry["op_id"]


class Text(TypedDict):
    """The state of the graph."""

    text: str


@tool
def louder(text: str) -> str:
    """Say it louder."""
    return text.upper()


def main(folder: Path) -> None:
    """Run a graph of two nodes that call a tool, and print what the log has of it."""

    def draft(state: Text, config: RunnableConfig) -> Text:
        return {"text": louder.invoke({"text": state["text"]}, config)}

    def review(state: Text, config: RunnableConfig) -> Text:
        return {"text": louder.invoke({"text": state["text"] + "!"}, config)}

    graph = StateGraph(Text)
    graph.add_node("draft", draft)
    graph.add_node("review", review)
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "review")
    graph.add_edge("review", END)
    with OpLog(folder, SESSION) as log:
        graph.compile().invoke({"text": "hello"}, {"callbacks": [Recorder(log)]})
        for entry in log:
            op = entry["domain_op"]
            print(f"{entry['actor_id']}: {op['address']} {op['input']} -> {op.get('output', op.get('error'))}")


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary))
