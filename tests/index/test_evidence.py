"""Evidence: a rebuilt index goes on knowing of checkpoints and of entries that the log no longer has as they were."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.index.blocks.segment import DamagedIndexError
from muse.core.index.evidence import (
    SeenCheckpoint,
    checkpoint_seen,
    held_entries,
    inherit_checkpoint,
    missing_entries,
    placed,
    record_checkpoint,
    record_held,
)
from muse.core.index.store import Index
from muse.core.op_log import OpLog
from tests import making
from tests.index.plain_lines import (
    PlainLine,
    fed_with,
    index_in_memory,
    offsets_of,
    plain_lines,
    segments_of_four,
    some_lines,
)
from tests.making import entries
from tests.samples import examples


@pytest.fixture
def index() -> Iterator[Index]:
    """An empty index."""
    made = index_in_memory()
    yield made
    made.database.close()


@pytest.fixture
def older() -> Iterator[Index]:
    """Another empty index, which was there before."""
    made = index_in_memory()
    yield made
    made.database.close()


def record(snapshot_id: str) -> dict[str, object]:
    """What stands for a checkpoint's record."""
    return {"snapshot_id": snapshot_id, "op_count": 3}


def test_the_last_checkpoint_is_remembered(index: Index) -> None:
    """None at first, then the one that was recorded last, with all of its record."""
    assert checkpoint_seen(index.connection) is None
    record_checkpoint(index.connection, 700, record("snapshot ü"))
    assert checkpoint_seen(index.connection) == SeenCheckpoint(700, record("snapshot ü"), 0)
    record_checkpoint(index.connection, 900, record("two"))
    assert checkpoint_seen(index.connection) == SeenCheckpoint(900, record("two"), 0)


@pytest.mark.parametrize("change", ["byte_offset = 5", "record = '{}'", "row_checksum = 5", "byte_offset = 'x'"])
def test_an_altered_checkpoint_is_not_believed(index: Index, change: str) -> None:
    """What was seen of a checkpoint is checked like every other row."""
    record_checkpoint(index.connection, 700, record("one"))
    index.connection.execute(f"UPDATE seen_checkpoint SET {change}")
    with pytest.raises(DamagedIndexError, match="checkpoint"):
        checkpoint_seen(index.connection)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [(None, None, None), (None, 5, 5), (5, None, 5), (5, 9, 9), (9, 5, 9)],
)
def test_the_furthest_checkpoint_is_inherited(
    index: Index, older: Index, old: int | None, new: int | None, expected: int | None
) -> None:
    """Whichever of the two indexes has seen it."""
    for made, seen in ((older, old), (index, new)):
        if seen:
            record_checkpoint(made.connection, seen, record(f"at {seen}"))
    inherit_checkpoint(index.connection, older.connection)
    found = checkpoint_seen(index.connection)
    assert found == (None if expected is None else SeenCheckpoint(expected, record(f"at {expected}"), 0))


def feed(index: Index, lines: list[PlainLine]) -> None:
    """Give an index some lines and write them."""
    index.add(fed_with(lines, index.end))
    index.write(0)


def inherited(new: Index, old: Index) -> dict[tuple[int, int, int], bytes]:
    """What `new` remembers of the entries of `old`: byte offset, length and checksum of each, and its op_id."""
    record_held(new.connection, missing_entries(old, new))
    return {each[:3]: uuid.UUID(each.op_id).bytes for each in held_entries(new.connection)}


def expected(old: list[PlainLine], new: list[PlainLine]) -> dict[tuple[int, int, int], bytes]:
    """The same by plain search: the entries that `new` has not at their places, as they were."""
    there = {
        (at, each.length, each.checksum) for at, each in zip(offsets_of(new), new, strict=False) if not each.problem
    }
    return {
        key: each.op_id
        for at, each in zip(offsets_of(old), old, strict=False)
        if not each.problem and (key := (at, each.length, each.checksum)) not in there
    }


CHANGES: dict[str, Callable[[PlainLine], list[PlainLine]]] = {
    "altered": lambda each: [replace(each, checksum=each.checksum ^ 1)],
    "longer": lambda each: [replace(each, length=each.length + 1, checksum=each.checksum ^ 2)],
    "damaged": lambda each: [PlainLine(each.length, 77, problem=("damaged", "is all NULs"))],
    "cut out": lambda _each: [],
    "pushed": lambda each: [PlainLine(5, 5, problem=("damaged", "inserted")), each],
}


