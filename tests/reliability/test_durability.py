"""Row 7, and what "fsync" means: the order of the system calls, and what a disk that refuses to sync costs."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from muse.core.op_log import OpLog, SyncError
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.reliability import faults
from tests.reliability.faults import errors, failing, filled, run_child


def calls_of(repo: Path, strace: str, output: Path, *steps: str, durability: str) -> list[str]:
    """What a child did to the session's files, call by call as `name file`, with `told` for each answer it gave.

    The files of the index are left out: nothing is promised of them. SQLite, too, syncs the folder now and then, by
    fdatasync.
    """
    before = [
        strace,
        "-f",
        "-qq",
        "-y",
        "-s",
        "16",
        "-e",
        "trace=write,fsync,fdatasync,rename,mkdir",
        "-o",
        str(output),
    ]
    told = run_child(repo, *steps, durability=durability, before=before)
    assert errors(told) == {}
    found = []
    for text in output.read_text(errors="replace").splitlines():
        call = text.split(maxsplit=1)[1]
        name = call.partition("(")[0]
        if call.startswith("write(1<"):
            found.append("told")
            continue
        paths = re.findall(rf"{re.escape(str(repo.resolve()))}/?([^\">]*)", call)
        if paths and "index.db" not in call and name != "fdatasync":
            places = [path.removeprefix(".muse/op_log/s/") or "." for path in paths]
            found.append(f"{'sync' if name == 'fsync' else name} {' -> '.join(places)}")
    return found


@pytest.mark.process
def test_append_is_synced_before_it_is_acknowledged(repo: Path, strace: str, tmp_path: Path) -> None:
    """Each write to the log is followed by a sync of the log, and only then by the answer; a batch costs one."""
    calls = calls_of(repo, strace, tmp_path / "trace", "append:1", "batch:2-40", "append:41", durability="fsync")
    on_log = [call for call in calls if call in {"write ops.jsonl", "sync ops.jsonl", "told"}]
    assert on_log == ["write ops.jsonl", "sync ops.jsonl", "told"] * 3


@pytest.mark.process
def test_names_of_new_folders_and_file_are_synced_before_the_first_acknowledgement(
    repo: Path, strace: str, tmp_path: Path
) -> None:
    """Each new folder is synced into its parent, and the log into its folder, before the first write."""
    calls = calls_of(repo, strace, tmp_path / "trace", "append:1", "append:2", durability="fsync")
    before = calls[: calls.index("write ops.jsonl")]
    made = [call.removeprefix("mkdir ") for call in before if call.startswith("mkdir")]
    assert made == [".muse", ".muse/op_log", ".muse/op_log/s"]
    for new, parent in zip([*made, None], [".", *made], strict=True):
        rest = before if new is None else before[before.index(f"mkdir {new}") :]
        assert f"sync {parent}" in rest, f"{parent} holds a new name that a power loss could take away"
    later = calls[calls.index("told") :]
    assert not [call for call in later if call.startswith("sync .muse")], "names that are not new are synced again"


@pytest.mark.process
def test_os_durability_syncs_nothing_of_the_log(repo: Path, strace: str, tmp_path: Path) -> None:
    """One write each, no sync: the promise is the death of the process."""
    calls = calls_of(repo, strace, tmp_path / "trace", "append:1", "batch:2-5", durability="os")
    assert [call for call in calls if "ops.jsonl" in call or call == "told"] == ["write ops.jsonl", "told"] * 2


@pytest.mark.process
@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_checkpoint_is_safe_in_every_durability(repo: Path, strace: str, tmp_path: Path, durability: str) -> None:
    """Row 38: in this order: names, the log, the record aside, its rename, the folder, and then told.

    The names on the way to the session only once, and not if appending has synced them.
    """
    calls = calls_of(
        repo, strace, tmp_path / "trace", "append:1", "checkpoint:one", "checkpoint:two", durability=durability
    )
    start = calls.index("told") + 1
    names = ["sync .muse/op_log/s", "sync .muse/op_log", "sync .muse", "sync ."] if durability == "os" else []
    assert calls[start:] == names + 2 * [
        "sync ops.jsonl",
        "write checkpoint.json.tmp",
        "sync checkpoint.json.tmp",
        "rename checkpoint.json.tmp -> checkpoint.json",
        "sync .muse/op_log/s",
        "told",
    ]


@pytest.mark.process
@pytest.mark.parametrize("when", [1, 2, 3])
def test_nth_sync_of_the_log_fails(repo: Path, strace: str, tmp_path: Path, when: int) -> None:
    """Row 7: that append raises SyncError, later ones are refused without another sync, a fresh handle takes all."""
    filled(repo, 4)
    output = tmp_path / "trace"
    prefix = failing(strace, "fsync", "EIO", making.log_path(repo), when=str(when))
    prefix[prefix.index("-o") + 1] = str(output)
    steps = ("append:11", "batch:12-14", "append:15", "append:16", "read")
    told = run_child(repo, *steps, durability="fsync", before=prefix)
    assert errors(told) == dict.fromkeys(steps[when - 1 : 4], "SyncError")
    assert told[when - 1]["errno"] == errno.EIO
    assert "unknown" in told[when - 1]["text"]
    assert output.read_text().count("fsync(") == when, "a failed fsync was tried again"
    # It was written; only its durability is unknown. What was refused afterwards was not.
    written = {1: [11], 2: [11, 12, 13, 14], 3: [11, 12, 13, 14, 15]}[when]
    assert told[4]["result"][4:] == [op_id(number) for number in written]
    faults.retry(repo, [entry(number) for number in range(11, 17)], durability="fsync")
    assert plain_scan.scan(making.log_bytes(repo)).duplicates == []
    faults.assert_recovered(repo, told)


@pytest.mark.process
@pytest.mark.parametrize("when", range(1, 8))
def test_nth_sync_of_anything_fails(repo: Path, strace: str, when: int) -> None:
    """Row 7: new folders, log, record aside, folder of the record: never acknowledged wrongly, always recoverable."""
    steps = ("append:1", "append:2", "checkpoint:one", "append:3")
    told = run_child(repo, *steps, durability="fsync", before=failing(strace, "fsync,fdatasync", "EIO", when=str(when)))
    assert set(errors(told).values()) <= {"SyncError", "AppendError"}
    if "SyncError" in errors(told).values():
        first = next(number for number, each in enumerate(told) if each.get("error") == "SyncError")
        if told[first]["step"].startswith("append"):
            assert all("error" in each for each in told[first:]), "a name that may not be durable was taken for durable"
    granted = [each["result"] for each in told if each["step"] == "checkpoint:one" and "error" not in each]
    faults.assert_recovered(repo, told)
    faults.retry(repo, [entry(number) for number in (1, 2, 3)], durability="fsync")
    with OpLog(repo, "s") as log:
        record = log.read_checkpoint()
        if granted:
            assert record is not None
            assert record["op_count"] == granted[0]
        assert log.checkpoint("two")["op_count"] == 4


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc to tell what is synced")
def test_sync_of_the_new_files_name_fails(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 7: where the folder of a new log can't be synced, this handle acknowledges nothing; a fresh one syncs it."""
    folder = faults.folder_of(repo)
    sync = os.fsync
    synced: list[str] = []

    def refuse_folders(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        synced.append(path)
        if path == str(folder.resolve()) and len(synced) < 20:
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)

    def note(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    with monkeypatch.context() as patched, OpLog(repo, "s", durability="fsync") as log:
        patched.setattr(os, "fsync", refuse_folders)
        for number in (1, 2):
            with pytest.raises(SyncError):
                log.append(entry(number))
    synced.clear()
    monkeypatch.setattr(os, "fsync", note)
    faults.retry(repo, [entry(1), entry(2)], durability="fsync")
    assert str(folder.resolve()) in synced


@pytest.mark.process
@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_sync_fails_before_a_checkpoint(repo: Path, strace: str, durability: str) -> None:
    """Row 7: the old record stands, and this handle neither appends nor checkpoints any more."""
    filled(repo, 6, checkpoint_after=3)
    before = faults.folder_of(repo).joinpath("checkpoint.json").read_bytes()
    told = run_child(
        repo,
        *("checkpoint:two", "append:7", "checkpoint:three", "read"),
        durability=durability,
        before=failing(strace, "fsync,fdatasync", "EIO", making.log_path(repo), when="1"),
    )
    assert errors(told) == dict.fromkeys(("checkpoint:two", "append:7", "checkpoint:three"), "SyncError")
    assert faults.folder_of(repo).joinpath("checkpoint.json").read_bytes() == before
    assert len(told[3]["result"]) == 6
    faults.assert_recovered(repo, told)


def test_poisoned_handle_is_refused_by_every_way_of_writing(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 7: every way of writing raises SyncError; reading goes on, and a new handle writes."""
    filled(repo, 3)
    filled(repo, 5, session="other")

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with OpLog(repo, "s", durability="fsync") as log, OpLog(repo, "other") as other:
        log.append(entry(80))
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", refuse)
            with pytest.raises(SyncError):
                log.append(entry(90))
        size = log.path.stat().st_size
        for write in (
            lambda: log.append(entry(91)),
            lambda: log.append_many(entries(3, start=92)),
            lambda: log.record("ada", "music", {"op": "insert"}),
            lambda: log.merge(other),
            lambda: log.checkpoint("x"),
        ):
            with pytest.raises(SyncError):
                write()
        assert log.path.stat().st_size == size
        assert making.assert_same_as_scan(log, log.path).op_ids[-1] == op_id(90)
    faults.retry(repo, [entry(90), entry(91)], durability="fsync")
