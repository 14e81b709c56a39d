"""The store: its invariants, with lines that come in any portions, through one connection or several."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from muse.core.index.blocks.op_id_runs import FILTERED_SEGMENTS
from muse.core.index.blocks.segment import DamagedIndexError
from muse.core.index.file import Database
from muse.core.index.store import Index
from muse.core.index.tail import insert_rows
from tests.index.plain_lines import (
    PlainLine,
    fed_with,
    index_in_memory,
    index_on_disk,
    offsets_of,
    plain,
    plain_lines,
    segments_of_four,
    some_lines,
    without_parents,
)
from tests.making import fresh_repo
from tests.samples import examples
from tests.small_index import limits, segments_of


def content_of(index: Index) -> list[PlainLine]:
    """Every line that an index knows, taken out of its segments and its tail."""
    found = [each for number in index.segment_numbers() for each in plain(index.segment(number).lines())]
    return found + without_parents(plain(index.tail))


def assert_knows(index: Index, lines: Sequence[PlainLine]) -> None:
    """Compare everything that the store itself answers with the list of the lines."""
    offsets = offsets_of(lines)
    assert content_of(index) == without_parents(lines)
    assert index.end == offsets[-1]
    entries = {each.op_id: (at, each) for at, each in zip(offsets, lines, strict=False) if not each.problem}
    assert index.entries == len(entries)
    assert index.highest_lamport_ts == max((each.lamport_ts for _, each in entries.values()), default=0)
    places = {op_id: at for op_id, (at, _) in entries.items()}
    assert index.offsets_of({*entries, b"absent".rjust(16), bytes(16)}) == places
    for op_id in [*entries, b"absent".rjust(16), bytes(16)]:
        assert index.offset_of(op_id) == places.get(op_id)
        location = index.location_of(op_id)
        if op_id in entries:
            at, line = entries[op_id]
            assert location == (at, line.length, line.checksum, line.lamport_ts)
        else:
            assert location is None


def assert_tiled(connection: sqlite3.Connection, lines: Sequence[PlainLine]) -> None:
    """Look with plain SQL: segments, runs and tail cover the bytes of the lines, each once and without a gap."""
    covered = connection.execute("SELECT first_offset, end_offset FROM segment ORDER BY number").fetchall()
    runs = connection.execute("SELECT first_offset, end_offset FROM run ORDER BY first_segment").fetchall()
    tail = connection.execute("SELECT byte_offset, byte_offset + length FROM tail ORDER BY byte_offset").fetchall()
    for pieces in (covered + tail, runs + tail):
        end = 0
        for first, last in pieces:
            assert first == end
            assert last > first
            end = last
        assert end == offsets_of(lines)[-1]


def feed(index: Index, lines: Sequence[PlainLine]) -> None:
    """Give an index lines that follow the last, and write them."""
    index.add(fed_with(lines, index.end))
    index.write(0)


def copied(index: Index) -> Iterator[sqlite3.Connection]:
    """A copy of an index, closed after it was used."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    index.connection.backup(connection)
    yield connection
    connection.close()


@given(st.lists(plain_lines(max_size=12), max_size=8), st.integers(1, 8))
@examples(50)
def test_lines_in_any_portions_are_known(portions: list[list[PlainLine]], segment_lines: int) -> None:
    """Before they are written, after that, and by a connection that reads it all from the file."""
    lines = first_of_each_op_id([each for portion in portions for each in portion])
    ends = offsets_of([PlainLine(len(portion), 0) for portion in portions])
    with segments_of(segment_lines):
        index = index_in_memory()
        for low, high in pairwise(ends):
            index.add(fed_with(lines[low:high], index.end))
            assert index.end == offsets_of(lines[:high])[-1]
            index.write(0)
        assert_knows(index, lines)
        assert index.unwritten_lines == 0
        for connection in copied(index):
            again = Index(Database(connection, None))
            assert_knows(again, lines)
            assert_tiled(again.connection, lines)
            assert len(again.tail) < segment_lines
        index.database.close()


