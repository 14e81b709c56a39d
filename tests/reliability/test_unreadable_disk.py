"""Row 6: EIO on read is raised: it is not corruption, and nothing is declared lost because of it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from tests import making
from tests.making import add_bytes, entries, line, op_id
from tests.reliability import faults
from tests.reliability.faults import failing, filled, run_child

pytestmark = pytest.mark.process

READS = "pread64,read,readv,preadv"


@pytest.mark.parametrize(
    "step", ["read", "get:7", "verify", "rebuild", "append:90", "checkpoint:two", "replay", "count"]
)
@pytest.mark.parametrize("index", ["kept", "gone", "behind"])
def test_log_can_not_be_read(repo: Path, strace: str, step: str, index: str) -> None:
    """Row 6: whatever has to read the log raises EIO, or needed no read; afterwards all is there and sound."""
    filled(repo, 10, checkpoint_after=5)
    if index == "gone":
        making.drop_index(repo)
    if index == "behind":
        add_bytes(making.log_path(repo), b"".join(line(each) for each in entries(3, start=11)))
    there = 13 if index == "behind" else 10
    (told,) = run_child(repo, step, before=failing(strace, READS, "EIO", making.log_path(repo)))
    if "error" in told:
        assert told["errno"] == errno.EIO, told
        assert "damage" not in told["text"]
    else:
        assert step in {"get:7", "append:90", "count"}, "something was answered that had to be read"
        assert index == "kept"
    with OpLog(repo, "s") as log:
        assert len(making.assert_same_as_scan(log, log.path).entries) == there + (
            "error" not in told and step == "append:90"
        )
        assert len(log.replay_since_checkpoint()) == len(log) - 5
        assert log.verify().findings == ()


@pytest.mark.parametrize("when", ["1", "2", "3"])
def test_nth_read_of_the_log_fails_once(repo: Path, strace: str, when: str) -> None:
    """Row 6: the same handle goes on as soon as the disk does, and no line was taken for damage in between."""
    filled(repo, 10)
    steps = ("read", "get:3", "read", "append:11", "read", "count", "verify")
    told = run_child(repo, *steps, before=failing(strace, READS, "EIO", making.log_path(repo), when=when))
    failed = [each for each in told if "error" in each]
    assert len(failed) <= 1
    assert all(each["errno"] == errno.EIO for each in failed)
    assert told[4]["result"] == [op_id(number) for number in range(1, 12)]
    assert told[6].get("result", []) == []
    faults.assert_recovered(repo, told)


@pytest.mark.parametrize("when", ["1", "5", "3+"])
def test_index_can_not_be_read(repo: Path, strace: str, when: str) -> None:
    """Row 6: EIO on the index is no error of any call: the log answers (guarantee 3)."""
    filled(repo, 40, checkpoint_after=20)
    steps = ("read", "get:3", "append:41", "count", "replay", "verify")
    paths = [faults.folder_of(repo) / name for name in ("index.db", "index.db-wal")]
    told = run_child(repo, *steps, before=failing(strace, READS, "EIO", *paths, when=when))
    assert [each for each in told if "error" in each] == []
    assert told[0]["result"] == [op_id(number) for number in range(1, 41)]
    assert len(told[4]["result"]) == 21
    faults.assert_recovered(repo, told)
