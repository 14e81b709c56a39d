"""The tail: rows come back as the lines they were, anybody can read them, and none altered or missing is believed."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.index.blocks.segment import DamagedIndexError
from muse.core.index.file import new_in_memory
from muse.core.index.tail import COVERED, delete_rows, insert_next, insert_rows, read_tail
from tests.index.plain_lines import PlainLine, fed_with, offsets_of, plain, plain_lines, some_lines

LINES = some_lines(30)
OFFSETS = offsets_of(LINES)


@pytest.fixture(scope="module")
def empty() -> Iterator[sqlite3.Connection]:
    """A database with the schema of an index; what a test puts in is taken out again."""
    database = new_in_memory()
    yield database.connection
    database.close()


@pytest.fixture
def connection(empty: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A database with the tail of `LINES`."""
    with undone(empty):
        insert_rows(empty, fed_with(LINES))
        yield empty


class undone:  # noqa: N801 - it reads as a statement
    """A block whose changes to a database are taken back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute("BEGIN")

    def __exit__(self, *error: object) -> None:
        self.connection.execute("ROLLBACK")


@given(plain_lines(), st.sampled_from([0, 5, 2**40]))
def test_any_lines_come_back_as_they_were(lines: list[PlainLine], start: int) -> None:
    """Lines with and without problems, parents and names, written as rows and read again, are the same."""
    database = new_in_memory()
    try:
        insert_rows(database.connection, fed_with(lines, start))
        found = read_tail(database.connection, start)
    finally:
        database.close()
    assert plain(found) == lines
    assert (found.start, found.end) == (start, offsets_of(lines, start)[-1])


@given(plain_lines(min_size=1))
def test_a_row_is_the_same_however_it_is_written(lines: list[PlainLine]) -> None:
    """By the statement for one appended entry as by that for many lines."""
    entries = [each for each in lines if not each.problem]
    one, other = new_in_memory(), new_in_memory()
    try:
        insert_rows(one.connection, fed_with(entries))
        for at, each in zip(offsets_of(entries), entries, strict=False):
            assert insert_next(other.connection, at, each.length, each.checksum, each.as_entry())
        rows = [each.connection.execute("SELECT * FROM tail").fetchall() for each in (one, other)]
    finally:
        one.close()
        other.close()
    assert rows[0] == rows[1]


def test_rows_are_read_with_plain_sql(connection: sqlite3.Connection) -> None:
    """Numbers and text as in the log; a problem is a JSON array; the checksum is that of the row as JSON."""
    rows = connection.execute("SELECT * FROM tail ORDER BY byte_offset").fetchall()
    for row, at, line in zip(rows, OFFSETS, LINES, strict=False):
        *values, checksum = row
        assert values[:3] == [at, line.length, line.checksum]
        if line.problem:
            assert values[3:-1] == [None] * 7
            assert json.loads(values[-1]) == list(line.problem)
        else:
            said = line.as_entry()
            names = ("lamport_ts", "op_id", "actor_id", "domain", "intent_id", "reservation_id")
            assert values[3:] == [*(said[name] for name in names), None, None]
        text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
        assert checksum == zlib.crc32(text.encode())


def test_parents_are_text_with_spaces_between(empty: sqlite3.Connection) -> None:
    """In the order in which the entry names them."""
    parents = (bytes(range(16)), b"\xab" * 16)
    with undone(empty):
        insert_rows(empty, fed_with([PlainLine(9, 1, 1, b"\1" * 16, "ada", "music", "", "", parents)]))
        ((text,),) = empty.execute("SELECT parents FROM tail")
    assert text == "00010203-0405-0607-0809-0a0b0c0d0e0f abababab-abab-abab-abab-abababababab"


COLUMNS = [
    "byte_offset",
    "length",
    "checksum",
    "lamport_ts",
    "op_id",
    "actor_id",
    "domain",
    "intent_id",
    "reservation_id",
    "parents",
    "problem",
    "row_checksum",
]
OTHERS: list[object] = [0, 1, 2**40, "text", "", None, b"bytes", 1.5]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", [0, 10, 29])
def test_an_altered_row_is_refused(connection: sqlite3.Connection, column: str, row: int) -> None:
    """Whatever stands in whichever column instead of what was written."""
    (was,) = connection.execute(f"SELECT {column} FROM tail WHERE byte_offset = ?", (OFFSETS[row],)).fetchone()
    for other in OTHERS:
        if other == was:
            continue
        connection.execute("SAVEPOINT before")
        try:
            connection.execute(f"UPDATE tail SET {column} = ? WHERE byte_offset = ?", (other, OFFSETS[row]))
        except sqlite3.IntegrityError:
            pass
        else:
            with pytest.raises(DamagedIndexError):
                read_tail(connection, 0)
        connection.execute("ROLLBACK TO before")


@pytest.mark.parametrize("row", [0, 1, 15, 28])
def test_a_missing_row_is_noticed(connection: sqlite3.Connection, row: int) -> None:
    """The first as any other that has a row after it."""
    connection.execute("DELETE FROM tail WHERE byte_offset = ?", (OFFSETS[row],))
    with pytest.raises(DamagedIndexError, match="missing"):
        read_tail(connection, 0)


def test_a_tail_that_begins_inside_a_line_is_refused(connection: sqlite3.Connection) -> None:
    """The lines up to its first row are missing."""
    with pytest.raises(DamagedIndexError, match="missing"):
        read_tail(connection, OFFSETS[3] + 1)


def test_rows_below_the_tail_are_passed_over(connection: sqlite3.Connection) -> None:
    """A row that was written after another process had folded its line is in nobody's way."""
    assert plain(read_tail(connection, OFFSETS[3])) == LINES[3:]
    assert plain(read_tail(connection, OFFSETS[-1])) == []


