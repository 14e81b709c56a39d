"""Forks: a session that shares its past, whole or not there, and merged back by what is new alone."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import (
    Cut,
    DamagedAcceptanceError,
    InvalidArgumentError,
    InvalidCutError,
    OpEntry,
    OpLog,
    Options,
    SessionExistsError,
    fork_session,
    list_sessions,
)
from muse.core.storage.log_file import LogFile
from tests import making, plain_scan
from tests.making import entries, op_id
from tests.plain_scan import exact_list
from tests.samples import examples


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How many bytes are read of each log."""
    read: Counter[Path] = Counter()
    plain_read = LogFile.read

    def counted(self: LogFile, start: int, stop: int) -> bytes:
        data = plain_read(self, start, stop)
        read[self.path] += len(data)
        return data

    monkeypatch.setattr(LogFile, "read", counted)
    return read


@given(st.integers(0, 8), st.integers(0, 8))
@examples(10)
def test_a_fork_is_the_past_of_its_source(covered: int, cut: int) -> None:
    """The same bytes up to the cut; pending in it is what no commit of the source had, and the source is as it was."""
    written = entries(8)
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        log.append_many(written)
        making.add_bytes(log.path, b"damaged\n")
        cuts = [Cut("s", 0, 0), *(log.cut(at=each["op_id"]) for each in written)]
        if covered:
            log.checkpoint("c1", upto=cuts[covered])
        before = making.tree(repo / ".muse" / "op_log" / "s")
        assert fork_session(repo, "s", "new/s", upto=cuts[cut]) == cuts[cut]
        assert making.log_bytes(repo, "new%2Fs") == making.log_bytes(repo)[: cuts[cut].byte_offset]
        with OpLog(repo, "new/s") as fork:
            assert exact_list(fork.replay_since_checkpoint()) == exact_list(written[covered:cut])
            record = fork.read_checkpoint()
            assert (record and (record["session_id"], record["snapshot_id"], record["op_count"])) == (
                ("new/s", "c1", min(covered, cut)) if covered else None
            )
            assert fork.verify().ok
            fork.record("ada", "code", {"op": "insert"})
            assert fork.checkpoint("c2")["op_count"] == cut + 1
        assert {name: making.tree(log.folder)[name] for name in ("ops.jsonl",)} == {"ops.jsonl": before["ops.jsonl"]}
        assert list_sessions(repo) == ["new/s", "s"]


def test_a_fork_at_an_op_id_ends_with_it(repo: Path, log: OpLog) -> None:
    """And without a cut it holds all that has arrived, damaged lines as well."""
    log.append_many(entries(5))
    making.add_bytes(log.path, b"damaged\n")
    assert fork_session(repo, "s", "a", upto=op_id(3)).op_count == 3
    assert fork_session(repo, "s", "b") == log.cut()
    assert making.log_bytes(repo, "b") == making.log_bytes(repo)


def test_what_is_accepted_in_the_source_is_accepted_in_its_fork(repo: Path, log: OpLog) -> None:
    """Damage lies at the same place in both, so it is not told of again; without knowing what is accepted, no fork."""
    log.append_many(entries(3))
    making.add_bytes(log.path, b"damaged\n")
    assert not log.verify().ok
    log.accept(log.verify().findings, by="ada", why="seen")
    fork_session(repo, "s", "fork")
    with OpLog(repo, "fork") as fork:
        assert fork.verify().findings == log.verify().findings
        assert fork.verify().ok
        making.add_bytes(fork.path, b"damaged\n")
        assert not fork.verify().ok
    log.path.with_name("accepted.json").write_bytes(b"?")
    with pytest.raises(DamagedAcceptanceError):
        fork_session(repo, "s", "another")
    assert list_sessions(repo) == ["fork", "s"]


