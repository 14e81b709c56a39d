"""Lines as they are: `lines_after` gives them, `append_lines` takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidArgumentError, InvalidEntryError, LimitExceededError, OpIdConflictError, OpLog
from tests import making, plain_scan
from tests.making import entries, entry, line, op_id
from tests.samples import examples


def every_line(log: OpLog) -> list[tuple[int, int, bytes]]:
    """All that `lines_after` gives, page after page."""
    found: list[tuple[int, int, bytes]] = []
    at = 0
    while True:
        page, resume_at = log.lines_after(at)
        found += page
        if resume_at == at:
            return found
        at = resume_at


def test_every_line_of_an_entry_comes_once_with_its_place(tmp_path: Path) -> None:
    """Damaged, blank and repeated lines are passed over; the bytes are those of the file."""
    made = [line(each) for each in entries(2500)]
    data = b"".join((*made[:1200], b"rubbish\n", b"\n", made[3], *made[1200:], b'{"torn'))
    making.add_bytes(making.log_path(tmp_path), data)
    with OpLog(tmp_path, "s") as log:
        found = every_line(log)
        assert [each for _, _, each in found] == made
        assert all(data[begin:end] == each for begin, end, each in found)


def test_reading_goes_on_where_it_was_told_to(tmp_path: Path) -> None:
    """From the end of a line the next one follows; at the end, or past it, there is nothing and the end is told."""
    with OpLog(tmp_path, "s") as log:
        assert log.lines_after(0) == ([], 0)
        log.append_many(entries(3))
        page, end = log.lines_after(0)
        assert end == log.path.stat().st_size
        assert log.lines_after(page[0][1]) == (page[1:], end)
        assert log.lines_after(end) == log.lines_after(end + 10**9) == ([], end)
        log.append(entry(9))
        page, later = log.lines_after(end)
        assert (len(page), later) == (1, log.path.stat().st_size)
        with pytest.raises(InvalidArgumentError):
            log.lines_after(-1)


@given(st.lists(st.integers(1, 30)), st.lists(st.integers(1, 30)))
@examples(30)
def test_lines_are_appended_as_they_are_and_once(mine: list[int], theirs: list[int]) -> None:
    """What lacks is appended byte for byte, in the order given, whatever is there or comes twice."""
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        making.add_bytes(log.path, b"".join(line(entry(number)) for number in dict.fromkeys(mine)))
        before = log.path.read_bytes()
        lacking = [number for number in dict.fromkeys(theirs) if number not in mine]
        added, end = log.append_lines(b"".join(line(entry(number)) for number in theirs))
        assert added == len(lacking)
        assert log.path.read_bytes() == before + b"".join(line(entry(number)) for number in lacking)
        assert end == log.path.stat().st_size
        assert log.append_lines(log.path.read_bytes()) == (0, end)


def test_what_is_refused_is_told_and_the_rest_is_taken(tmp_path: Path) -> None:
    """No entry, other content, too long, too high: each is told with its reason, and the others are there."""
    told: list[tuple[str, str]] = []
    with OpLog(tmp_path, "s", max_line_bytes=600, max_lamport_jump=1000) as log:
        log.append(entry(1))
        added, _ = log.append_lines(
            line(entry(2))
            + b'{"op_id": 1}\n'
            + b"\xff\n"
            + line(entry(1, actor_id="eve"))
            + line(entry(3, intent_id="x" * 500))
            + line(entry(4, lamport_ts=10_000))
            + line(entry(5))
            + line(entry(5, actor_id="eve"))
            + b"\n"
            + line(entry(6)),
            on_skip=lambda which, reason: told.append((which, reason)),
        )
        assert added == 3
        scanned = plain_scan.scan_file(log.path)
        assert scanned.op_ids == [op_id(1), op_id(2), op_id(5), op_id(6)]
        assert sorted(which for which, _ in told) == sorted(["", "", op_id(1), op_id(3), op_id(4), op_id(5)])
        assert all(reason for _, reason in told)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"no JSON\n", InvalidEntryError),
        (line(entry(1, actor_id="eve")), OpIdConflictError),
        (line(entry(3, intent_id="x" * 600)), LimitExceededError),
    ],
)
def test_without_a_listener_a_bad_line_is_raised_and_nothing_written(
    tmp_path: Path, bad: bytes, error: type[Exception]
) -> None:
    """One line that can't be taken stops all that came with it."""
    with OpLog(tmp_path, "s", max_line_bytes=600) as log:
        log.append(entry(1))
        before = log.path.read_bytes()
        with pytest.raises(error):
            log.append_lines(line(entry(2)) + bad)
        assert log.path.read_bytes() == before


def test_the_clock_goes_on_above_appended_lines(tmp_path: Path) -> None:
    """A timestamp given out later lies above those that came from another replica."""
    with OpLog(tmp_path, "s") as log:
        log.append_lines(line(entry(1, lamport_ts=77)))
        assert log.next_lamport_ts() == 78