@pytest.mark.parametrize("row", [0, 5, 29])
def test_a_line_that_has_a_row_gets_no_other(connection: sqlite3.Connection, row: int) -> None:
    """False, and the table is as it was: another process has indexed this line already."""
    before = connection.execute("SELECT * FROM tail").fetchall()
    line = some_lines(1, start=50)[0]
    assert insert_next(connection, OFFSETS[row], line.length, line.checksum, line.as_entry()) is False
    assert connection.execute("SELECT * FROM tail").fetchall() == before
    assert insert_next(connection, OFFSETS[-1], line.length, line.checksum, line.as_entry()) is True
    assert plain(read_tail(connection, 0)) == [*LINES, line]


def test_a_row_is_not_written_behind_a_gap(connection: sqlite3.Connection) -> None:
    """If the line before is another process's and has no row yet, nothing is done; once it has one, the row is."""
    first, second = some_lines(2, start=50)
    end = OFFSETS[-1] + first.length
    values = (second.length, second.checksum, second.as_entry(), OFFSETS[-1])
    assert insert_next(connection, end, *values) is False
    assert plain(read_tail(connection, 0)) == LINES
    insert_next(connection, OFFSETS[-1], first.length, first.checksum, first.as_entry())
    assert insert_next(connection, end, *values) is True
    assert insert_next(connection, end, *values) is False
    assert plain(read_tail(connection, 0)) == [*LINES, first, second]


def test_the_rows_of_folded_lines_go(connection: sqlite3.Connection) -> None:
    """Those below a byte offset and no others."""
    delete_rows(connection, OFFSETS[12])
    assert plain(read_tail(connection, OFFSETS[12])) == LINES[12:]


def test_sql_tells_what_is_covered(connection: sqlite3.Connection) -> None:
    """The end of the last row of the tail, or 0 if there is neither tail nor run."""
    assert connection.execute(f"SELECT {COVERED}").fetchone() == (OFFSETS[-1],)
    connection.execute("DELETE FROM tail")
    assert connection.execute(f"SELECT {COVERED}").fetchone() == (0,)
