"""An entry as one flat row, for tables: pandas and Polars make columns of one type each of a list of them.

So every row has the same keys, no value is missing, and the operation, of which no two need be alike, is text.
"""

from __future__ import annotations

from typing import TypedDict

import orjson

from muse.core.entry.model import OpEntry, kind_of


class EntryRow(TypedDict):
    """The nine fields of an entry and the kind of its operation; further keys of a line are left out."""

    op_id: str
    """The operation's identity."""
    actor_id: str
    """Who did it."""
    lamport_ts: int
    """Logical time."""
    parent_op_ids: list[str]
    """What it depends on."""
    domain: str
    """Which domain it belongs to."""
    kind: str
    """The value of `op` in the operation, "untyped" if it has none."""
    domain_op: str
    """The operation as JSON text."""
    created_at: str
    """As it was written: it is text that any program may have made, and orders nothing."""
    intent_id: str
    """Coordination linkage; "" if none."""
    reservation_id: str
    """Coordination linkage; "" if none."""


def entry_row(entry: OpEntry) -> EntryRow:
    """The row of an entry."""
    return {
        "op_id": entry["op_id"],
        "actor_id": entry["actor_id"],
        "lamport_ts": entry["lamport_ts"],
        "parent_op_ids": entry["parent_op_ids"],
        "domain": entry["domain"],
        "kind": kind_of(entry["domain_op"]),
        "domain_op": orjson.dumps(entry["domain_op"]).decode(),
        "created_at": entry["created_at"],
        "intent_id": entry["intent_id"],
        "reservation_id": entry["reservation_id"],
    }
