"""Evidence: a rebuilt index goes on knowing of checkpoints and of lines that have changed since they were indexed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.index.blocks.segment import DamagedIndexError
from muse.core.index.evidence import (
    changed_lines,
    checkpoint_seen,
    inherit_changed_lines,
    inherit_checkpoint,
    record_checkpoint,
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


def test_the_last_checkpoint_is_remembered(index: Index) -> None:
    """None at first, then the one that was recorded last."""
    assert checkpoint_seen(index.connection) is None
    record_checkpoint(index.connection, 700, "snapshot ü")
    assert checkpoint_seen(index.connection) == (700, "snapshot ü")
    record_checkpoint(index.connection, 900, "two")
    assert checkpoint_seen(index.connection) == (900, "two")


@pytest.mark.parametrize("change", ["byte_offset = 5", "snapshot_id = 'x'", "row_checksum = 5", "byte_offset = 'x'"])
def test_an_altered_checkpoint_is_not_believed(index: Index, change: str) -> None:
    """What was seen of a checkpoint is checked like every other row."""
    record_checkpoint(index.connection, 700, "one")
    index.connection.execute(f"UPDATE seen_checkpoint SET {change}")
    with pytest.raises(DamagedIndexError, match="checkpoint"):
        checkpoint_seen(index.connection)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, None, None),
        (None, (5, "a"), (5, "a")),
        ((5, "a"), None, (5, "a")),
        ((5, "a"), (9, "b"), (9, "b")),
        ((9, "b"), (5, "a"), (9, "b")),
    ],
)
def test_the_furthest_checkpoint_is_inherited(
    index: Index,
    older: Index,
    old: tuple[int, str] | None,
    new: tuple[int, str] | None,
    expected: tuple[int, str] | None,
) -> None:
    """Whichever of the two indexes has seen it."""
    for made, seen in ((older, old), (index, new)):
        if seen:
            record_checkpoint(made.connection, *seen)
    inherit_checkpoint(index.connection, older.connection)
    assert checkpoint_seen(index.connection) == expected


def feed(index: Index, lines: list[PlainLine]) -> None:
    """Give an index some lines and write them."""
    index.add(fed_with(lines, index.end))
    index.write(0)


@given(plain_lines(min_size=1), st.sets(st.integers(0, 39)), st.lists(st.integers(1, 12), max_size=5))
@examples(50)
def test_lines_that_changed_are_inherited(lines: list[PlainLine], numbers: set[int], portions: list[int]) -> None:
    """Those that are as long as before with another checksum, whatever segments the two indexes have; and no others."""
    changed = [
        replace(each, checksum=each.checksum ^ 1) if number in numbers else each for number, each in enumerate(lines)
    ]
    offsets = offsets_of(lines)
    with segments_of_four():
        old, new = index_in_memory(), index_in_memory()
        low = 0
        for portion in (*portions, len(lines)):
            feed(old, lines[low : low + portion])
            low += portion
        feed(new, changed)
        inherit_changed_lines(new, old)
        assert changed_lines(new.connection) == {
            offsets[number]: lines[number].checksum for number in numbers if number < len(lines)
        }
    old.database.close()
    new.database.close()


def test_the_first_checksum_of_a_line_is_kept_over_generations(index: Index, older: Index) -> None:
    """A line that changes again, or back, stays known with what it was at first."""
    first = some_lines(9)
    second = [replace(each, checksum=7) if number == 4 else each for number, each in enumerate(first)]
    oldest = index_in_memory()
    for made, lines in ((oldest, first), (older, second), (index, first)):
        feed(made, lines)
    inherit_changed_lines(older, oldest)
    inherit_changed_lines(index, older)
    assert changed_lines(index.connection) == {offsets_of(first)[4]: first[4].checksum}
    oldest.database.close()


def test_lines_of_another_length_are_not_compared(index: Index, older: Index) -> None:
    """Where lines begin elsewhere or end elsewhere, nothing is known of what they were."""
    lines = some_lines(30)
    feed(older, lines)
    feed(index, [replace(each, length=each.length + (number == 10), checksum=5) for number, each in enumerate(lines)])
    inherit_changed_lines(index, older)
    assert set(changed_lines(index.connection)) == set(offsets_of(lines)[:10])


@pytest.mark.parametrize("knows", ["less", "more"])
def test_indexes_that_know_different_prefixes_are_compared_as_far_as_both_reach(
    index: Index, older: Index, knows: str
) -> None:
    """The old one may be behind the log; others may feed it while the new one is made."""
    lines = some_lines(30)
    changed = [replace(each, checksum=5) for each in lines]
    feed(older, lines if knows == "more" else lines[:12])
    feed(index, changed[:12] if knows == "more" else changed)
    inherit_changed_lines(index, older)
    assert set(changed_lines(index.connection)) == set(offsets_of(lines)[:12])


@pytest.mark.parametrize("change", ["byte_offset = 5", "first_checksum = 1", "row_checksum = 5"])
def test_altered_evidence_of_a_line_is_not_believed(index: Index, older: Index, change: str) -> None:
    """It is checked like every other row."""
    feed(older, some_lines(3))
    feed(index, [replace(each, checksum=5) for each in some_lines(3)])
    inherit_changed_lines(index, older)
    (at,) = index.connection.execute("SELECT max(byte_offset) FROM changed_line").fetchone()
    index.connection.execute(f"UPDATE changed_line SET {change} WHERE byte_offset = ?", (at,))
    with pytest.raises(DamagedIndexError, match="changed lines"):
        changed_lines(index.connection)


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
    assert connection.execute("SELECT count(*) FROM changed_line").fetchone() == (0,)
    connection.close()
