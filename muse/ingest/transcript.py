"""What transcripts of agents have in common: a line becomes a chain of operations, and a result knows its call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from muse.ingest.draft import Draft, Json, content, summary


class Part(NamedTuple):
    """One operation of a line."""

    actor_id: str
    domain: str
    operation: Json
    parents: Sequence[str] = ()
    """Keys of what it depends on beside the operation before it."""


@dataclass(slots=True)
class Call:
    """A tool call that waits for its result."""

    key: str
    actor_id: str
    tool: str
    address: str
    """What it is about."""
    given: Any
    """The input of the tool."""


class Transcript:
    """What a mapper of one transcript keeps from line to line."""

    waits_for_parents = False

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()
        self._calls: dict[str, Call] = {}

    def _begin(self, call_id: object, call: Call, told: str) -> Part:
        """The operation of a call, which is remembered until its result comes."""
        self._calls[str(call_id)] = call
        operation = {"op": "call", "address": call.address, "tool": call.tool, "content_summary": summary(told)}
        return Part(call.actor_id, "tools", operation)

    def _end(self, call_id: object) -> Call | None:
        """The call of a result, once; None if the file does not have it."""
        return self._calls.pop(str(call_id), None)


def result(call: Call | None, text: str, *, failed: bool) -> Part:
    """The operation of a result that is nothing else."""
    about = {"address": call.address, "tool": call.tool} if call else {}
    return Part(
        "tools", "tools", {"op": "result", **about, "is_error": failed, **content(text)}, [call.key] if call else []
    )


def chain(key: str, parts: Iterable[Part], parents: list[str], time: str, intent_id: str) -> list[Draft]:
    """A draft for each part of a line with this key: the first depends on `parents`, each further one on the last."""
    made: list[Draft] = []
    for part in parts:
        own = f"{key}/{len(made)}" if made else key
        after = [made[-1].key] if made else parents
        after = [*after, *(each for each in part.parents if each not in after)]
        made.append(Draft(own, part.actor_id, part.domain, part.operation, time, after, intent_id))
    return made
