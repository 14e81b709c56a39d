"""Rows of an index that are stale, swapped, altered, missing or doubled: each fault by SQL, on a copy of a sound index.

A row's checksum is not made anew, since a random fault can't do that, but in the rows of segments: the directories of
the runs know their checksums. Rows that come from another index of the log have their own, right checksum.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from muse.core.index.blocks.segment import row_checksum
from muse.core.index.fold import SEGMENT_COLUMNS
from tests.reliability.material import Material, quick_folder

Fault = Callable[[sqlite3.Connection], object]
Key = tuple[int, ...]

_KEYS = {
    "segment": ("number",),
    "origin": ("id",),
    "run": ("first_segment",),
    "run_page": ("first_segment", "end_segment", "page"),
    "tail": ("byte_offset",),
    "seen_checkpoint": ("id",),
    "held_entry": ("byte_offset", "length", "checksum"),
}

_OTHER_VALUES: tuple[Any, ...] = (0, -1, 2**62, 1.5, "", "x", "{}", "[1]", b"", b"\xff" * 9)


class _Table:
    """One table of the sound index."""

    def __init__(self, name: str, connection: sqlite3.Connection) -> None:
        self.name = name
        self.key = _KEYS[name]
        described = connection.execute(f"SELECT * FROM {name}").description
        self.columns = [column for column, *_ in described if column not in self.key]
        self.where = " AND ".join(f"{column} = ?" for column in self.key)
        listed = ", ".join(self.key)
        self.keys: list[Key] = connection.execute(f"SELECT {listed} FROM {name} ORDER BY {listed}").fetchall()

    def values(self, connection: sqlite3.Connection, key: Key, schema: str = "main") -> dict[str, Any] | None:
        """The values of a row, without its key; None if there is no such row."""
        statement = f"SELECT {', '.join(self.columns)} FROM {schema}.{self.name} WHERE {self.where}"
        found = connection.execute(statement, key).fetchone()
        return found and dict(zip(self.columns, found, strict=True))

    def update(self, connection: sqlite3.Connection, key: Key, values: dict[str, Any]) -> None:
        """Set some values of a row."""
        assigned = ", ".join(f"{column} = ?" for column in values)
        connection.execute(f"UPDATE {self.name} SET {assigned} WHERE {self.where}", (*values.values(), *key))


def damaged(material: Material, fault: Fault) -> bytes:
    """The bytes of the index after a fault; the fault may take from the indexes "older" and "other" of the same log."""
    with quick_folder() as name:
        path = Path(name) / "index"
        with closing(_opened(material, path)) as connection:
            fault(connection)
        return path.read_bytes()


def _opened(material: Material, path: Path) -> sqlite3.Connection:
    path.write_bytes(material.index)
    connection = sqlite3.connect(path, isolation_level=None)
    for name, data in (("older", material.older_index), ("other", material.other_index)):
        path.with_name(name).write_bytes(data)
        connection.execute(f"ATTACH ? AS {name}", (str(path.with_name(name)),))
    return connection


def all_faults(material: Material) -> list[tuple[str, Fault]]:
    """Every fault, with a name that tells what it does."""
    with quick_folder() as name, closing(_opened(material, Path(name) / "index")) as connection:
        tables = [_Table(name, connection) for name in _KEYS]
        found: list[tuple[str, Fault]] = []
        for table in tables:
            found += _of_rows(table)
            found += _of_values(table)
            found += _of_other_indexes(table, connection)
    found += _of_directories(next(table for table in tables if table.name == "run"))
    return found


# -- whole rows ---------------------------------------------------------------------------------------------------


def _of_rows(table: _Table) -> Iterator[tuple[str, Fault]]:
    name = table.name
    yield f"{name}: emptied", lambda connection: connection.execute(f"DELETE FROM {name}")
    for key in table.keys:
        yield f"{name} {key}: removed", partial(_remove, table, key)
    for one, two in itertools.pairwise(table.keys):
        yield f"{name} {one}: replaced by {two}", partial(_replace, table, {one: two})
        yield f"{name} {two}: replaced by {one}", partial(_replace, table, {two: one})
        yield f"{name} {one} and {two}: swapped", partial(_replace, table, {one: two, two: one})
    if name not in ("origin", "seen_checkpoint"):
        first, last = table.keys[0], table.keys[-1]
        yield f"{name} {last}: doubled after the last", partial(_double, table, last, (*last[:-1], last[-1] + 1))
        yield f"{name} {first}: doubled far away", partial(_double, table, first, (*last[:-1], last[-1] + 5000))
        yield f"{name}: the last one moved", partial(_move, table, last, (*last[:-1], last[-1] + 1))
        yield f"{name}: the first one moved", partial(_move, table, first, (*first[:-1], 2**40))


def _remove(table: _Table, key: Key, connection: sqlite3.Connection) -> None:
    connection.execute(f"DELETE FROM {table.name} WHERE {table.where}", key)


def _replace(table: _Table, sources: dict[Key, Key], connection: sqlite3.Connection) -> None:
    rows = {key: table.values(connection, source) for key, source in sources.items()}
    for key, values in rows.items():
        assert values
        table.update(connection, key, values)


def _double(table: _Table, key: Key, new: Key, connection: sqlite3.Connection) -> None:
    row = {**dict(zip(table.key, new, strict=True)), **(table.values(connection, key) or {})}
    _insert(table, row, connection)


def _insert(table: _Table, row: dict[str, Any], connection: sqlite3.Connection) -> None:
    statement = f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    connection.execute(statement, list(row.values()))


def _move(table: _Table, key: Key, new: Key, connection: sqlite3.Connection) -> None:
    table.update(connection, key, dict(zip(table.key, new, strict=True)))


# -- single values ------------------------------------------------------------------------------------------------


def _of_values(table: _Table) -> Iterator[tuple[str, Fault]]:
    for one, two in _some_pairs(table.keys):
        for column in table.columns:
            name = f"{table.name} {one}: {column}"
            yield f"{name} as in {two}", partial(_take_value, table, column, one, two)
            if table.name == "segment":
                yield f"{name} as in {two}, checksum anew", partial(_take_value_with_checksum, table, column, one, two)
    for column in table.columns:
        for number, value in enumerate(_OTHER_VALUES):
            key = table.keys[number % len(table.keys)]
            yield f"{table.name} {key}: {column} = {value!r}", partial(_put_value, table, column, key, value)


def _some_pairs(keys: list[Key]) -> list[tuple[Key, Key]]:
    pairs = list(itertools.pairwise(keys))
    return pairs[:: max(1, len(pairs) // 3)]


def _take_value(table: _Table, column: str, key: Key, source: Key, connection: sqlite3.Connection) -> None:
    values = table.values(connection, source)
    assert values
    _put_value(table, column, key, values[column], connection)


def _put_value(table: _Table, column: str, key: Key, value: Any, connection: sqlite3.Connection) -> None:
    table.update(connection, key, {column: value})


def _take_value_with_checksum(
    table: _Table, column: str, key: Key, source: Key, connection: sqlite3.Connection
) -> None:
    _take_value(table, column, key, source, connection)
    row = connection.execute(f"SELECT {SEGMENT_COLUMNS} FROM segment WHERE number = ?", key).fetchone()
    table.update(connection, key, {"row_checksum": row_checksum(row)})


# -- rows of other indexes of the same log --------------------------------------------------------------------------


def _of_other_indexes(table: _Table, connection: sqlite3.Connection) -> Iterator[tuple[str, Fault]]:
    for schema in ("older", "other"):
        yield f"{table.name}: all rows from the {schema} index", partial(_take_all, table, schema)
        yield f"{table.name}: all rows from the {schema} index added", partial(_add_all, table, schema)
        for key in table.keys:
            theirs = table.values(connection, key, schema)
            if theirs is not None and theirs != table.values(connection, key):
                yield f"{table.name} {key}: from the {schema} index", partial(table.update, key=key, values=theirs)


def _take_all(table: _Table, schema: str, connection: sqlite3.Connection) -> None:
    connection.execute(f"DELETE FROM main.{table.name}")
    _add_all(table, schema, connection)


def _add_all(table: _Table, schema: str, connection: sqlite3.Connection) -> None:
    connection.execute(f"INSERT OR IGNORE INTO main.{table.name} SELECT * FROM {schema}.{table.name}")


# -- directories --------------------------------------------------------------------------------------------------


def _of_directories(runs: _Table) -> Iterator[tuple[str, Fault]]:
    for key in runs.keys:
        for what, alter in (
            ("shortened by an entry", lambda data: data[:-12]),
            ("one entry longer", lambda data: data + data[:12]),
            ("its first offset raised", lambda data: bytes((data[0] ^ 1, *data[1:]))),
            ("its last checksum altered", lambda data: bytes((*data[:-1], data[-1] ^ 128))),
            ("turned round", lambda data: data[::-1]),
            ("emptied", lambda data: b""),
        ):
            yield f"directory of run {key}: {what}", partial(_alter_directory, runs, key, alter)
    yield "all rows of segments, runs and pages moved up by one", _shift


def _alter_directory(runs: _Table, key: Key, alter: Callable[[bytes], bytes], connection: sqlite3.Connection) -> None:
    values = runs.values(connection, key)
    assert values
    runs.update(connection, key, {"directory": alter(values["directory"])})


def _shift(connection: sqlite3.Connection) -> None:
    for table, columns in (("segment", ("number",)), ("run", ("first_segment",))):
        for column in columns:
            # Twice, since a key must not be there twice in between.
            connection.execute(f"UPDATE {table} SET {column} = -{column} - 1")
            connection.execute(f"UPDATE {table} SET {column} = -{column}")
    connection.execute("UPDATE run_page SET first_segment = first_segment + 1, end_segment = end_segment + 1")