def first_of_each_op_id(lines: Sequence[PlainLine]) -> list[PlainLine]:
    """The lines as the index may be fed with them: of those with one op_id only the first is an entry."""
    seen: set[bytes] = set()
    found = []
    for each in lines:
        if each.op_id in seen and each.op_id:
            found.append(PlainLine(each.length, each.checksum, problem=("duplicate", "it stands already elsewhere")))
        else:
            found.append(each)
            seen.add(each.op_id)
    return found


class SeveralConnections(RuleBasedStateMachine):
    """Two connections to one file that are fed the same log in turn, each as far as it comes, and a list of lines."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = segments_of_four()
        self.limits.__enter__()
        self.repo = fresh_repo()
        folder = self.repo.__enter__()
        self.folder = folder
        self.lines: list[PlainLine] = []
        self.known = [0, 0]
        self.indexes = [index_on_disk(folder), index_on_disk(folder)]

    def teardown(self) -> None:
        """Close everything."""
        for index in self.indexes:
            index.database.close()
        self.repo.__exit__(None, None, None)
        self.limits.__exit__(None, None, None)

    def _arrive(self, which: int, upto: int) -> None:
        # One that has looked at what the other has folded may know more than it was fed.
        index = self.indexes[which]
        at = offsets_of(self.lines).index(index.end)
        index.add(fed_with(self.lines[at:upto], index.end))
        self.known[which] = max(at, upto)

    @rule(which=st.integers(0, 1), count=st.integers(0, 30))
    def feed_and_write(self, which: int, count: int) -> None:
        """Lines arrive; one connection takes in all that there is, and writes."""
        self.lines += some_lines(count, start=1 + len(self.lines))
        self._arrive(which, len(self.lines))
        self.indexes[which].write(0)

    @rule(which=st.integers(0, 1))
    def feed_one_entry(self, which: int) -> None:
        """One entry is appended by the handle whose connection it is; the row is written by one statement if it can."""
        index = self.indexes[which]
        self._arrive(which, len(self.lines))
        (line,) = some_lines(1, start=11 * len(self.lines) + 10_001)
        self.lines.append(line)
        index.add_entry(line.as_entry(), line.op_id, line.length, line.checksum)
        self.known[which] += 1
        if not index.write_next(line.as_entry(), line.length, line.checksum):
            index.write(0)

    @rule(which=st.integers(0, 1), part=st.floats(0, 1))
    def feed_some(self, which: int, part: float) -> None:
        """One connection takes in a part of what there is, and keeps it in memory."""
        left = len(self.lines) - self.known[which]
        self._arrive(which, self.known[which] + int(part * left))

    @rule(which=st.integers(0, 1))
    def write(self, which: int) -> None:
        """One connection writes what it knows, which may be less than what the other has written."""
        self.indexes[which].write(0)

    @precondition(lambda self: self.lines)
    @rule(which=st.integers(0, 1), number=st.integers(0, 10**6))
    def ask(self, which: int, number: int) -> None:
        """One connection is asked for a line that it knows, whatever the other has folded and merged meanwhile."""
        number %= len(self.lines)
        line = self.lines[number]
        if number < self.known[which] and not line.problem:
            assert self.indexes[which].offset_of(line.op_id) == offsets_of(self.lines[:number])[-1]
        assert self.indexes[which].offset_of(b"absent".rjust(16)) is None

    @rule(which=st.integers(0, 1))
    def open_again(self, which: int) -> None:
        """One connection is closed and opened again: it knows what is on disk, a prefix, and all of it is right."""
        self.indexes[which].database.close()
        self.indexes[which] = index = index_on_disk(self.folder)
        ends = offsets_of(self.lines)
        self.known[which] = ends.index(index.end)
        assert_knows(index, self.lines[: self.known[which]])
        assert_tiled(index.connection, self.lines[: self.known[which]])

    @invariant()
    def both_know_what_they_were_fed(self) -> None:
        """Neither loses or gains a line."""
        for index, known in zip(self.indexes, self.known, strict=True):
            assert index.end >= offsets_of(self.lines[:known])[-1]
            assert index.entries >= sum(not each.problem for each in self.lines[:known])


TestSeveralConnections = SeveralConnections.TestCase
TestSeveralConnections.settings = settings(examples(30), stateful_step_count=25)


@pytest.fixture
def small() -> Iterator[None]:
    """Segments of four lines."""
    with segments_of_four():
        yield


@pytest.fixture
def two(tmp_path: Path, small: None) -> Iterator[tuple[Index, Index]]:
    """Two connections to one index of 100 lines, both of which have read it."""
    one = index_on_disk(tmp_path)
    feed(one, some_lines(100))
    other = index_on_disk(tmp_path)
    yield one, other
    one.database.close()
    other.database.close()


def test_a_reader_whose_runs_were_merged_finds_everything(two: tuple[Index, Index]) -> None:
    """Another process merged them, and their rows and pages are gone: the reader takes over what there is now."""
    writer, reader = two
    before = [run.first_segment for run in reader.runs]
    assert any(run.is_filtered for run in reader.runs)
    feed(writer, some_lines(400, start=101))
    assert writer.runs[0].segments > reader.runs[0].segments
    for at, each in zip(offsets_of(some_lines(100)), some_lines(100), strict=False):
        if not each.problem:
            assert reader.offset_of(each.op_id) == at
    assert [run.first_segment for run in reader.runs] != before


def test_a_reader_that_has_looked_goes_on_with_what_it_read(two: tuple[Index, Index]) -> None:
    """Segments and runs are immutable: what was read of them stays right, and is not read again."""
    writer, reader = two
    assert_knows(reader, some_lines(100))
    runs, segment = list(reader.runs), reader.segment(3)
    feed(writer, some_lines(3, start=101))
    reader.adopt_folds_of_others()
    assert reader.segment(3) is segment
    assert reader.runs[0] is runs[0]


def test_pages_that_are_gone_without_a_merge_are_damage(two: tuple[Index, Index]) -> None:
    """If the runs are the same and their pages are not there, the index must be rebuilt, and says so."""
    writer, reader = two
    writer.connection.execute("DELETE FROM run_page")
    with pytest.raises(DamagedIndexError, match="missing or altered"):
        reader.offset_of(some_lines(1)[0].op_id)


def test_a_writer_behind_others_starts_from_where_they_are(two: tuple[Index, Index]) -> None:
    """Both are fed the same lines; the second to write finds them written and folded, and writes nothing twice."""
    one, other = two
    more = some_lines(50, start=101)
    other.add(fed_with(more, other.end))
    feed(one, more)
    changes = other.connection.total_changes
    other.write(0)
    assert other.connection.total_changes == changes
    assert_knows(other, some_lines(150))
    assert_knows(one, some_lines(150))
    feed(other, some_lines(33, start=151))
    assert_tiled(one.connection, some_lines(183))


def test_writers_that_take_turns_write_one_row_each_in_one_statement(tmp_path: Path) -> None:
    """Each takes in the other's line without its row, and writes its own: none is missing, and none there twice."""
    lines = [line for line in some_lines(60) if not line.problem]
    indexes = [index_on_disk(tmp_path), index_on_disk(tmp_path)]
    feed(indexes[0], lines[:1])
    statements: list[str] = []
    for index in indexes:
        index.refresh()
        index.database.wait_up_to(0)
        index.connection.set_trace_callback(statements.append)
    for number, line in enumerate(lines[1:], start=1):
        index = indexes[number % 2]
        index.add(fed_with(lines[offsets_of(lines).index(index.end) : number], index.end))
        index.add_entry(line.as_entry(), line.op_id, line.length, line.checksum)
        assert index.write_next(line.as_entry(), line.length, line.checksum) is True
        assert_tiled(index.connection, lines[: number + 1])
    assert sum("INSERT" in each for each in statements) == len(lines) - 1
    assert not [each for each in statements if "BEGIN" in each]
    for index in indexes:
        index.database.close()


