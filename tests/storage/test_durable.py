"""What becomes durable when: one write per append, syncs in their order, and what a failing disk costs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id


def trace(strace: str, calls: str, output: Path, *more: str) -> list[str]:
    """A command prefix that writes the named system calls of a worker, with paths, to `output`."""
    return [strace, "-f", "-y", "-s", "0", "-e", f"trace={calls}", *more, "-o", str(output)]


def calls_in(output: Path, pattern: str) -> list[str]:
    """The lines of a trace that match a pattern, without the process id."""
    lines = [line.split(maxsplit=1)[1] for line in output.read_text(errors="replace").splitlines() if line.strip()]
    return [line for line in lines if re.search(pattern, line)]


@pytest.mark.process
@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_guarantee_2_an_append_is_one_write_that_takes_it_all(
    repo: Path, tmp_path: Path, strace: str, durability: str
) -> None:
    """One entry and a batch of five are two write(2) calls on ops.jsonl, opened with O_APPEND, and no other."""
    output = tmp_path / "trace"
    calls = "openat,open,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,flock,fcntl"
    children.run_worker("append_some", repo, durability, before=trace(strace, calls, output))
    writes = calls_in(output, r"^p?writev?2?(64)?\(.*ops\.jsonl>")
    assert len(writes) == 2
    assert sum(int(each.rsplit("=", 1)[1]) for each in writes) == len(making.log_bytes(repo))
    assert all(each.startswith("write(") for each in writes)
    opened = calls_in(output, r"^open(at)?\(.*(O_WRONLY|O_RDWR).*ops\.jsonl>?$")
    assert opened
    assert all("O_APPEND" in each and "O_TRUNC" not in each for each in opened)
    assert not calls_in(output, r"truncate\(.*ops\.jsonl")
    assert not calls_in(output, r"(flock|F_SETLK|F_OFD_SETLK).*ops\.jsonl"), "the log was locked for appending"


@pytest.mark.process
def test_guarantee_2_fsync_syncs_the_file_after_its_write_and_the_new_folders(
    repo: Path, tmp_path: Path, strace: str
) -> None:
    """In "fsync" mode a sync of the log follows each write, and the parent of each new folder is synced."""
    output = tmp_path / "trace"
    children.run_worker(
        "append_some", repo, "fsync", before=trace(strace, "write,fsync,fdatasync,mkdir,mkdirat", output)
    )
    on_log = [each.split("(")[0] for each in calls_in(output, r"^(write|fsync|fdatasync)\(.*ops\.jsonl>")]
    assert on_log[0] == "write"
    for position, call in enumerate(on_log):
        if call == "write":
            assert on_log[position + 1] in {"fsync", "fdatasync"}
    synced = {
        match.group(1) for each in calls_in(output, "sync") if (match := re.search(r"<([^>]*)>", each)) is not None
    }
    folder = making.log_path(repo).parent
    for parent in (folder, folder.parent, folder.parent.parent, repo):
        assert str(parent.resolve()) in synced, f"{parent} holds a new name that a power loss could take away"


@pytest.mark.process
def test_the_os_mode_does_not_sync_the_log(repo: Path, tmp_path: Path, strace: str) -> None:
    """The promise of "os" is the death of the process: no append waits for the disk."""
    output = tmp_path / "trace"
    children.run_worker("append_some", repo, "os", before=trace(strace, "fsync,fdatasync", output))
    assert calls_in(output, r"ops\.jsonl") == []


@pytest.mark.process
def test_guarantee_2_a_checkpoint_syncs_the_log_before_it_replaces_the_record(
    repo: Path, tmp_path: Path, strace: str
) -> None:
    """In this order: sync ops.jsonl, sync the new record, rename it to checkpoint.json, sync the folder."""
    output = tmp_path / "trace"
    calls = "write,fsync,fdatasync,rename,renameat,renameat2"
    children.run_worker("make_checkpoint", repo, before=trace(strace, calls, output))
    lines = calls_in(output, ".")
    (renamed,) = [
        number for number, line in enumerate(lines) if "checkpoint.json" in line and line.startswith("rename")
    ]
    written = [number for number, line in enumerate(lines) if line.startswith("write") and "ops.jsonl>" in line]
    synced = [number for number, line in enumerate(lines) if re.match(r"f(data)?sync", line) and "ops.jsonl>" in line]
    assert written[-1] < synced[-1] < renamed
    assert any("checkpoint" in line for line in lines[:renamed] if re.match(r"f(data)?sync", line))
    folder = f"<{making.log_path(repo).parent.resolve()}>"
    assert any(folder in line for line in lines[renamed:] if re.match(r"f(data)?sync", line))


def assert_refused_and_recovered(repo: Path, told: dict[str, Any]) -> None:
    """After the disk said no: acknowledged entries are all there, the refused one is not acknowledged, work goes on."""
    acknowledged = told["acknowledged"]
    refused = op_id(told["refused"]["number"])
    assert acknowledged
    scanned = plain_scan.scan(making.log_bytes(repo))
    assert told["read"][: len(acknowledged)] == acknowledged
    assert scanned.op_ids[: len(acknowledged)] == acknowledged
    assert set(scanned.op_ids) <= {*acknowledged, refused, op_id(5_000)}
    assert scanned.op_ids[-1] == op_id(5_000)
    assert told["final"] == scanned.op_ids
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
        retried = entry(told["refused"]["number"], domain_op={"op": "insert", "text": "x" * 300})
        log.append(retried)
        assert log.get(refused) == retried
        assert [each["op_id"] for each in log].count(refused) == 1


@pytest.mark.process
@pytest.mark.parametrize("limit_bytes", [1_000, 5_000, 100_000])
def test_a_short_write_at_the_file_size_limit_is_an_error_that_can_be_retried(repo: Path, limit_bytes: int) -> None:
    """EFBIG, and the short write before it: not acknowledged, reads go on, later appends and the retry work."""
    told = children.run_worker("fill_disk", repo, limit_bytes)
    assert told["refused"] is not None
    assert told["refused"]["errno"] is not None
    assert_refused_and_recovered(repo, told)


@pytest.mark.process
def test_a_full_disk_is_an_error_that_can_be_retried(tmp_path: Path) -> None:
    """ENOSPC on a 64 KiB file system, the index on it, too: acknowledged entries are all there and work goes on."""
    small = tmp_path / "small"
    small.mkdir()
    copy = tmp_path / "repo"
    probe = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64k none "$0"', str(small)]
    if shutil.which("unshare") is None or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("needs Linux's unshare and the right to mount a small tmpfs (root)")
    script = f'mount -t tmpfs -o size=64k none "$0" && "$@" && cp -r "$0/." {copy}'
    told = children.run_worker("fill_disk", small, 0, before=["unshare", "--mount", "sh", "-c", script, str(small)])
    assert told["refused"]["errno"] in {28, 122}
    assert_refused_and_recovered(copy, told)


def test_a_full_device_in_place_of_the_log_is_refused(repo: Path) -> None:
    """A log that is a link to /dev/full acknowledges nothing."""
    path = making.log_path(repo)
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    with OpLog(repo, "s") as log, pytest.raises((OSError, ValueError)):
        log.append(entry(1))


@pytest.mark.process
def test_a_failed_fsync_poisons_the_handle_and_the_retry_is_safe(repo: Path, tmp_path: Path, strace: str) -> None:
    """SyncError says that durability is unknown, the handle takes no more, no sync of the log is tried again."""
    output = tmp_path / "trace"
    calls = "fsync,fdatasync,write"
    inject = ["-P", str(making.log_path(repo).resolve()), "-e", "inject=fsync,fdatasync:error=EIO"]
    repo.mkdir(exist_ok=True)
    making.add_bytes(making.log_path(repo), making.line(entry(90)))
    told = children.run_worker("fail_to_sync", repo, before=trace(strace, calls, output, *inject))
    assert told[0].startswith("SyncError")
    assert told[1].startswith(("SyncError", "AppendError"))
    assert "unknown" in told[0]
    assert len(calls_in(output, r"^f(data)?sync\(.*ops\.jsonl>")) == 1, "a failed fsync was tried again"
    with OpLog(repo, "s", durability="fsync") as log:
        log.append_many([entry(1), entry(2)])
        assert sorted(each["op_id"] for each in log) == sorted(map(op_id, (90, 1, 2)))
    assert plain_scan.scan(making.log_bytes(repo)).duplicates == []


@pytest.mark.process
def test_an_error_on_read_is_raised_and_not_taken_for_damage(repo: Path, tmp_path: Path, strace: str) -> None:
    """EIO while reading the log comes out as EIO; no entry is declared lost, and afterwards all are read."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(10))
    making.drop_index(repo)
    path = str(making.log_path(repo).resolve())
    prefix = [
        *(strace, "-f", "-o", os.devnull, "-P", path, "-e", "trace=read,pread64,readv,preadv"),
        *("-e", "inject=read,pread64,readv,preadv:error=EIO"),
    ]
    told = children.run_worker("read_whole", repo, before=prefix)
    assert isinstance(told, dict), "entries were returned that could not be read"
    assert told["errno"] == 5
    with OpLog(repo, "s") as log:
        assert len(making.assert_same_as_scan(log, log.path).entries) == 10
        assert log.verify().ok


@pytest.mark.process
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync,fsync", "ftruncate", "unlink", "mmap"])
def test_guarantee_3_a_system_call_that_fails_for_the_index_alone_stops_no_append(
    repo: Path, tmp_path: Path, strace: str, call: str
) -> None:
    """With every such call on the index's files failing, appends return and the log is whole."""
    folder = making.log_path(repo).parent
    with OpLog(repo, "s") as log:
        log.append(entry(90))
    if call == "mmap":
        making.drop_index(repo)
    paths = [part for name in ("index.db", "index.db-wal", "index.db-shm") for part in ("-P", str(folder / name))]
    prefix = [
        strace,
        "-f",
        "-o",
        os.devnull,
        *paths,
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:error=ENOSPC",
    ]
    assert children.run_worker("append_some", repo, "os", before=prefix) == "done"
    scanned = plain_scan.scan(making.log_bytes(repo))
    assert scanned.op_ids == [op_id(90), *map(op_id, range(1, 7))]
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