def test_what_can_not_be_forked_is_refused_and_nothing_is_made(repo: Path, log: OpLog) -> None:
    """A session that is there stays as it is."""
    log.append_many(entries(3))
    fork_session(repo, "s", "there")
    before = making.tree(repo)
    refused: list[tuple[str, str, Any, type[Exception]]] = [
        ("s", "there", None, SessionExistsError),
        ("s", "s", None, SessionExistsError),
        ("none", "new", None, InvalidArgumentError),
        ("s", "new", Cut("s", 5, 1), InvalidCutError),
        ("s", "new", op_id(9), InvalidArgumentError),
        ("s", "", None, InvalidArgumentError),
    ]
    for source, new, upto, error in refused:
        with pytest.raises(error):
            fork_session(repo, source, new, upto=upto)
    assert making.tree(repo).keys() == before.keys()


def test_what_is_private_stays_private(repo: Path, log: OpLog) -> None:
    """The fork's files and folder may be read by those who may read the source's."""
    log.append_many(entries(3))
    log.checkpoint("c")
    log.path.chmod(0o600)
    log.folder.chmod(0o700)
    fork_session(repo, "s", "new")
    folder = making.log_path(repo, "new").parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()} == dict.fromkeys(
        ("ops.jsonl", "checkpoint.json", "fork.json"), 0o600
    )


def test_a_fork_of_what_is_read_only_can_be_written_by_its_maker(repo: Path, log: OpLog) -> None:
    """A session that was put away goes on in a fork; nobody else may do more than before."""
    log.append_many(entries(3))
    log.checkpoint("c")
    for path, mode in ((log.path, 0o444), (log.folder, 0o555)):
        path.chmod(mode)
    fork_session(repo, "s", "new")
    log.folder.chmod(0o755)
    folder = making.log_path(repo, "new").parent
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o644}


def merged(log: OpLog, other: OpLog, reads: Counter[Path]) -> tuple[int, int]:
    """How many entries a merge took over, and how many bytes of both logs it read."""
    for each in (log, other):
        len(each)
    reads.clear()
    return log.merge(other), sum(reads.values())


def edits(log: OpLog, *texts: str) -> list[OpEntry]:
    """New entries of a log."""
    return [log.record("ada", "code", {"op": "insert", "address": text}) for text in texts]


def test_fork_edit_both_merge_is_the_union_by_reading_what_is_new(repo: Path, log: OpLog, reads: Counter[Path]) -> None:
    """Both ways, and between two forks and a fork of a fork: all have all, and of 500 kB some kB are read."""
    past: list[Any] = list(entries(2_000))
    log.append_many(past)
    fork_session(repo, "s", "one", upto=op_id(1_900))
    fork_session(repo, "s", "two")
    fork_session(repo, "one", "inner")
    everything = list(past)
    logs = [log, *(OpLog(repo, name, options=Options(segment_lines=300)) for name in ("one", "two", "inner"))]
    for number, each in enumerate(logs):
        everything += edits(each, *(f"{number}-{n}" for n in range(5)))
    for turn in range(2):
        for each in logs:
            for other in logs:
                if each is not other:
                    added, read = merged(each, other, reads)
                    assert read < 150_000, (each, other)
                    assert added == 0 or turn == 0
    for each in logs:
        assert plain_scan.exact_list(plain_scan.total_order(each.read_all())) == plain_scan.exact_list(  # type: ignore[arg-type]
            plain_scan.total_order(everything)
        )
        assert each.verify().ok
    for each in logs[1:]:
        each.close()


def test_replicas_that_are_no_forks_read_all_as_before(
    repo: Path, tmp_path: Path, log: OpLog, reads: Counter[Path]
) -> None:
    """So that a line that was damaged unseen is written again."""
    log.append_many(entries(50))
    with OpLog(tmp_path / "other", "s") as other:
        other.merge(log)
        assert other.path.read_bytes() == log.path.read_bytes()
        assert merged(other, log, reads)[1] > len(log.path.read_bytes())


