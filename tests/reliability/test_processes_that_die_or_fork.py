"""Rows 10 to 12: SIGKILL at any moment, forks, and two processes under one name with clocks that lie."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import muse.core.checkpoint.cut
import muse.core.entry.model
from muse.core.op_log import OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id
from tests.reliability import faults
from tests.reliability.faults import acknowledged, filled, killed_at, run_child

pytestmark = pytest.mark.process


@pytest.mark.parametrize("when", [1, 2, 4])
def test_kill_on_entering_a_write_of_the_log(repo: Path, strace: str, when: int) -> None:
    """Row 10: all that was acknowledged before is there, and what was not even written is not."""
    prefix = [
        *killed_at(strace, "write", when)[:-4],
        "-P",
        str(making.log_path(repo)),
        *killed_at(strace, "write", when)[-4:],
    ]
    filled(repo, 3)
    told = run_child(repo, "append:11", "batch:12-14", "append:15", "append:16", "append:17", before=prefix)
    assert len(told) == when - 1
    assert plain_scan.scan_file(making.log_path(repo)).op_ids[3:] == acknowledged(told)
    faults.assert_recovered(repo, told)


@pytest.mark.parametrize("call", ["pwrite64", "fsync", "fdatasync", "rename", "unlink", "ftruncate"])
def test_kill_between_the_log_and_its_index(repo: Path, strace: str, call: str) -> None:
    """Row 10: killed on entering such a call of the index or the checkpoint, nothing acknowledged is lost."""
    for when in (1, 4):
        told = run_child(
            repo,
            *(f"append:{100 * when + 1}", f"batch:{100 * when + 2}-{100 * when + 9}", "checkpoint:x", "rebuild"),
            durability="fsync",
            before=killed_at(strace, call, when),
        )
        scanned = plain_scan.scan_file(making.log_path(repo))
        assert set(acknowledged(told)) <= set(scanned.op_ids)
        with OpLog(repo, "s") as log:
            making.assert_same_as_scan(log, log.path)
            assert log.verify().ok
            covered = (log.read_checkpoint() or {"op_count": 0})["op_count"]
            assert len(log.replay_since_checkpoint()) == len(log) - covered


@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_kill_at_a_random_moment(repo: Path, durability: str) -> None:
    """Row 10: two writers killed after some acknowledgements: each acknowledged entry is there once."""
    known: list[str] = []
    for count in (1, 9):
        writers = [
            children.start_worker("acknowledge_forever", repo, "s", f"w{n}", durability, 1 + 6 * n) for n in range(2)
        ]
        for writer in writers:
            known += children.kill_after(writer, count)
    with OpLog(repo, "s") as log:
        scanned = making.assert_same_as_scan(log, log.path)
        # A kill in the middle of a write can tear its line, where a page ends: it was not acknowledged. The next writer
        # ends it, so that it is a damaged line.
        counts = log.verify().counts
        assert counts.keys() <= {"torn-tail", "damaged-line"}
        assert sum(counts.values()) <= 4
    assert set(known) <= set(scanned.op_ids)
    assert scanned.duplicates == []


def test_fork_leaves_the_index_whole_for_parent_child_and_grandchild(repo: Path) -> None:
    """Row 11: all three go on with one handle, the children end as processes do, and nothing is there twice."""
    with OpLog(repo, "s", durability="fsync") as log:
        log.append_many(entries(50))
        log.checkpoint("one")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                log.append(entry(101))
                grandchild = os.fork()
                if grandchild == 0:
                    log.append_many(entries(20, start=200))
                    log.rebuild_index()
                    log.append(entry(300))
                    log.close()
                    code = 0
                elif children.wait_for_child(grandchild) == 0:
                    log.append(entry(102))
                    assert len(log) >= 73
                    code = 0
            finally:
                os._exit(code)
        for number in range(400, 430):
            log.append(entry(number))
        assert children.wait_for_child(child) == 0
        scanned = making.assert_same_as_scan(log, log.path)
        assert Counter(scanned.op_ids) == Counter(
            op_id(number) for number in (*range(1, 51), 101, 102, *range(200, 220), 300, *range(400, 430))
        )
        assert log.append(entry(300)) is False
        assert log.verify().findings == ()
    with closing(sqlite3.connect(faults.folder_of(repo) / "index.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_fork_in_the_middle_of_an_iteration(repo: Path) -> None:
    """Row 11: parent and child finish the same iteration, each with every entry once."""
    filled(repo, 5_000)
    with OpLog(repo, "s") as log:
        iterator = iter(log)
        first = next(iterator)["op_id"]

        def rest() -> list[str]:
            return [first, *(each["op_id"] for each in iterator)]

        in_child = children.in_forked_child(lambda: [len(rest()), log.append(entry(9_000))])
        assert in_child == [5_000, True]
        assert rest() == [op_id(number) for number in range(1, 5_001)]
        assert len(log) == 5_001


def test_interpreter_of_a_child_ends_without_touching_the_parents_index(repo: Path) -> None:
    """Row 11: a child that exits like any program (not by os._exit) does not delete the parent's -wal."""
    script = (
        "import os, sys\n"
        "from muse.core.op_log import OpLog\n"
        "from tests import children, making\n"
        f"log = OpLog({str(repo)!r}, 's')\n"
        "log.append_many(making.entries(20))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    log.append(making.entry(100))\n"
        "    sys.exit(0)\n"
        "code = children.wait_for_child(child)\n"
        "for number in range(200, 220):\n"
        "    log.append(making.entry(number))\n"
        "assert len(log) == 41, len(log)\n"
        "assert log.append(making.entry(100)) is False\n"
        "assert log.verify().findings == ()\n"
        "log.close()\n"
        "sys.exit(code)\n"
    )
    code = os.spawnl(
        os.P_WAIT,
        sys.executable,
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(making.PROJECT)!r})\n{script}",
    )
    assert code == 0
    with OpLog(repo, "s") as log:
        assert len(making.assert_same_as_scan(log, log.path).entries) == 41


