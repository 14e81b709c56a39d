"""The part of an op that a report shows individually. Its size is limited, for an entry of any size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from muse.core.op_log import OpEntry, parse_time
from muse.describing import description
from muse.report.limits import MAX_PARENTS, NAME_LETTERS
from muse.report.text import brief

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ShownOp:
    """One op. Its texts are shortened and escaped, but `actor_id` and `domain` are complete, for look-ups."""

    op_id: str
    arrival: int
    """Its number in arrival order, from 1."""
    actor_id: str
    domain: str
    lamport_ts: int
    kind: str
    address: str
    what: str
    created_at: str
    time_us: int | None
    """When that was, in microseconds since 1970 in UTC; None if it is not a valid time."""
    intent_id: str
    reservation_id: str
    parents: tuple[str, ...]
    """The op_ids of the first few parents."""
    all_parents: int
    """The number of all parents."""
    pending: bool
    """Whether it arrived after the checkpoint."""


def microseconds(text: str) -> int | None:
    """The microseconds since 1970 in UTC of an ISO 8601 time; None if it is not one."""
    moment = parse_time(text)
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def milliseconds(text: str) -> int | None:
    """The milliseconds since 1970 in UTC of an ISO 8601 time; None if it is not one."""
    time_us = microseconds(text)
    return time_us and time_us // 1_000


def shown_op(entry: OpEntry, arrival: int, *, pending: bool) -> ShownOp:
    """Make the `ShownOp` of an entry."""
    op = entry["domain_op"]
    kind, address, what = description(op)
    parents = entry["parent_op_ids"]
    return ShownOp(
        entry["op_id"],
        arrival,
        entry["actor_id"],
        entry["domain"],
        entry["lamport_ts"],
        brief(kind, NAME_LETTERS) if isinstance(op.get("op"), str) else "untyped",
        brief(address),
        brief(what),
        brief(entry["created_at"], NAME_LETTERS),
        microseconds(entry["created_at"]),
        brief(entry["intent_id"], NAME_LETTERS),
        brief(entry["reservation_id"], NAME_LETTERS),
        tuple(parents[:MAX_PARENTS]),
        len(parents),
        pending,
    )