@pytest.mark.parametrize("damage", ["ours", "theirs", "fork.json", "longer", "another"])
def test_a_past_that_is_not_the_same_any_more_is_merged_whole(repo: Path, log: OpLog, damage: str) -> None:
    """What one of the two has lost, or a hint that is wrong, never keeps an entry out."""
    log.append_many(entries(20))
    fork_session(repo, "s", "new")
    hint = making.log_path(repo, "new").with_name("fork.json")
    with OpLog(repo, "new") as fork:
        edits(fork, "x")
        if damage in ("ours", "theirs"):
            path = (log if damage == "ours" else fork).path
            with path.open("r+b") as file:
                file.seek(40)
                file.write(b"#")
            (log if damage == "ours" else fork).rebuild_index()
        elif damage == "fork.json":
            hint.write_bytes(b"{")
        elif damage == "longer":
            edits(log, "y")
            end = fork.cut().byte_offset
            hint.write_bytes(making.line({"past": [{"session_id": "s", "byte_offset": end}]}))
        else:
            hint.write_bytes(making.line({"past": [{"session_id": "t", "byte_offset": fork.cut().byte_offset}]}))
            with OpLog(repo, "t") as other:
                other.append_many(entries(30, start=100))
                assert other.merge(fork) == 21
        log.merge(fork)
        fork.merge(log)
        ids = {each["op_id"] for each in log}
        assert ids == {each["op_id"] for each in fork}
        assert ids >= {op_id(number) for number in range(1, 21)}
        assert len(ids) == 22 if damage == "longer" else 21


CHANGES = ("mkdir", "chmod", "fchmod", "write", "copy_file_range", "fsync", "rename", "unlink")
"""The calls of the system that change something."""


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do something in a child that is killed on entering its n-th of these calls; whether it was."""
    calls = 0

    def count(_frame: FrameType, event: str, called: Any) -> None:
        nonlocal calls
        if event == "c_call" and getattr(called, "__name__", "") in CHANGES:
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        try:
            sys.setprofile(count)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.process
def test_a_fork_that_is_killed_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """At each of its calls that change something; the log of the source stays as it is."""
    repo = tmp_path / "repo"
    with OpLog(repo, "s") as log:
        log.append_many(entries(20))
        log.checkpoint("c1", upto=log.cut(at=op_id(5)))
    before = making.log_bytes(repo)
    seen: Counter[str] = Counter()
    for number in range(1, 500):
        name = f"f{number}"
        was_killed = killed_at(number, lambda name=name: fork_session(repo, "s", name))  # type: ignore[misc]
        if name in list_sessions(repo):
            seen["whole"] += 1
            assert making.log_bytes(repo, name) == before
            with OpLog(repo, name) as fork:
                assert exact_list(fork.replay_since_checkpoint()) == exact_list(entries(15, start=6))
            assert merged_once(repo, name) == 0
        else:
            seen["none"] += 1
            assert not making.log_path(repo, name).parent.exists()
        assert making.log_bytes(repo) == before
        if not was_killed:
            break
    # The last two are the fsync after the rename, and no kill at all.
    assert seen["none"] >= 8
    assert seen["whole"] >= 2


def merged_once(repo: Path, name: str) -> int:
    """How many entries the source takes over from a fork."""
    with OpLog(repo, "s") as log, OpLog(repo, name) as fork:
        return log.merge(fork)


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="the system has no copy_file_range")
@pytest.mark.parametrize("error", [None, OSError(18, "another device"), AttributeError("not on this system")])
def test_bytes_are_copied_where_the_system_can_not(
    repo: Path, log: OpLog, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """The same bytes, if the system copies some of them first, or none."""
    log.append_many(entries(50))
    plain = os.copy_file_range

    def some(source: int, target: int, count: int, at: int, to: int) -> int:
        if error is not None:
            raise error
        return plain(source, target, min(count, 1_000), at, to) if at < 5_000 else 0

    monkeypatch.setattr(os, "copy_file_range", some)
    fork_session(repo, "s", "new")
    assert making.log_bytes(repo, "new") == making.log_bytes(repo)