def test_a_fold_leaves_the_rows_that_others_wrote_beyond_it(two: tuple[Index, Index]) -> None:
    """One connection knows a part of what the other has written, and folds it: the rows after it stay."""
    one, other = two
    insert_rows(other.connection, fed_with(some_lines(6, start=101), other.end))
    one.add(fed_with(some_lines(4, start=101), one.end))
    one.write(0)
    assert one.folded_end == offsets_of(some_lines(104))[-1]
    assert_tiled(other.connection, some_lines(106))


def test_an_index_set_back_by_somebody_is_noticed(two: tuple[Index, Index]) -> None:
    """An index that covers less than this connection has written to it was made anew; nothing is written into it."""
    one, other = two
    feed(one, some_lines(1, start=101))
    assert len(one.tail) == 1
    other.connection.execute("DELETE FROM tail")
    with pytest.raises(DamagedIndexError, match="went back"):
        feed(one, some_lines(3, start=102))
    assert not one.database.is_usable


def test_a_connection_that_is_locked_out_says_so_and_loses_nothing(two: tuple[Index, Index]) -> None:
    """While another connection writes, `write` fails at once; when it is done, the lines are written."""
    one, other = two
    one.connection.execute("BEGIN IMMEDIATE")
    other.add(fed_with(some_lines(20, start=101), other.end))
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.write(0)
    one.connection.execute("ROLLBACK")
    assert other.database.is_usable
    other.write(0)
    assert_knows(other, some_lines(120))


