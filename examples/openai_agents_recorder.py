"""Every tool call of agents of the OpenAI Agents SDK as an operation of a session, by way of its tracing.

    pip install openai-agents
    python examples/openai_agents_recorder.py [FOLDER]

Copy the class `Recorder`. The SDK tells a processor in the thread of the event loop, which it must not block: so one
thread records, in the order in which calls ended. Call `force_flush` before you count on what was recorded. The op_id
comes from the span's id: a span that is told twice is recorded once.

The example's model is a script, so that it needs no network and no key.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_trace_processors
from agents.tracing import AgentSpanData, FunctionSpanData, Span, Trace, TracingProcessor
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from muse.core.op_log import MuseError, OpLog, op_id_of

SESSION = "agents"

_log = logging.getLogger(__name__)


class Recorder(TracingProcessor):
    """Records each finished tool call: the actor is the agent that called, its parent the agent's call before."""

    def __init__(self, log: OpLog) -> None:
        """`log` is closed by the caller, after `shutdown`."""
        self._op_log = log
        self._thread = ThreadPoolExecutor(1)
        self._spans: dict[str, tuple[str | None, str]] = {}
        self._last: dict[str, str] = {}
        self._waiting: set[Future[None]] = set()

    def on_span_start(self, span: Span[Any]) -> None:
        """Remember where in the tree of spans it is, and which agent it is."""
        name = span.span_data.name if isinstance(span.span_data, AgentSpanData) else ""
        self._spans[span.span_id] = (span.parent_id, name)

    def on_span_end(self, span: Span[Any]) -> None:
        """Hand a tool call to the thread that records."""
        data = span.span_data
        if isinstance(data, FunctionSpanData):
            result = {"error": str(span.error)} if span.error else {"output": str(data.output)}
            op = {"op": "call", "address": data.name, "input": data.input, **result}
            future = self._thread.submit(self._record, self._agent(span.parent_id), op, span.span_id)
            self._waiting.add(future)
            future.add_done_callback(self._waiting.discard)
        self._spans.pop(span.span_id, None)

    def _agent(self, span_id: str | None) -> str:
        """The nearest agent around a span."""
        while span_id in self._spans:
            span_id, name = self._spans[span_id]
            if name:
                return name
        return "agent"

    def _record(self, actor: str, op: dict[str, Any], span_id: str) -> None:
        before = [self._last[actor]] if actor in self._last else []
        try:
            entry = self._op_log.record(actor, "tools", op, op_id=op_id_of(f"span/{span_id}"), parent_op_ids=before)
        except (MuseError, OSError) as error:
            # The agent has gone on long since.
            _log.error("a call of %s was not recorded: %s", op["address"], error)
        else:
            self._last[actor] = entry["op_id"]

    def on_trace_start(self, trace: Trace) -> None:
        """Nothing to do."""

    def on_trace_end(self, trace: Trace) -> None:
        """Nothing to do."""

    def force_flush(self) -> None:
        """Return when all that was told is recorded."""
        wait(set(self._waiting))

    def shutdown(self) -> None:
        """Record what was told, and end the thread."""
        self._thread.shutdown()


@function_tool
def louder(text: str) -> str:
    """Say it louder."""
    return text.upper()


class Script(Model):
    """A model that calls the tool once, and then says what it got."""

    async def get_response(self, *_arguments: Any, **told: Any) -> ModelResponse:
        """Answer as a model would."""
        given = told["input"]
        if isinstance(given, str) or len(given) == 1:
            text = given if isinstance(given, str) else given[0]["content"]
            call = f'{{"text": "{text}"}}'
            answer: Any = ResponseFunctionToolCall(arguments=call, call_id="c1", name="louder", type="function_call")
        else:
            said = ResponseOutputText(annotations=[], text=str(given[-1]["output"]), type="output_text")
            answer = ResponseOutputMessage(id="m", content=[said], role="assistant", status="completed", type="message")
        return ModelResponse(output=[answer], usage=Usage(), response_id=None)

    def stream_response(self, *_arguments: Any, **_more: Any) -> AsyncIterator[Any]:
        """The example does not stream."""
        raise NotImplementedError


def main(folder: Path) -> None:
    """Let two agents work, and print what the log has of it."""
    with OpLog(folder, SESSION) as log:
        recorder = Recorder(log)
        set_trace_processors([recorder])
        try:
            for name in ("drafter", "reviewer"):
                Runner.run_sync(Agent(name=name, model=Script(), tools=[louder]), f"hello from {name}")
        finally:
            recorder.shutdown()
        for entry in log:
            op = entry["domain_op"]
            print(f"{entry['actor_id']}: {op['address']} {op['input']} -> {op.get('output', op.get('error'))}")


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary))
