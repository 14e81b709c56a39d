"""Who touched a value: of each actor how often, when and how, the last one first.

    for touched in blame(log, "app.py"):
        print(touched.actor_id, touched.ops, touched.last["created_at"])

What an operation touched is told by one field of it, `address` as in `muse.domain` if no other is named. The log gives
it no meaning: it is found as `where` finds it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Unpack

from muse.core.op_log import EntryFilters, OpEntry, OpLog, kind_of


@dataclass
class Touched:
    """What one actor did to a value."""

    actor_id: str
    """Who."""
    first: OpEntry
    """The first operation, in total order."""
    last: OpEntry
    """The last one."""
    ops: int = 0
    """How many."""
    kinds: dict[str, int] = field(default_factory=dict)
    """How many of each kind."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def blame(log: OpLog, value: Any, *, field: str = "address", **filters: Unpack[EntryFilters]) -> list[Touched]:
    """Who touched a value.

    Args:
        log: the session.
        value: what was touched, compared exactly: text as a rule, else any JSON.
        field: path of the value in the operation.
        filters: those of `OpLog.query`, to leave operations out; a `where` holds as well.

    Returns:
        One for each actor, whoever was last in total order (lamport_ts, actor_id, op_id) first.
    """
    wanted: EntryFilters = {**filters, "where": {**(filters.get("where") or {}), field: value}}
    found: dict[str, Touched] = {}
    for entry in log.query(**wanted):
        touched = found.setdefault(entry["actor_id"], Touched(entry["actor_id"], entry, entry))
        touched.ops += 1
        kind = kind_of(entry["domain_op"])
        touched.kinds[kind] = touched.kinds.get(kind, 0) + 1
        touched.first = min(touched.first, entry, key=_place)
        touched.last = max(touched.last, entry, key=_place)
    return sorted(found.values(), key=lambda touched: _place(touched.last), reverse=True)


def _place(entry: OpEntry) -> tuple[int, str, str]:
    return entry["lamport_ts"], entry["actor_id"], entry["op_id"]