def look_at_everything(connection: sqlite3.Connection) -> None:
    """Open an index and read each row and block of it once."""
    index = Index(Database(connection, None))
    content_of(index)
    for number in index.segment_numbers():
        assert index.summary(number) == index.segment(number).summary
        assert index.segment(number).links is not None
    for run in index.runs:
        assert len(run.all_keys())
        if run.is_filtered:
            run.filter.load()


COLUMNS = {
    "segment": (
        "number, first_offset, end_offset, lines, entries, entries_before, lowest_lamport_ts, highest_lamport_ts, "
        "actors, domains, intents, reservations, parent_segments, unresolved_links, columns_checksum, "
        "op_ids_checksum, links_checksum, row_checksum, columns, op_ids, links"
    ),
    "run": (
        "first_segment, first_offset, end_offset, lines, entries, entries_before, lowest_lamport_ts, "
        "highest_lamport_ts, actors, domains, intents, reservations, parent_segments, unresolved_links, "
        "directory_checksum, block_checksum, row_checksum, directory, block"
    ),
    "run_page": "first_segment, end_segment, page, row_checksum, content",
    "origin": "id, session, factor, row_checksum",
}
KEYS = {"segment": "number", "run": "first_segment", "run_page": "page", "origin": "id"}


@pytest.fixture(scope="module")
def sound() -> Iterator[Index]:
    """An index of segments, runs of which one has pages, and a tail."""
    with segments_of_four():
        index = index_in_memory()
        feed(index, some_lines(4 * FILTERED_SEGMENTS + 23))
        feed(index, [replace(each, length=99) for each in some_lines(2, start=501)])
    look_at_everything(index.connection)
    yield index
    index.database.close()


def test_the_columns_are_those_of_the_schema(sound: Index) -> None:
    """The next test alters each of them."""
    for table, columns in COLUMNS.items():
        found = sound.connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
        assert [name for (name,) in found] == columns.split(", ")


OTHERS = [0, 1, 2**40, "text", "{}", None, b"", b"bytes", 1.5]


