"""rebuild_index: the same answers before and after, at any time, with writers at work (guarantee 11)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings

from muse.core.op_log import OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry
from tests.samples import PIECES


@given(PIECES)
@settings(max_examples=50)
def test_guarantee_11_rebuilding_changes_no_answer_whatever_the_bytes(pieces: list[bytes]) -> None:
    """An index grown line by line and one made anew from any bytes answer alike, and as the plain scan."""
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        for piece in pieces:
            making.add_bytes(log.path, piece)
            len(log)
        before = making.answers(log)
        log.rebuild_index()
        assert making.answers(log) == before
        making.assert_same_as_scan(log, log.path)


def test_rebuilding_an_absent_session_makes_nothing(repo: Path) -> None:
    """No log, no index."""
    with OpLog(repo, "s") as log:
        log.rebuild_index()
        assert len(log) == 0
    assert making.tree(repo) == {}


def test_rebuilding_leaves_no_file_beside_the_index(repo: Path, log: OpLog) -> None:
    """The index that was made beside the old one is swapped in, and nothing of it is left."""
    log.append_many(entries(50))
    log.rebuild_index()
    log.append(entry(90))
    assert {path.name for path in log.folder.iterdir()} <= {
        "ops.jsonl",
        "index.db",
        "index.db-wal",
        "index.db-shm",
    }


def test_other_open_handles_go_on_after_a_rebuild(repo: Path, log: OpLog) -> None:
    """A handle opened before the rebuild reads and appends as before, and its work is in the new index."""
    with OpLog(repo, "s") as other:
        log.append_many(entries(50))
        assert len(other) == 50
        log.rebuild_index()
        other.append(entry(100))
        log.append(entry(101))
        assert other.append(entry(101)) is False
        for handle in (log, other):
            making.assert_same_as_scan(handle, log.path)
        other.rebuild_index()
        log.append(entry(102))
        for handle in (log, other):
            making.assert_same_as_scan(handle, log.path)
    with OpLog(repo, "s") as again:
        making.assert_same_as_scan(again, log.path)


def test_a_rebuild_reports_its_progress_in_bytes(repo: Path, log: OpLog) -> None:
    """The callback gets rising numbers that end at the size of the log."""
    told: list[tuple[int, int]] = []
    log.append_many(entries(5_000))
    log.rebuild_index(progress=lambda done, total: told.append((done, total)))
    size = len(making.log_bytes(repo))
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_rebuild_that_is_broken_off_harms_nothing(repo: Path, log: OpLog) -> None:
    """An exception out of the callback comes through, and the old index, or a new one, goes on answering."""
    log.append_many(entries(5_000))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.rebuild_index(progress=stop)
    making.assert_same_as_scan(log, log.path)
    log.append(entry(9_000))
    with OpLog(repo, "s") as again:
        assert len(again) == 5_001
    log.rebuild_index()
    assert {path.name for path in log.folder.iterdir()} <= {
        "ops.jsonl",
        "index.db",
        "index.db-wal",
        "index.db-shm",
    }


@pytest.mark.process
@pytest.mark.slow
def test_guarantee_11_rebuilds_while_processes_write_lose_nothing(repo: Path, log: OpLog) -> None:
    """Three processes record while this one rebuilds all the time: every answer is the plain scan's."""
    workers = [children.start_worker("record", repo, "s", f"w{number}", 1_000) for number in range(3)]
    for worker in workers:
        assert children.pipe_of(worker).readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    rebuilt = 0
    while not all(children.readable(children.pipe_of(worker), seconds=0) for worker in workers):
        log.rebuild_index()
        rebuilt += 1
        cut = log.cut()
        data = making.log_bytes(repo)[: cut.byte_offset]
        assert cut.op_count == len(plain_scan.scan(data).entries)
    acknowledged = [each[0] for worker in workers for each in json.loads(children.pipe_of(worker).readline())]
    for worker in workers:
        children.end(worker)
    assert rebuilt
    scanned = making.assert_same_as_scan(log, log.path)
    assert Counter(scanned.op_ids) == Counter(acknowledged)
    with OpLog(repo, "s") as again:
        before = making.answers(again)
        again.rebuild_index()
        assert making.answers(again) == before
    assert {path.name for path in log.folder.iterdir()} <= {
        "ops.jsonl",
        "index.db",
        "index.db-wal",
        "index.db-shm",
    }
