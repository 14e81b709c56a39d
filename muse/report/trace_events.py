"""A session in the Trace Event Format, for Perfetto's viewer and chrome://tracing.

Each lane is a thread, each op shown a slice, each link between lanes a flow arrow, and each commit or checkpoint an
instant event in a thread of their own. Time is wall time in microseconds since the first op. If an op has no valid
time, it is Lamport time instead, one step a millisecond. Like the page, a large session is a sample; its counter counts
every op.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from muse.report.gathering.gather import Gathered
from muse.report.gathering.shown_op import ShownOp, microseconds
from muse.report.limits import NAME_LETTERS
from muse.report.text import brief

_PID = 0
"""No thread has this number: Perfetto's viewer calls the one that has the number of its process its main thread."""
_MARKS = -1
"""Where a lane would be that holds the commits and the checkpoint: above all others."""
_LONGEST_US = 1_000
"""The longest slice: an op has no duration, and one of none could not be clicked."""

Event = dict[str, Any]


def trace_events(gathered: Gathered) -> str:
    """Return the session as the text of a JSON file."""
    return orjson.dumps(_Trace(gathered).whole()).decode() + "\n"


class _Trace:
    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._by_wall_time = all(op.time_us is not None for op in gathered.ops)
        first_us = microseconds(gathered.stats.wall_time.first_created_at or "") or 0
        self._start = first_us if self._by_wall_time else gathered.stats.min_lamport_ts * 1_000
        self._times = {op.op_id: self._since_start(op.time_us, op.lamport_ts) or 0 for op in gathered.ops}
        self._skipped = 0

    def whole(self) -> dict[str, Any]:
        gathered = self._gathered
        events = [*self._names(), *self._slices(), *self._arrows(), *self._instants(), *self._counts()]
        return {
            "traceEvents": events,
            "displayTimeUnit": "ms",
            "otherData": {
                "session": brief(gathered.stats.session_id),
                "ops": gathered.stats.ops,
                "ops_shown": len(gathered.ops),
                "clock": "wall time" if self._by_wall_time else "Lamport time, one step a millisecond",
                "arrows_left_out": self._skipped,
            },
        }

    def _event(self, phase: str, name: str, lane: int, **more: Any) -> Event:
        return {"ph": phase, "name": name, "pid": _PID, "tid": lane + 2, **more}

    def _since_start(self, time_us: int | None, lamport_ts: int) -> int | None:
        at = time_us if self._by_wall_time else lamport_ts * 1_000
        return None if at is None else max(at - self._start, 0)

    def _names(self) -> Iterator[Event]:
        yield self._event("M", "process_name", 0, args={"name": brief(self._gathered.stats.session_id)})
        for lane, name in enumerate(["commits and checkpoint", *self._gathered.lanes.labels("actors")], start=_MARKS):
            yield self._event("M", "thread_name", lane, args={"name": name})
            yield self._event("M", "thread_sort_index", lane, args={"sort_index": lane})

    def _slices(self) -> Iterator[Event]:
        """A slice for each op, lane by lane; in a lane no two overlap, because a viewer would nest them."""
        lanes: list[list[ShownOp]] = [[] for _ in range(len(self._gathered.lanes))]
        for op in self._gathered.ops:
            lanes[self._gathered.lanes.of(op.actor_id)].append(op)
        for lane, ops in enumerate(lanes):
            ops.sort(key=lambda op: (self._times[op.op_id], op.arrival))
            free = 0
            for op in ops:
                self._times[op.op_id] = max(self._times[op.op_id], free)
                free = self._times[op.op_id] + 1
            ends = [self._times[op.op_id] for op in ops[1:]]
            for op, end in zip(ops, [*ends, _LONGEST_US + free], strict=False):
                at = self._times[op.op_id]
                more = {"cat": brief(op.domain, NAME_LETTERS), "ts": at, "dur": min(end - at, _LONGEST_US)}
                yield self._event("X", f"{op.kind} {op.address}".strip(), lane, **more, args=self._about(op))

    def _about(self, op: ShownOp) -> dict[str, Any]:
        commit = self._gathered.commits.number_of(op.arrival)
        about = {
            "op_id": op.op_id,
            "actor": brief(op.actor_id, NAME_LETTERS),
            "what": op.what,
            "lamport_ts": op.lamport_ts,
            "arrival": op.arrival,
            "created_at": op.created_at,
            "intent_id": op.intent_id,
            "reservation_id": op.reservation_id,
            "commit": self._gathered.commits.id_of(commit) if commit else "",
        }
        return {name: value for name, value in about.items() if value != ""}

    def _arrows(self) -> Iterator[Event]:
        """Two events for each link between lanes. A clock that goes wrong can't be drawn: arrows lead only onwards."""
        lanes, number = self._gathered.lanes, 0
        for parent, op in self._gathered.links():
            ends = lanes.of(parent.actor_id), lanes.of(op.actor_id)
            if ends[0] == ends[1]:
                continue
            if self._times[parent.op_id] > self._times[op.op_id]:
                self._skipped += 1
                continue
            number += 1
            common = {"cat": "dependence", "id": number}
            yield self._event("s", "depends", ends[0], ts=self._times[parent.op_id], **common)
            yield self._event("f", "depends", ends[1], ts=self._times[op.op_id], bp="e", **common)

    def _instants(self) -> Iterator[Event]:
        commits, mark = self._gathered.commits, self._gathered.stats.checkpoint
        marks = [
            ("commit", commits.id_of(number), made.created_at, commits.highest[number], made.ops)
            for number in commits.shown()
            for made in [commits.all[number - 1]]
        ]
        if mark is not None:
            name = brief(mark["snapshot_id"], NAME_LETTERS)
            marks.append(("checkpoint", name, mark["created_at"], mark["lamport_ts"], mark["op_count"]))
        for kind, name, created_at, lamport_ts, ops in marks:
            at = self._since_start(microseconds(created_at), lamport_ts)
            if at is not None:
                yield self._event("i", f"{kind} {name}", _MARKS, s="t", ts=at, args={"ops": ops})

    def _counts(self) -> Iterator[Event]:
        """How many ops were made in each bin of wall time: all of them, also those that are not shown."""
        time = self._gathered.stats.wall_time
        first = microseconds(time.bins_start or "")
        if first is not None and self._by_wall_time:
            for number, ops in enumerate((*time.bins, 0)):
                at = first + round(number * time.bin_width_s * 1_000_000)
                yield self._event("C", "ops", 0, ts=max(at - self._start, 0), args={"made": ops})
