"""Rows for tables: all of one form, and what pandas and Polars make of them if they are installed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from muse.core.op_log import EntryRow, OpLog
from tests import making, plain_scan
from tests.making import entry, op_id

OPS: list[dict[str, Any]] = [
    {"op": "insert", "address": "note:1", "position": 3},
    {},
    {"op": None, "position": "3"},
    {"op": 7, "fields": {"é": [1, 2.5, None]}},
    {"op": "move", "from_position": 2**64 - 1},
]
COLUMNS = [
    *("op_id", "actor_id", "lamport_ts", "parent_op_ids", "domain", "kind", "domain_op"),
    *("created_at", "intent_id", "reservation_id"),
]


def fill(log: OpLog) -> None:
    """Two hundred roots, which libraries guess types by, and then operations of every form, with parents."""
    log.append_many([entry(number, domain_op=OPS[number % len(OPS)]) for number in range(1, 201)])
    for number in range(201, 301):
        parents = [op_id(number - 200), op_id(number - 100)][: number % 3]
        made = entry(number, domain_op=OPS[number % len(OPS)], parent_op_ids=parents, lamport_ts=2**53 - 400 + number)
        making.add_bytes(log.path, making.line({**made, "further": {"key": number}}))


def expected(log: OpLog) -> list[dict[str, Any]]:
    """The rows that the plain scan of the log makes, the operation as it was."""
    return [
        {
            **{name: found[name] for name in plain_scan.FIELDS},
            "kind": found["domain_op"]["op"] if isinstance(found["domain_op"].get("op"), str) else "untyped",
        }
        for found in plain_scan.scan_file(log.path).entries
    ]


def with_operation(row: EntryRow | dict[str, Any]) -> dict[str, Any]:
    """A row with the operation read from its text."""
    return {**row, "domain_op": json.loads(row["domain_op"])}


def test_rows_are_uniform_and_say_what_the_entries_say(log: OpLog) -> None:
    """Every row has the same columns, each column one type, and nothing of the nine fields is lost."""
    fill(log)
    rows = log.to_dicts()
    assert {tuple(row) for row in rows} == {tuple(COLUMNS)}
    kinds = {name: {type(value) for value in column} for name, column in zip(COLUMNS, zip_values(rows), strict=True)}
    assert kinds == {name: {str} for name in COLUMNS} | {"lamport_ts": {int}, "parent_op_ids": {list}}
    assert list(map(with_operation, rows)) == expected(log)


def zip_values(rows: list[EntryRow]) -> list[tuple[object, ...]]:
    """The columns of the rows."""
    return list(zip(*(row.values() for row in rows), strict=True))


def test_rows_are_those_of_the_query(log: OpLog) -> None:
    """Filters, limit, direction and checkpoint mean what they mean to `query`; an empty log has no rows."""
    assert log.to_dicts() == []
    fill(log)
    log.checkpoint("one")
    log.append(entry(999, domain="code"))
    for arguments in (
        {"actor_id": "ada", "limit": 7},
        {"reverse": True, "limit": 3},
        {"since_checkpoint": True},
        {"domain": "absent"},
    ):
        rows = log.to_dicts(**arguments)
        found = log.query(**arguments)
        assert [row["op_id"] for row in rows] == [each["op_id"] for each in found]


def test_pandas_takes_the_rows(log: OpLog) -> None:
    """A DataFrame of them has whole numbers as such, and gives the rows back."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: nox -s notebooks")
    fill(log)
    frame = pandas.DataFrame(log.to_dicts())
    assert str(frame["lamport_ts"].dtype) == "int64"
    assert list(map(with_operation, frame.to_dict("records"))) == expected(log)
    assert frame["kind"].value_counts().to_dict() == {"untyped": 180, "insert": 60, "move": 60}


def test_polars_takes_the_rows(log: OpLog) -> None:
    """A DataFrame of them is typed by its first hundred rows, and still gives all rows back."""
    polars = pytest.importorskip("polars", reason="polars is not installed: nox -s notebooks")
    fill(log)
    frame = polars.DataFrame(log.to_dicts())
    texts = dict.fromkeys(COLUMNS, polars.String)
    assert dict(frame.schema) == texts | {"lamport_ts": polars.Int64, "parent_op_ids": polars.List(polars.String)}
    assert list(map(with_operation, frame.to_dicts())) == expected(log)
