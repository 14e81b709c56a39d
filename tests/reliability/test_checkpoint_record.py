"""Row 17: whatever becomes of checkpoint.json, it is never taken for "no checkpoint"."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import CheckpointBackwardsError, CheckpointError, DamagedCheckpointError, OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list
from tests.reliability import faults
from tests.reliability.faults import errors, failing, filled, killed_at, run_child


def record_path(repo: Path, session: str = "s") -> Path:
    """Where the record of a session lies."""
    return faults.folder_of(repo, session) / "checkpoint.json"


def missing(repo: Path) -> None:
    """Deleted."""
    record_path(repo).unlink()


def empty(repo: Path) -> None:
    """Zero bytes."""
    record_path(repo).write_bytes(b"")


def half_written(repo: Path) -> None:
    """Its second half never reached the disk."""
    data = record_path(repo).read_bytes()
    record_path(repo).write_bytes(data[: len(data) // 2])


def half_nuls(repo: Path) -> None:
    """Its second half is NULs."""
    data = record_path(repo).read_bytes()
    record_path(repo).write_bytes(data[: len(data) // 2].ljust(len(data), b"\0"))


def of_another_session(repo: Path) -> None:
    """A sound record of another session with as many entries."""
    filled(repo, 10, checkpoint_after=6, session="other")
    shutil.copy(record_path(repo, "other"), record_path(repo))


def beyond_the_end(repo: Path) -> None:
    """The log lost its end, and with it half of what was covered."""
    path = making.log_path(repo)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))


def of_another_log(repo: Path) -> None:
    """The log was replaced by another one, longer than what was covered."""
    making.log_path(repo).write_bytes(b"".join(map(making.line, entries(40, start=500))))


def older(repo: Path) -> None:
    """A sound record of this session, from a backup that was made before the last checkpoint."""
    record_path(repo).write_bytes(record_path(repo).with_name("backup").read_bytes())


def a_folder(repo: Path) -> None:
    """A folder in its place."""
    record_path(repo).unlink()
    record_path(repo).mkdir()


FAULTS = [missing, empty, half_written, half_nuls, of_another_session, beyond_the_end, of_another_log, older, a_folder]


@pytest.mark.parametrize("fault", FAULTS)
def test_record_can_not_be_used(repo: Path, fault: Callable[[Path], None]) -> None:
    """Row 17: all that depends on it raises and names the file and the way out; appends and reads go on."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3))
        log.checkpoint("zero")
        shutil.copy(record_path(repo), record_path(repo).with_name("backup"))
        log.append_many(entries(3, start=4))
        log.checkpoint("one")
        log.append_many(entries(4, start=7))
    fault(repo)
    with OpLog(repo, "s") as log:
        for use in (
            log.read_checkpoint,
            log.replay_since_checkpoint,
            lambda: log.to_structured_delta("music"),
            lambda: list(log.query(since_checkpoint=True)),
            lambda: log.count(since_checkpoint=True),
            lambda: log.checkpoint("two"),
        ):
            with pytest.raises((DamagedCheckpointError, IsADirectoryError), match=r"checkpoint\.json") as caught:
                use()
            if fault is not a_folder:
                assert "muse op-log repair" in str(caught.value)
                assert "muse op-log help recovery" in str(caught.value)
        assert log.append(entry(99)) is True
        making.assert_same_as_scan(log, log.path)
        if fault is not a_folder:
            assert not log.verify().ok


@pytest.mark.process
@pytest.mark.parametrize("how", ["rename", "fsync", "write"])
@pytest.mark.parametrize("when", [1, 2])
def test_crash_on_replacing_the_record(repo: Path, strace: str, how: str, when: int) -> None:
    """Row 17: killed before the rename there is the old record, after it the new one, and never a half."""
    filled(repo, 9, checkpoint_after=4)
    told = run_child(repo, "checkpoint:two", "append:10", before=killed_at(strace, how, when))
    with OpLog(repo, "s") as log:
        record = log.read_checkpoint()
        assert record is not None
        assert record["op_count"] in ({9} if told else {4, 9})
        assert len(log.replay_since_checkpoint()) == len(log) - record["op_count"]
        assert log.checkpoint("three")["op_count"] == len(log)
        assert log.verify().ok
    assert faults.names_in(record_path(repo).parent) == {"ops.jsonl", "index.db", "checkpoint.json"}