@given(
    plain_lines(min_size=1),
    st.dictionaries(st.integers(0, 39), st.sampled_from(sorted(CHANGES)), max_size=6),
    st.integers(0, 40),
    st.lists(st.integers(1, 12), max_size=5),
)
@examples(80)
def test_entries_that_are_not_where_they_were_are_inherited(
    lines: list[PlainLine], changes: dict[int, str], kept: int, portions: list[int]
) -> None:
    """Altered, cut out, cut off, damaged or moved ones, whatever segments the two indexes have; and all are found."""
    changed = [
        new
        for number, each in enumerate(lines[: max(kept, 1)])
        for new in (CHANGES[changes[number]](each) if number in changes and not each.problem else [each])
    ]
    with segments_of_four():
        old, new = index_in_memory(), index_in_memory()
        low = 0
        for portion in (*portions, len(lines)):
            feed(old, lines[low : low + portion])
            low += portion
        if changed:
            feed(new, changed)
        assert inherited(new, old) == expected(lines, changed)
        held = list(missing_entries(old, older := index_in_memory()))[::-1] + list(missing_entries(old, older))
        assert list(placed(new, held)) == [(each, new.location_of(uuid.UUID(each.op_id).bytes)) for each in held]
        older.database.close()
    old.database.close()
    new.database.close()


def test_what_is_lost_is_kept_over_generations(index: Index, older: Index) -> None:
    """A line that changes again, or back, stays known as it was each time it was indexed."""
    first = some_lines(9)
    second = [replace(each, checksum=7) if number == 4 else each for number, each in enumerate(first)]
    oldest = index_in_memory()
    for made, lines in ((oldest, first), (older, second), (index, first)):
        feed(made, lines)
    inherited(older, oldest)
    record_held(index.connection, held_entries(older.connection))
    at = offsets_of(first)[4]
    assert set(inherited(index, older)) == {(at, first[4].length, each) for each in (first[4].checksum, 7)}
    oldest.database.close()


def test_an_old_index_that_is_behind_tells_what_it_knows(index: Index, older: Index) -> None:
    """It may have died long before the log went on."""
    lines = some_lines(30)
    feed(older, lines[:12])
    feed(index, [replace(each, checksum=5) for each in lines])
    assert inherited(index, older) == expected(lines[:12], [])


@pytest.mark.parametrize("change", ["byte_offset = 5", "checksum = 1", "row_checksum = 5", "actor_id = 'eve'"])
def test_altered_evidence_of_an_entry_is_not_believed(index: Index, older: Index, change: str) -> None:
    """It is checked like every other row."""
    feed(older, some_lines(3))
    feed(index, [replace(each, checksum=5) for each in some_lines(3)])
    inherited(index, older)
    (at,) = index.connection.execute("SELECT max(byte_offset) FROM held_entry").fetchone()
    index.connection.execute(f"UPDATE held_entry SET {change} WHERE byte_offset = ?", (at,))
    with pytest.raises(DamagedIndexError, match="lost entries"):
        list(held_entries(index.connection))


def test_a_line_altered_on_disk_is_still_reported_after_rebuilds(repo: Path) -> None:
    """`verify` tells of it, by its place, however often the index is made anew."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(30))
    path = making.log_path(repo)
    data = path.read_bytes()
    at = data.index(b"C4", len(data) // 2)
    path.write_bytes(data[:at] + b"D4" + data[at + 2 :])
    line = data.rindex(b"\n", 0, at) + 1
    with OpLog(repo, "s") as log:
        for _ in range(3):
            found = [each for each in log.verify().findings if each.kind == "line-changed"]
            assert [each.byte_offset for each in found] == [line]
            log.rebuild_index()


def test_evidence_that_can_not_be_read_stops_no_rebuild(repo: Path) -> None:
    """An old index that is no database any more leaves nothing, and the new one is made."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(30))
    index = making.log_path(repo).with_name("index.db")
    index.write_bytes(b"scribble" * 500)
    with OpLog(repo, "s") as log:
        log.rebuild_index()
        making.assert_same_as_scan(log, log.path)
    connection = sqlite3.connect(index)
    assert connection.execute("SELECT count(*) FROM held_entry").fetchone() == (0,)
    connection.close()
