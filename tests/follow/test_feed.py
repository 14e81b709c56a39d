"""What a feed passes on: whole lines of this log, also of one that is new, torn or replaced."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from muse.core.op_log import Cut, LogReplacedError, OpLog
from tests import making
from tests.follow.following import LONG, in_thread
from tests.making import entries, entry
from tests.plain_scan import exact_list


def test_a_torn_tail_is_given_once_it_is_finished(repo: Path, log: OpLog) -> None:
    """Half a line is nothing; when its writer ends it, it is an entry, also for who began to follow in between."""
    making.add_bytes(log.path, making.line(entry(1)))
    line = making.line(entry(2))
    before = log.follow(timeout=0.02)
    making.add_bytes(log.path, line[:40])
    between = log.follow()
    assert list(before) == []
    before = log.follow(since=before.cut())
    making.add_bytes(log.path, line[40:])
    assert [next(before), next(between)] == [entry(2), entry(2)]


def test_a_torn_tail_that_is_sealed_is_passed_over(repo: Path, log: OpLog) -> None:
    """An append after a dead writer's half a line gives a follower the new entry alone."""
    making.add_bytes(log.path, making.line(entry(1))[:40])
    follower = log.follow(from_start=True)
    log.append(entry(2))
    assert next(follower) == entry(2)


def test_a_session_that_is_not_there_yet_can_be_followed(repo: Path) -> None:
    """To follow creates nothing, and the first entry is given when the log comes to be."""
    with OpLog(repo, "s") as log:
        followers = [log.follow(timeout=LONG), log.follow(from_start=True, timeout=LONG)]
        assert list(log.follow(timeout=0)) == []
        assert followers[0].cut() == Cut("s", 0, 0)
        assert making.tree(repo) == {}
        with in_thread(lambda: [next(each) for each in followers]) as found, OpLog(repo, "s") as other:
            other.append(entry(1))
        assert found == [[entry(1), entry(1)]]


def test_a_log_that_was_replaced_is_said_to_be(repo: Path, log: OpLog) -> None:
    """A follower raises LogReplacedError when its file is gone, and when another of the same size is in its place."""
    log.append_many(entries(3))
    for replace in (os.unlink, lambda path: os.replace(log.path.with_name("copy"), path)):
        with OpLog(repo, "s") as mine:
            follower = mine.follow(from_start=True)
            assert len(list(islice(follower, 3))) == 3
            data = log.path.read_bytes()
            log.path.with_name("copy").write_bytes(data)
            replace(log.path)
            with pytest.raises(LogReplacedError):
                next(follower)
            log.path.write_bytes(data)


def test_entries_are_followed_across_a_deleted_index(repo: Path, log: OpLog) -> None:
    """A position is one of the log: with another index, or none, the rest is given all the same."""
    log.append_many(entries(3_000))
    follower = log.follow(from_start=True, timeout=0)
    found = list(islice(follower, 2_500))
    making.drop_index(repo)
    found += islice(follower, 100)
    log.rebuild_index()
    log.append_many(entries(100, start=3_001))
    assert exact_list([*found, *follower]) == exact_list(entries(3_100))
