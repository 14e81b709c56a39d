"""What of a log contradicts its own causality: parents that are missing, timestamps that can't be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from muse.core.entry.filter import END, Filter
from muse.core.index.query import Unit, links_in, matching, op_id_at, unit_at, units_between
from muse.core.index.store import Index
from muse.core.options import DEFAULT_MAX_LAMPORT_JUMP

Contradiction = tuple[str, int, int, str]
"""The kind of a finding, byte offset and length of the line that it is about, and what is wrong."""


def contradictions(index: Index) -> Iterator[Contradiction]:
    """All that is found in a log whose index this is; of each kind in the order of the lines."""
    highest = 0
    for unit in units_between(index, 0, END):
        stamps = unit.lamport_ts
        timestamps = {unit.first_offset + unit.offsets[line]: stamps[line] for line in matching(unit, Filter())}
        for at, lamport_ts in timestamps.items():
            if lamport_ts - highest > DEFAULT_MAX_LAMPORT_JUMP:
                reason = f"the timestamp {lamport_ts} of {_op_id(index, at)} is far above all before it, {highest}"
                yield "timestamp-far-above", at, _length(unit, at), reason
            highest = max(highest, lamport_ts)
        links, named = links_in(unit)
        there = index.offsets_of({op_id for _, op_id in named})
        for child, op_id in named:
            if op_id in there:
                links.append((child, there[op_id]))
            else:
                reason = f"{uuid.UUID(bytes=op_id)}, a parent of {_op_id(index, child)}, is not in the log"
                yield "missing-parent", child, _length(unit, child), reason
        for child, parent in sorted(links):
            lamport_ts = timestamps[parent] if parent in timestamps else _timestamp(index, parent)
            if lamport_ts >= timestamps[child]:
                above = f"{lamport_ts}, that of its parent {_op_id(index, parent)}"
                reason = f"the timestamp {timestamps[child]} of {_op_id(index, child)} is not above {above}"
                yield "timestamp-not-above-parent", child, _length(unit, child), reason


def _length(unit: Unit, at: int) -> int:
    return unit.length(unit.number_at(at))


def _op_id(index: Index, at: int) -> str:
    return str(uuid.UUID(bytes=op_id_at(index, at)))


def _timestamp(index: Index, at: int) -> int:
    unit = unit_at(index, at)
    return unit.timestamp(unit.number_at(at))