@pytest.mark.process
@pytest.mark.parametrize("error", ["EIO", "EACCES", "ENOSPC", "EXDEV"])
def test_rename_of_the_record_fails(repo: Path, strace: str, error: str) -> None:
    """Row 17: the old record stands, the error says why, nothing is left aside, and the next attempt is granted."""
    filled(repo, 9, checkpoint_after=4)
    before = record_path(repo).read_bytes()
    told = run_child(
        repo,
        *("checkpoint:two", "replay", "checkpoint:three", "replay"),
        before=failing(strace, "rename", error, when="1"),
    )
    assert errors(told).keys() == {"checkpoint:two"}
    assert told[1]["result"] == [op_id(number) for number in range(5, 10)]
    assert told[2]["result"] == 9
    assert told[3]["result"] == []
    assert before != record_path(repo).read_bytes()
    assert faults.names_in(record_path(repo).parent) == {"ops.jsonl", "index.db", "checkpoint.json"}


@pytest.mark.process
@pytest.mark.parametrize("error", ["EIO", "EACCES", "EMFILE"])
def test_record_can_not_be_opened_or_read(repo: Path, strace: str, error: str) -> None:
    """Row 17: an error on reading it is raised, not taken for a missing record."""
    filled(repo, 9, checkpoint_after=4)
    told = run_child(repo, "replay", "checkpoint:x", before=failing(strace, "openat", error, record_path(repo)))
    assert len(errors(told)) == 2
    told = run_child(
        repo, "replay", "append:50", "checkpoint:x", before=failing(strace, "read", "EIO", record_path(repo))
    )
    assert errors(told).keys() == {"replay", "checkpoint:x"}
    with OpLog(repo, "s") as log:
        assert len(log.replay_since_checkpoint()) == 6


@pytest.mark.process
def test_two_checkpointers_at_once(repo: Path) -> None:
    """Row 17: whichever comes later, the record never moves backwards, and no op is pending or covered twice."""
    workers = [children.start_worker("checkpoint_often", repo, f"w{number}", 40) for number in range(2)]
    told = children.race(workers)
    with OpLog(repo, "s") as log:
        scanned = making.assert_same_as_scan(log, log.path)
        record = log.read_checkpoint()
        assert record is not None
        granted = [each for own in told for each in own if isinstance(each, int)]
        assert record["op_count"] == max(granted)
        assert {each for own in told for each in own if isinstance(each, str)} <= {"CheckpointBackwardsError"}
        assert exact_list(log.replay_since_checkpoint()) == exact_list(scanned.entries[record["op_count"] :])
        assert log.verify().ok


def test_older_cut_than_the_checkpoint(repo: Path) -> None:
    """Row 17: of two handles that cut at two moments the later cut stands, in whichever order they checkpoint."""
    with OpLog(repo, "s") as one, OpLog(repo, "s") as two:
        one.append_many(entries(3))
        early = one.cut()
        two.append_many(entries(4, start=4))
        late = two.cut()
        assert two.checkpoint("late", upto=late)["op_count"] == 7
        before = record_path(repo).read_bytes()
        with pytest.raises(CheckpointBackwardsError) as caught:
            one.checkpoint("early", upto=early)
        assert isinstance(caught.value, CheckpointError | ValueError)
        assert record_path(repo).read_bytes() == before
        assert one.checkpoint("again", upto=late)["op_count"] == 7
        assert one.replay_since_checkpoint() == two.replay_since_checkpoint() == []


def test_record_written_by_hand_with_five_fields(repo: Path) -> None:
    """Row 17: op_count alone leads to the cut, whatever is damaged below.

    It counts lines as the first program did that wrote such records, a repeated line too (row 28): what it leaves open
    is pending, and never taken for committed.
    """
    filled(repo, 4)
    making.add_bytes(making.log_path(repo), b"torn\n\n" + making.line(entry(2)))
    with OpLog(repo, "s") as log:
        log.append_many(entries(6, start=5))
        log.checkpoint("lost")
    record: dict[str, Any] = json.loads(record_path(repo).read_bytes())
    five = {name: record[name] for name in ("session_id", "snapshot_id", "lamport_ts", "op_count", "created_at")}
    for count in (0, 4, 5, 6, 11):
        making.drop_index(repo)
        record_path(repo).write_text(json.dumps({**five, "op_count": count}))
        with OpLog(repo, "s") as log:
            # The fifth line repeats the second entry.
            expected = plain_scan.scan_file(log.path).entries[count - (count >= 5) :]
            assert exact_list(log.replay_since_checkpoint()) == exact_list(expected)
    record_path(repo).write_text(json.dumps({**five, "op_count": 12}))
    with OpLog(repo, "s") as log, pytest.raises(DamagedCheckpointError, match="12"):
        log.replay_since_checkpoint()
