"""Row 9: a log that is deleted, replaced or truncated under an open handle is noticed; two logs are never mixed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from muse.core.op_log import LogReplacedError, OpLog
from tests import making, plain_scan
from tests.making import entries, entry, line
from tests.plain_scan import exact_list
from tests.reliability.faults import filled
from tests.small_index import pages_of


def unlink(path: Path) -> None:
    """Delete the log."""
    path.unlink()


def truncate(path: Path) -> None:
    """Cut the log in the middle of its third line."""
    os.truncate(path, len(b"".join(path.read_bytes().splitlines(keepends=True)[:2])) + 9)


def swap(path: Path) -> None:
    """Put another log of about the same size in its place by a rename."""
    staged = path.with_name("staged")
    staged.write_bytes(b"".join(map(line, entries(12, start=500))))
    staged.replace(path)


def swap_folder(path: Path) -> None:
    """Put another session's whole folder in the place of this one."""
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.mkdir()
    path.write_bytes(b"".join(map(line, entries(30, start=700))))


@pytest.mark.parametrize("take_away", [unlink, truncate, swap, swap_folder])
@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_log_is_taken_away_between_two_appends(repo: Path, take_away: Callable[[Path], None], durability: str) -> None:
    """Row 9: the next append and all later uses are refused, and the file that lies there now is not touched."""
    with OpLog(repo, "s", durability="fsync" if durability == "fsync" else "os") as log:
        log.append_many(entries(10))
        take_away(log.path)
        now = log.path.read_bytes() if log.path.exists() else None
        uses = (lambda: log.append(entry(50)), lambda: log.append_many(entries(2, start=51)), log.read_all, log.cut)
        for use in uses:
            with pytest.raises(LogReplacedError, match=r"ops\.jsonl"):
                use()
        assert (log.path.read_bytes() if log.path.exists() else None) == now


@pytest.mark.parametrize("take_away", [unlink, truncate, swap])
def test_log_is_taken_away_while_it_is_iterated(repo: Path, take_away: Callable[[Path], None]) -> None:
    """Row 9: an iteration gives entries of the one log only: to its end, or until it raises."""
    filled(repo, 500)
    whole = exact_list(plain_scan.scan_file(making.log_path(repo)).entries)
    seen = []
    with pages_of(100), OpLog(repo, "s") as log:
        iterator = iter(log)
        seen.append(plain_scan.exact(next(iterator)))
        take_away(log.path)
        with suppress(LogReplacedError):
            for each in iterator:
                seen.append(plain_scan.exact(each))  # noqa: PERF401 - what was seen before an error counts
        assert seen == whole[: len(seen)]


def test_log_is_truncated_and_has_grown_again(repo: Path) -> None:
    """Row 9: cut to nothing and written anew by another program in the same file: no old entry comes back."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(10))
        assert len(log) == 10
        os.truncate(log.path, 0)
        making.add_bytes(log.path, b"".join(map(line, entries(40, start=900))))
        with suppress(LogReplacedError):
            log.append(entry(50))
            making.assert_same_as_scan(log, log.path)
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
        assert log.append(entry(51)) is True
        making.assert_same_as_scan(log, log.path)


@pytest.mark.parametrize("take_away", [unlink, swap])
def test_other_replica_is_taken_away_while_it_is_merged(
    repo: Path, tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    """Row 9: a merge gives whole entries of the one log, and raises where it can't go on."""
    filled(repo, 3)
    with pages_of(100), OpLog(tmp_path / "other", "s") as other, OpLog(repo, "s") as log:
        other.append_many(entries(500, start=100))
        taken: list[int] = []

        def take(done: int, total: int) -> None:
            if done < total and not taken:
                taken.append(done)
                take_away(other.path)

        # What it still reads through its open file is of the one log; a new question is refused.
        with suppress(LogReplacedError):
            log.merge(other, progress=take)
        with pytest.raises(LogReplacedError):
            log.merge(other)
        merged = making.assert_same_as_scan(log, log.path)
        assert merged.damaged == []
        assert set(merged.op_ids) <= {making.op_id(number) for number in (*range(1, 4), *range(100, 600))}


def test_link_to_the_log_is_moved_away_and_back(repo: Path) -> None:
    """Row 9: the very same file at its place again is the same log, and the handle goes on."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(4))
        away = log.path.with_name("away")
        log.path.rename(away)
        with pytest.raises(LogReplacedError):
            log.append(entry(9))
        away.rename(log.path)
        assert log.append(entry(9)) is True
        assert len(making.assert_same_as_scan(log, log.path).entries) == 5
