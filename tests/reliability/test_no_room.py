"""Row 5: no room, no quota, too large a file, a short write: an error that names itself, and then work goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from muse.core.op_log import AppendError, MuseError, OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id
from tests.reliability import faults
from tests.reliability.faults import acknowledged, errors, failing, filled, run_child

STEPS = ("append:11", "append:12", "batch:13-16", "read", "append:17", "checkpoint:two", "append:18", "read")


@pytest.mark.process
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EFBIG"])
@pytest.mark.parametrize("when", ["1", "3", "2+"])
def test_nth_write_of_the_log_fails(repo: Path, strace: str, error: str, when: str) -> None:
    """Row 5: exactly the failing appends raise AppendError with this errno, reads go on, later appends work."""
    filled(repo, 10, checkpoint_after=5)
    told = run_child(repo, *STEPS, before=failing(strace, "write", error, making.log_path(repo), when=when))
    writes = ["append:11", "append:12", "batch:13-16", "append:17", "append:18"]
    failed = writes[int(when) - 1 : int(when)] if when.isdigit() else writes[int(when[:-1]) - 1 :]
    assert errors(told) == dict.fromkeys(failed, "AppendError")
    assert {each["errno"] for each in told if "error" in each} == {getattr(errno, error)}
    assert all("nothing was acknowledged" in each["text"] for each in told if "error" in each)
    reads = [each["result"] for each in told if each["step"] == "read"]
    assert reads[-1] == [op_id(number) for number in range(1, 11)] + acknowledged(told)
    faults.assert_recovered(repo, told)
    faults.retry(repo, [entry(number) for number in range(11, 19)])


@pytest.mark.process
@pytest.mark.parametrize("room", [0, 1, 300, 900])
@pytest.mark.parametrize("step", ["append:21", "batch:21-25"])
def test_write_is_short_at_the_file_size_limit(repo: Path, room: int, step: str) -> None:
    """Row 5: with room for a part (RLIMIT_FSIZE) nothing is acknowledged; with room again, appends work."""
    size = len(filled(repo, 10))
    steps = (f"limit:{size + room}", step, "read", "limit:none", "append:30", step, "read")
    told = run_child(repo, *steps)
    fits = room >= 900 and step == "append:21"
    if step == "append:21" and room >= 299:
        fits = "error" not in told[1]
    assert ("error" not in told[1]) == fits
    if not fits:
        assert told[1]["error"] == "AppendError"
        assert told[1]["errno"] in {errno.EFBIG, errno.ENOSPC}
    assert told[2]["result"][:10] == [op_id(number) for number in range(1, 11)]
    assert told[4]["result"] is True
    scanned = faults.assert_recovered(repo, told)
    assert {op_id(30), op_id(21)} <= set(scanned.op_ids)


@pytest.mark.parametrize("kept", [1, 150, 290])
def test_short_write_is_closed_so_that_nobody_is_glued_to_it(
    repo: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Row 5: where there is room for it a newline ends the fragment at once, for programs that seal nothing."""
    size = len(filled(repo, 3))
    write = os.write
    with OpLog(repo, "s") as log, monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, data[: kept if len(data) > 1 else 1]))
        with pytest.raises(AppendError, match=f"only {kept} of"):
            log.append(entry(4))
    making.add_bytes(making.log_path(repo), making.line(entry(5)))
    assert making.log_bytes(repo)[size + kept : size + kept + 1] == b"\n"
    with OpLog(repo, "s") as log:
        scanned = making.assert_same_as_scan(log, log.path)
        assert scanned.op_ids[-1] == op_id(5)
        assert len(scanned.damaged) == 1
        assert log.append(entry(4)) is True


@pytest.mark.process
def test_device_behind_the_log_is_full(repo: Path) -> None:
    """Row 5: with /dev/full in the place of the log each append says so, none is acknowledged, and nothing hangs."""
    filled(repo, 3)
    before = faults.in_mount_namespace('mount --bind /dev/full "$0"', making.log_path(repo))
    told = run_child(repo, "append:4", "batch:5-6", "append:4", before=before)
    assert errors(told) == dict.fromkeys(("append:4", "batch:5-6"), "AppendError")
    assert {each["errno"] for each in told} == {errno.ENOSPC}
    faults.assert_recovered(repo, told)


@pytest.mark.process
def test_tiny_file_system_is_filled_by_others_and_emptied_again(tmp_path: Path) -> None:
    """Row 5: on a tmpfs of 192 KiB, log, index and checkpoint on it, all that was acknowledged is there afterwards."""
    small, copy = tmp_path / "small", tmp_path / "copy"
    small.mkdir()
    script = (
        'mount -t tmpfs -o size=192k none "$0" && (head -c 100000 /dev/zero > "$0/ballast" || true) '
        f'&& trap \'rm -f "$0/ballast"; cp -r "$0" {copy}\' EXIT'
    )
    prefix = faults.in_mount_namespace(script, small)
    prefix[4] = prefix[4].replace('exec "$@"', '"$@"')
    steps = [f"batch:{start}-{start + 9}" for start in range(1, 400, 10)]
    told = run_child(small, *steps, "read", "checkpoint:one", before=prefix)
    assert errors(told), "the disk was never full"
    assert set(errors(told).values()) <= {"AppendError", "SyncError", "OSError"}
    assert {each["errno"] for each in told if "error" in each} == {errno.ENOSPC}
    assert set(acknowledged(told)) <= set(plain_scan.scan_file(making.log_path(copy)).op_ids)
    faults.assert_recovered(copy, told)


@pytest.mark.process
@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT"])
def test_no_room_for_a_checkpoint_record(repo: Path, strace: str, call: str, error: str) -> None:
    """Row 5: the old record stands, the error has its errno, no stray file is left, and the next one is made."""
    filled(repo, 8, checkpoint_after=4)
    path = faults.folder_of(repo) / "checkpoint.json"
    before = path.read_bytes()
    # Calls on the file aside are told by order: four names and the log are synced before it.
    calls = {"write": "write", "fsync": "fsync", "rename": "rename"}[call]
    when = {"write": "1", "fsync": "6", "rename": "1"}[call]
    told = run_child(repo, "checkpoint:two", "replay", "append:9", before=failing(strace, calls, error, when=when))
    assert errors(told).keys() == {"checkpoint:two"}
    assert told[0]["errno"] == getattr(errno, error)
    assert told[1]["result"] == [op_id(number) for number in (5, 6, 7, 8)]
    assert path.read_bytes() == before
    assert faults.names_in(path.parent) == {"ops.jsonl", "index.db", "checkpoint.json"}
    faults.assert_recovered(repo, told)
    with OpLog(repo, "s") as log:
        assert log.checkpoint("two")["op_count"] == 10


@pytest.mark.process
def test_batch_that_is_refused_for_its_size_can_be_appended_in_parts(repo: Path) -> None:
    """Row 5: after an AppendError the same entries, one by one or all, are appended once."""
    told = children.in_forked_child(lambda: _append_beyond_the_limit(repo))
    assert told == [errno.ENOSPC, True]
    faults.retry(repo, entries(50))


def _append_beyond_the_limit(repo: Path) -> list[object]:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, resource.RLIM_INFINITY))
    with OpLog(repo, "s") as log:
        try:
            log.append_many(entries(50))
        except AppendError as error:
            return [error.errno, issubclass(type(error), MuseError)]
    return []
