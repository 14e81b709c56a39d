"""The tables, and the rows that an entry gives. docs/notebooks.md, "The database", describes the columns.

A column has one type, but a field of an operation may be any JSON value: what a column can't hold exactly is NULL
there, and stands in `domain_op`, the operation as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson

from muse.core.op_log import OpEntry

if TYPE_CHECKING:
    from sqlite_utils import Database

# Those of the operations of muse.domain.
_OP_FIELDS = {
    "address": str,
    "position": int,
    "content_id": str,
    "content_summary": str,
    "from_position": int,
    "to_position": int,
    "old_content_id": str,
    "new_content_id": str,
    "old_summary": str,
    "new_summary": str,
    "entity_id": str,
    "child_domain": str,
    "child_summary": str,
    "from_address": str,
}
_OP = {"kind": str, **_OP_FIELDS, "domain_op": str}
_TABLES: dict[str, dict[str, type]] = {
    "entry": {
        "arrival": int,
        "byte_offset": int,
        "length": int,
        "op_id": str,
        "actor_id": str,
        "lamport_ts": int,
        "parent_op_ids": str,
        "domain": str,
        "created_at": str,
        "intent_id": str,
        "reservation_id": str,
        "further_keys": str,
        **_OP,
        "op_text": str,
    },
    "child_op": {"arrival": int, "number": int, "parent_number": int, "depth": int, **_OP},
    "parent": {"child_op_id": str, "number": int, "parent_op_id": str},
    "passed_over": {"byte_offset": int, "length": int, "reason": str},
    "session": {
        "session_id": str,
        "exported_at": str,
        "op_count": int,
        "byte_offset": int,
        "passed_over_lines": int,
        "snapshot_id": str,
        "checkpoint_op_count": int,
        "checkpoint_created_at": str,
        "checkpoint_problem": str,
        "pending_from_byte": int,
    },
}
_MAY_BE_NULL = {*_OP_FIELDS, "further_keys"} | {
    name for name in _TABLES["session"] if name.startswith(("snapshot", "checkpoint", "pending"))
}
_PRIMARY_KEYS: dict[str, str | tuple[str, ...]] = {
    "entry": "arrival",
    "child_op": ("arrival", "number"),
    "parent": ("child_op_id", "number"),
    "passed_over": "byte_offset",
    "session": "session_id",
}
_INDEXES = (
    ("entry", ("actor_id",)),
    ("entry", ("domain",)),
    # The total order; it begins with the timestamp, so it finds that as well.
    ("entry", ("lamport_ts", "actor_id", "op_id")),
    ("entry", ("intent_id",)),
    ("entry", ("reservation_id",)),
    ("entry", ("created_at",)),
    ("entry", ("kind",)),
    ("entry", ("address",)),
    ("child_op", ("address",)),
    ("parent", ("parent_op_id",)),
)

_BATCH_ROWS = 1000
_BATCH_BYTES = 1 << 20


def create_tables(db: Database) -> None:
    """Create the tables, empty."""
    for name, columns in _TABLES.items():
        db.table(name).create(columns, pk=_PRIMARY_KEYS[name], not_null=set(columns) - _MAY_BE_NULL)


def create_indexes_and_views(db: Database) -> None:
    """Create what makes the tables quick and easy to ask; it is quicker after they are filled."""
    db.table("entry").create_index(("op_id",), unique=True)
    for table, columns in _INDEXES:
        db.table(table).create_index(columns)
    db.table("entry").enable_fts(("op_text",))
    op = ", ".join(_OP)
    db.create_view(
        "operation",
        f"select arrival, 0 as number, null as parent_number, 0 as depth, {op} from entry "  # noqa: S608 - constants
        f"union all select arrival, number, parent_number, depth, {op} from child_op",
    )
    db.create_view(
        "pending", "select entry.* from entry join session on entry.byte_offset >= session.pending_from_byte"
    )


class Rows:
    """Rows on their way into the tables, in batches of limited size: a row may be as large as a line of the log."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[str, list[list[Any]]] = {name: [] for name in _TABLES}
        self._number = 0
        self._size_bytes = 0

    def add(self, table: str, row: list[Any], size_bytes: int = 0) -> None:
        """Add a row; `size_bytes` is about what it takes."""
        self._waiting[table].append(row)
        self._number += 1
        self._size_bytes += size_bytes

    def flush_if_large(self) -> bool:
        """Write what is waiting if it is much; whether it was."""
        large = self._number >= _BATCH_ROWS or self._size_bytes >= _BATCH_BYTES
        if large:
            self.flush()
        return large

    def flush(self) -> None:
        """Write what is waiting."""
        for table, waiting in self._waiting.items():
            if waiting:
                self._db.table(table).insert_all([list(_TABLES[table]), *waiting], batch_size=_BATCH_ROWS)
                waiting.clear()
        self._number = self._size_bytes = 0


def add_entry(rows: Rows, arrival: int, entry: OpEntry, place: tuple[int, int]) -> None:
    """Add the rows of an entry: its own, and those of its parents and nested operations.

    Args:
        rows: where to.
        arrival: its number in arrival order, from 1.
        entry: the entry.
        place: byte offset and length of its line.
    """
    op, op_id, parents = entry["domain_op"], entry["op_id"], entry["parent_op_ids"]
    further = {key: value for key, value in entry.items() if key not in OpEntry.__annotations__}
    rows.add(
        "entry",
        [
            arrival,
            *place,
            op_id,
            entry["actor_id"],
            entry["lamport_ts"],
            _json(parents),
            entry["domain"],
            entry["created_at"],
            entry["intent_id"],
            entry["reservation_id"],
            _json(further) if further else None,
            *_op_row(op, op),
            "\n".join(_texts(op)),
        ],
        2 * place[1],
    )
    for number, parent in enumerate(parents):
        rows.add("parent", [op_id, number, parent])
    if "child_ops" in op:
        for number, parent_number, depth, child in _nested(op, count(1)):
            # Without its own children, which have rows of their own: else deep nesting would multiply the text.
            alone = {key: value for key, value in child.items() if key != "child_ops"}
            rows.add("child_op", [arrival, number, parent_number, depth, *_op_row(child, alone)])


def _op_row(op: Mapping[str, Any], as_json: Mapping[str, Any]) -> list[Any]:
    kind = op.get("op")
    fields = [_typed(op.get(name), wanted) for name, wanted in _OP_FIELDS.items()]
    return [kind if isinstance(kind, str) else "untyped", *fields, _json(as_json)]


def _typed(value: Any, wanted: type) -> Any:
    """The value if the column can hold it exactly, else None."""
    if wanted is int:
        # In the log an integer may be up to 2^64-1, in SQLite up to 2^63-1.
        return value if type(value) is int and value < 2**63 else None
    return value if isinstance(value, str) else None


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _texts(value: Any) -> Iterator[str]:
    """Every text in an operation, and the names of the fields that a `mutate` changes."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "fields" and isinstance(item, dict):
                yield from item
            yield from _texts(item)


def _nested(op: Mapping[str, Any], numbers: Iterator[int], own: int = 0, depth: int = 1) -> Iterator[tuple[Any, ...]]:
    """(number, number of the operation around it, depth, operation) of all below `op`, in the order they apply."""
    children = op.get("child_ops")
    for child in children if isinstance(children, list) else ():
        if isinstance(child, dict):
            number = next(numbers)
            yield number, own, depth, child
            yield from _nested(child, numbers, number, depth + 1)