@pytest.mark.parametrize(
    ("table", "column"), [(table, each) for table, columns in COLUMNS.items() for each in columns.split(", ")]
)
def test_an_altered_cell_is_noticed(sound: Index, table: str, column: str) -> None:
    """Whatever stands in whichever column of a segment, a run or a page of keys instead of what was written."""
    key = KEYS[table]
    for connection in copied(sound):
        for end, other in product(("min", "max"), OTHERS):
            connection.execute("BEGIN")
            read = f"SELECT {column}, typeof({column}) FROM {table} WHERE {key} = ?"
            (where,) = connection.execute(f"SELECT {end}({key}) FROM {table}").fetchone()
            before = connection.execute(read, (where,)).fetchone()
            with suppress(sqlite3.IntegrityError):
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (other, where))
            if connection.execute(read, (where,)).fetchone() != before:
                with pytest.raises(DamagedIndexError):
                    look_at_everything(connection)
            connection.execute("ROLLBACK")


@pytest.mark.parametrize("table", COLUMNS)
@pytest.mark.parametrize("which", ["first", "middle", "last"])
def test_a_missing_row_is_noticed(sound: Index, table: str, which: str) -> None:
    """No segment, run or page of keys can be left out unnoticed."""
    for connection in copied(sound):
        keys = [key for (key,) in connection.execute(f"SELECT {KEYS[table]} FROM {table} ORDER BY 1")]
        key = keys[{"first": 0, "middle": len(keys) // 2, "last": -1}[which]]
        connection.execute(f"DELETE FROM {table} WHERE {KEYS[table]} = ?", (key,))
        with pytest.raises(DamagedIndexError):
            look_at_everything(connection)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_row_of_another_index_is_noticed(sound: Index, table: str) -> None:
    """A row at the same place of another index has right checksums, and is refused: it does not fit its neighbours."""
    with segments_of_four():
        other = index_in_memory()
        feed(other, [replace(each, checksum=5) for each in some_lines(4 * FILTERED_SEGMENTS + 23)])
    key = 2 if table == "segment" else 1
    row = other.connection.execute(f"SELECT * FROM {table} WHERE {KEYS[table]} = ?", (key,)).fetchone()
    other.database.close()
    for connection in copied(sound):
        own = connection.execute(f"SELECT * FROM {table} WHERE {KEYS[table]} = ?", (key,)).fetchone()
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)
        assert row != own
        with pytest.raises(DamagedIndexError):
            look_at_everything(connection)


@pytest.mark.parametrize("column", ["columns", "op_ids", "links"])
def test_a_block_of_another_segment_is_noticed(sound: Index, column: str) -> None:
    """Two segments whose blocks were swapped, with or without their checksums, are both refused."""
    for connection in copied(sound):
        for more in ([], [f"{column}_checksum"]):
            connection.execute("BEGIN")
            for name in (column, *more):
                values = dict(connection.execute(f"SELECT number, {name} FROM segment WHERE number IN (2, 4)"))
                for number, value in ((2, values[4]), (4, values[2])):
                    connection.execute(f"UPDATE segment SET {name} = ? WHERE number = ?", (value, number))
            if values[2] != values[4]:
                with pytest.raises(DamagedIndexError):
                    look_at_everything(connection)
            connection.execute("ROLLBACK")


def test_lines_only_in_memory_are_known_and_then_written(small: None) -> None:
    """What was added and not written is found; `unwritten_lines` says how many there are."""
    index = index_in_memory()
    lines = some_lines(2)
    index.add(fed_with(lines, 0))
    assert index.unwritten_lines == 2
    assert_knows(index, lines)
    assert index.connection.execute("SELECT count(*) FROM tail").fetchone() == (0,)
    index.write(0)
    assert index.unwritten_lines == 0
    assert index.connection.execute("SELECT count(*) FROM tail").fetchone() == (2,)
    index.database.close()


def test_what_is_kept_in_memory_is_bounded(small: None) -> None:
    """However many segments are looked at, only so many stay unpacked."""
    with limits(MAX_CACHED_SEGMENTS=5, MAX_CACHED_SUMMARIES=70):
        index = index_in_memory()
        lines = some_lines(600)
        feed(index, lines)
        assert_knows(index, lines)
        for number in index.segment_numbers():
            assert index.summary(number).first_offset == index.segment(number).first_offset
        assert len(index._segments) <= 5
        assert len(index._rows) <= 70 + 64
        index.database.close()
