"""The tail: the newest lines of the log, each as one plain row of `index.db`, and the same lines in memory.

A row can be read in any SQLite shell. It ends with a checksum of its other values, so that no altered row is believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from muse.core.entry.columns import Columns
from muse.core.entry.model import op_ids_bytes, split_op_ids
from muse.core.index.blocks.segment import DamagedIndexError, row_checksum
from muse.core.storage.lines import Lines

_COLUMNS = (
    "byte_offset, length, checksum, lamport_ts, op_id, actor_id, domain, intent_id, reservation_id, parents, problem, "
    "row_checksum"
)
# Without the problem, which is NULL: Python's sqlite3 takes ten times as long to bind None as a number.
_INSERT_ENTRY = f"INSERT OR IGNORE INTO tail ({_COLUMNS.replace('problem, ', '')}) "
_INSERT_NEXT = f"{_INSERT_ENTRY} VALUES ({', '.join('?' * 11)})"
_INSERT_AFTER = f"{_INSERT_ENTRY} SELECT {', '.join('?' * 11)} WHERE EXISTS (SELECT 1 FROM tail WHERE byte_offset = ?)"
_INSERT = f"INSERT INTO tail ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
COVERED = """
    max(coalesce((SELECT byte_offset + length FROM tail ORDER BY byte_offset DESC LIMIT 1), 0),
        coalesce((SELECT end_offset FROM run ORDER BY first_segment DESC LIMIT 1), 0))
"""
"""SQL for n, if the index knows the bytes [0, n) of the log."""

_Row = tuple[
    int, int, int, int | None, str | None, str | None, str | None, str | None, str | None, str | None, str | None
]


def insert_next(
    connection: sqlite3.Connection,
    byte_offset: int,
    length: int,
    checksum: int,
    entry: Any,
    previous_offset: int | None = None,
) -> bool:
    """Insert the row of one entry; False if its line has a row already, and nothing was done.

    The caller knows that the lines before it have their rows. If others were to write these, the caller passes the byte
    offset of the line before, and nothing is done either if that line has no row: so the tail never has a gap.

    If another process has folded the line meanwhile, the row is one too many below the tail: nobody reads it, and the
    next fold removes it.
    """
    parents = entry["parent_op_ids"]
    row = (
        byte_offset,
        length,
        checksum,
        entry["lamport_ts"],
        entry["op_id"],
        entry["actor_id"],
        entry["domain"],
        entry["intent_id"],
        entry["reservation_id"],
        " ".join(parents) if parents else None,
        None,
    )
    values = (*row[:-1], row_checksum(row))
    if previous_offset is None:
        return connection.execute(_INSERT_NEXT, values).rowcount == 1
    return connection.execute(_INSERT_AFTER, (*values, previous_offset)).rowcount == 1


def insert_rows(connection: sqlite3.Connection, lines: Lines) -> None:
    """Insert the rows of lines that are known to follow the last row. Call inside a transaction."""
    connection.executemany(_INSERT, ((*row, row_checksum(row)) for row in _rows(lines)))


def _rows(lines: Lines) -> Iterator[_Row]:
    for number, byte_offset in enumerate(lines.offsets):
        length, checksum = lines.length(number), lines.checksums[number]
        if problem := lines.problems.get(byte_offset):
            text = orjson.dumps(problem).decode()
            yield byte_offset, length, checksum, None, None, None, None, None, None, None, text
        else:
            parents = split_op_ids(lines.parents[number])
            yield (
                byte_offset,
                length,
                checksum,
                lines.lamport_ts[number],
                _text_of(lines.op_ids[number]),
                lines.actor[number],
                lines.domain[number],
                lines.intent[number],
                lines.reservation[number],
                " ".join(map(_text_of, parents)) if parents else None,
                None,
            )


def _text_of(op_id: bytes) -> str:
    digits = op_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def read_tail(connection: sqlite3.Connection, start: int) -> Lines:
    """The lines of the tail, which begins at byte `start`.

    Raises:
        DamagedIndexError: a row is altered, or a line is missing.
    """
    lines, rows, end = Lines(start), [], start
    statement = f"SELECT {_COLUMNS} FROM tail WHERE byte_offset >= ? ORDER BY byte_offset"
    # One by one: in a file that was made to do harm the same rows come again and again.
    for row in connection.execute(statement, (start,)):
        if row_checksum(row[:-1]) != row[-1]:
            raise DamagedIndexError(f"a row of the tail from byte {start} on is altered")
        if row[0] != end or type(row[1]) is not int or row[1] <= 0:
            raise DamagedIndexError(f"a line is missing from the tail from byte {start} on")
        end += row[1]
        rows.append(row)
    if not rows:
        return lines
    columns = list(zip(*rows, strict=True))
    if not any(columns[10]):
        _add_entries(lines, columns)
        return lines
    for row in rows:
        if row[10] is None:
            _add_entries(lines, [(value,) for value in row])
        else:
            kind, reason = orjson.loads(row[10])
            lines.add_problem(row[1], row[2], (kind, reason))
    return lines


def _add_entries(lines: Lines, columns: Sequence[Sequence[Any]]) -> None:
    """Add rows that are all entries; column by column, which takes a third of the time."""
    _, lengths, checksums, lamport_ts, op_ids, actors, domains, intents, reservations, named = columns[:10]
    parents = [op_ids_bytes(each.split()) if each else b"" for each in named]
    packed = split_op_ids(op_ids_bytes(op_ids))
    lines.add_entries(Columns(lamport_ts, packed, actors, domains, intents, reservations, parents), lengths, checksums)


def delete_rows(connection: sqlite3.Connection, below: int | None = None) -> None:
    """Forget the rows of lines that were folded; all of them takes SQLite a tenth of the time."""
    if below is None:
        connection.execute("DELETE FROM tail")
    else:
        connection.execute("DELETE FROM tail WHERE byte_offset < ?", (below,))
