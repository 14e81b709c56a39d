"""Several processes on one session: nothing lost, nothing twice, also when they are killed."""

from __future__ import annotations

import itertools
import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from muse.core.op_log import AppendError, OpLog
from tests import children, making, plain_scan

pytestmark = pytest.mark.process


def start_together(repo: Path, count: int, each: int, actor: str = "actor-{}") -> list[list[list[str | int]]]:
    """Let `count` processes record `each` operations at once; what each of them was acknowledged."""
    told: list[list[list[str | int]]] = children.race(
        [children.start_worker("record", repo, "s", actor.format(number), each) for number in range(count)]
    )
    return told


@pytest.mark.slow
def test_four_processes_that_record_2_000_each_lose_nothing(repo: Path) -> None:
    """Every acknowledged op_id is there once, each actor's timestamps strictly rise, the index equals a rebuilt one."""
    told = start_together(repo, 4, 2_000)
    scanned = plain_scan.scan_file(making.log_path(repo))
    assert scanned.damaged == []
    acknowledged = [str(op) for own in told for op, _ in own]
    assert len(acknowledged) == 8_000
    assert Counter(scanned.op_ids) == Counter(acknowledged)
    assert scanned.duplicates == []
    for number, own in enumerate(told):
        stamps = [entry["lamport_ts"] for entry in scanned.entries if entry["actor_id"] == f"actor-{number}"]
        assert stamps == [stamp for _, stamp in own]
        assert all(low < high for low, high in itertools.pairwise(stamps))
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
        before = making.answers(log)
        assert log.verify().findings == ()
        log.rebuild_index()
        assert making.answers(log) == before
        making.assert_same_as_scan(log, log.path)


def test_processes_of_the_same_actor_do_not_clash(repo: Path) -> None:
    """Three processes under one name: every op of each is there once."""
    told = start_together(repo, 3, 300, actor="ada")
    with OpLog(repo, "s") as log:
        scanned = making.assert_same_as_scan(log, log.path)
        assert log.actors() == {"ada": 900}
    assert Counter(scanned.op_ids) == Counter(str(op) for own in told for op, _ in own)


def test_processes_that_create_the_session_at_once_share_it(tmp_path: Path) -> None:
    """Folders and index are made by all at the same moment, over and over: no error, one session."""
    workers = [children.start_worker("create_often", tmp_path, f"actor-{number}", 20) for number in range(3)]
    for number in range(20):
        (tmp_path / str(number)).mkdir()
        children.go(*workers)
        told = [json.loads(children.pipe_of(worker).readline()) for worker in workers]
        with OpLog(tmp_path / str(number), "s") as log:
            scanned = making.assert_same_as_scan(log, log.path)
        assert Counter(scanned.op_ids) == Counter(op for own in told for op in own)


def test_guarantee_5_fragments_that_arrive_while_others_append_swallow_no_acknowledged_entry(repo: Path) -> None:
    """A line glued to a fragment that came between is written again: acknowledged ⊆ recovered, each once."""
    with OpLog(repo, "s") as log:
        acknowledged = [log.record("ada", "music", {"op": "insert"})["op_id"]]
        worker = children.start_worker("tear_often", log.path, 20_000)
        children.go(worker)
        pipe = children.pipe_of(worker)
        refused = 0
        while not children.readable(pipe, seconds=0):
            try:
                acknowledged.append(log.record("ada", "music", {"op": "insert"})["op_id"])
            except AppendError:
                refused += 1
        children.end(worker)
        acknowledged.append(log.record("ada", "music", {"op": "insert"})["op_id"])
        scanned = making.assert_same_as_scan(log, log.path)
    recovered = Counter(scanned.op_ids)
    assert set(acknowledged) <= set(recovered)
    assert len(recovered) <= len(acknowledged) + refused
    assert scanned.damaged


@pytest.mark.slow
@pytest.mark.parametrize(("durability", "batch"), [("os", 1), ("os", 60), ("fsync", 1), ("fsync", 30)])
def test_guarantee_2_what_a_killed_writer_acknowledged_is_recovered_once(
    repo: Path, durability: str, batch: int
) -> None:
    """Killed after 1, some and many acknowledgements, two writers at a time: acknowledged ⊆ recovered, each once."""
    acknowledged: list[str] = []
    for rounds, count in enumerate((1, 3, 17) if batch > 1 else (1, 2, 5, 60), 1):
        writers = [
            children.start_worker("acknowledge_forever", repo, "s", f"w{number}", durability, batch)
            for number in range(2)
        ]
        for writer in writers:
            acknowledged += children.kill_after(writer, count)
        scanned = plain_scan.scan_file(making.log_path(repo))
        assert set(acknowledged) <= set(scanned.op_ids)
        assert scanned.duplicates == []
        with OpLog(repo, "s") as log:
            making.assert_same_as_scan(log, log.path)
            made = log.record("after", "music", {"op": "insert", "round": rounds})
            acknowledged.append(made["op_id"])
            making.assert_same_as_scan(log, log.path)
    with OpLog(repo, "s") as log:
        before = making.answers(log)
        log.rebuild_index()
        assert making.answers(log) == before
        # A kill in the middle of a write tears a line, which nobody acknowledged and the next append sealed.
        torn = plain_scan.scan_file(log.path).damaged
        assert len(torn) <= 2 * rounds
        found = log.verify().findings
        lines = [(at.byte_offset, at.length + 1) for at, _ in torn]
        assert [(each.byte_offset, each.length) for each in found] == lines


@pytest.mark.slow
def test_a_rebuild_that_is_killed_leaves_a_session_that_works(repo: Path) -> None:
    """A process killed in the middle of rebuilding: the next one reads and appends as if nothing had been."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(6_000))
    for number, at_percent in enumerate((0, 30, 70, 100)):
        worker = children.start_worker("rebuild_until", repo, at_percent)
        assert children.pipe_of(worker).readline() == b'"there"\n'
        worker.send_signal(signal.SIGKILL)
        children.end(worker)
        with OpLog(repo, "s") as log:
            assert len(log) == log.count() == 6_000 + number
            log.append(making.entry(90_000 + at_percent))
            assert log.count(actor_id="bob") == 3_000
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
        log.rebuild_index()
        names = {path.name for path in log.folder.iterdir()}
    assert names <= {"ops.jsonl", "index.db", "index.db-wal", "index.db-shm"}, "a half-built index was left for good"