class _Lying(dt.datetime):
    """A wall clock that stands still at a wrong time."""

    shown: dt.datetime

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        return cls.shown


@pytest.mark.parametrize("order", ["past first", "future first"])
def test_two_processes_of_one_actor_with_clocks_back_and_ahead(
    repo: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Row 12: wall time orders nothing: arrival order is the file's, timestamps rise, no op_id clashes."""
    years = [1970, 2999] if order == "past first" else [2999, 1970]

    def record(year: int, count: int) -> object:
        _Lying.shown = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
        monkeypatch.setattr(muse.core.entry.model, "datetime", _Lying)
        monkeypatch.setattr(muse.core.checkpoint.cut, "datetime", _Lying)
        with OpLog(repo, "s") as log:
            made = [log.record("ada", "music", {"op": "insert", "year": year}) for _ in range(count)]
            log.checkpoint(str(year))
            return [each["op_id"] for each in made]

    told = [children.in_forked_child(lambda year=year: record(year, 10)) for year in (*years, *years)]  # type: ignore[misc]
    with OpLog(repo, "s") as log:
        scanned = making.assert_same_as_scan(log, log.path)
        stamps = [each["lamport_ts"] for each in scanned.entries]
        assert stamps == sorted(set(stamps))
        assert scanned.op_ids == [one for ids in told if isinstance(ids, list) for one in ids]
        assert [each["created_at"][:4] for each in scanned.entries] == [
            str(y) for y in (*years, *years) for _ in range(10)
        ]
        assert log.replay_since_checkpoint() == []
        making.drop_index(repo)
        faults.folder_of(repo).joinpath("checkpoint.json").unlink()
    with OpLog(repo, "s") as log:
        ops = log.to_structured_delta("music")["ops"]
        assert plain_scan.exact_list(ops) == plain_scan.exact_list(each["domain_op"] for each in scanned.entries)


def test_two_processes_of_one_actor_at_once(repo: Path) -> None:
    """Row 12: under one name, at the same moment, each op is there once and each process's timestamps rise."""
    from tests.test_processes import start_together

    told = start_together(repo, 2, 150, actor="ada")
    with OpLog(repo, "s") as log:
        scanned = making.assert_same_as_scan(log, log.path)
    assert Counter(scanned.op_ids) == Counter(str(op) for own in told for op, _ in own)
    for own in told:
        stamps = [int(stamp) for _, stamp in own]
        assert stamps == sorted(set(stamps))
