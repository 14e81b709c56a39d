"""The tail: the newest lines of the log, each as one plain row of `index.db`, and the same lines in memory.

A row can be read in any SQLite shell. It ends with a checksum of its other values, so that no altered row is believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from muse.core.entry.model import op_id_bytes, op_ids_bytes
from muse.core.index.blocks.segment import DamagedIndexError, row_checksum
from muse.core.storage.lines import Lines, split_op_ids

_COLUMNS = (
    "byte_offset, length, checksum, lamport_ts, op_id, actor_id, domain, intent_id, reservation_id, parents, problem, "
    "row_checksum"
)
_INSERT = f"INSERT INTO tail ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
COVERED = """
    coalesce((SELECT byte_offset + length FROM tail ORDER BY byte_offset DESC LIMIT 1),
             (SELECT end_offset FROM run ORDER BY first_segment DESC LIMIT 1), 0)
"""
"""SQL for n, if the index knows the bytes [0, n) of the log."""
# The condition keeps the prefix whole without a transaction of several statements: a row that does not follow the
# last one has no length, and is ignored.
_INSERT_NEXT = (
    f"INSERT OR IGNORE INTO tail ({_COLUMNS}) "
    f"VALUES (?1, iif(?1 = {COVERED}, ?2, NULL), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
)

_Row = tuple[
    int, int, int, int | None, str | None, str | None, str | None, str | None, str | None, str | None, str | None
]


def insert_next(connection: sqlite3.Connection, byte_offset: int, length: int, checksum: int, entry: Any) -> bool:
    """Insert the row of one entry by one statement; False if it does not follow the last row, and nothing was done."""
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
    return connection.execute(_INSERT_NEXT, (*row, row_checksum(row))).rowcount == 1


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
            parents = split_op_ids(lines.parents.get(byte_offset, b""))
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
    lines = Lines(start)
    for *row, found in connection.execute(f"SELECT {_COLUMNS} FROM tail ORDER BY byte_offset"):
        if row_checksum(row) != found:
            raise DamagedIndexError(f"a row of the tail after byte {lines.end} is altered")
        if row[0] != lines.end:
            raise DamagedIndexError(f"the line at byte {lines.end} is missing from the tail")
        _add(lines, row)
    return lines


def _add(lines: Lines, row: Sequence[Any]) -> None:
    _, length, checksum, lamport_ts, op_id, actor, domain, intent, reservation, parents, problem = row
    if problem is not None:
        kind, reason = orjson.loads(problem)
        lines.add_problem(length, checksum, (kind, reason))
        return
    lines.offsets.append(lines.end)
    lines.checksums.append(checksum)
    lines.lamport_ts.append(lamport_ts)
    lines.op_ids.append(op_id_bytes(op_id))
    lines.actor.append(actor)
    lines.domain.append(domain)
    lines.intent.append(intent)
    lines.reservation.append(reservation)
    if parents is not None:
        lines.parents[lines.end] = op_ids_bytes(parents.split())
    lines.end += length


def delete_rows_below(connection: sqlite3.Connection, byte_offset: int) -> None:
    """Forget the rows of lines that were folded."""
    connection.execute("DELETE FROM tail WHERE byte_offset < ?", (byte_offset,))
