"""Real faults for the tests: system calls that fail, kills at a call, places that can't be written."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import chdir, closing
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpEntry, OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry
from tests.workers import numbers

Told = list[dict[str, Any]]

WRITING_CALLS = "write,pwrite64,fsync,fdatasync,rename,unlink,mkdir,ftruncate"
"""Every system call by which the engine and SQLite change what is on the disk."""


def a_socket(path: Path) -> None:
    """Make a socket; its name may be longer than an address can be."""
    with socket.socket(socket.AF_UNIX) as made, chdir(path.parent):
        made.bind(path.name)


def run_child(repo: Path, *steps: str, durability: str = "os", before: Sequence[str] = ()) -> Told:
    """Let a child take these steps on session "s", and return what it told of each before it ended or was killed."""
    done = children.run([*before, *children.worker_command("take_steps", repo, durability, *steps)])
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return [json.loads(line) for line in done.stdout.splitlines(keepends=True) if line.endswith(b"\n")]


def failing(strace: str, calls: str, error: str, *paths: Path, when: str = "1+") -> list[str]:
    """A command prefix under which the n-th of these system calls (on these paths, if any) fails."""
    on = [part for path in paths for part in ("-P", str(path))]
    return [
        *(strace, "-f", "--seccomp-bpf", "-qq", "-o", os.devnull, *on, "-e", f"trace={calls}"),
        *("-e", f"inject={calls}:error={error}:when={when}"),
    ]


def killed_at(strace: str, calls: str, when: int) -> list[str]:
    """A command prefix under which the process is killed on entering the n-th of these system calls."""
    return [
        *(strace, "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}"),
        *("-e", f"inject={calls}:signal=SIGKILL:when={when}"),
    ]


def in_mount_namespace(script: str, *arguments: Path) -> list[str]:
    """A command prefix that runs a shell script with mounts of its own first; "$0", "$1" … are the arguments."""
    names = " ".join("shift;" for _ in arguments[1:])
    prefix = ["unshare", "--mount", "sh", "-c", f'{script} && {names} exec "$@"', *map(str, arguments)]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs Linux's unshare and the right to mount (root)")
    return prefix


def read_only(folder: Path) -> list[str]:
    """A command prefix that runs a process for which `folder` is on a read-only file system."""
    return in_mount_namespace('mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"', folder)


def acknowledged(told: Told) -> list[str]:
    """The op_ids of all appends and batches that returned."""
    found = []
    for each in told:
        name, _, argument = each["step"].partition(":")
        if name in {"append", "batch"} and "error" not in each:
            found += [making.op_id(number) for number in numbers(argument)]
    return found


def errors(told: Told) -> dict[str, str]:
    """Step and type of error, for those steps that raised."""
    return {each["step"]: each["error"] for each in told if "error" in each}


def assert_recovered(repo: Path, told: Told) -> plain_scan.PlainScan:
    """Acknowledged ⊆ recovered, each once; every answer is the plain scan's, and the session goes on."""
    scanned = plain_scan.scan_file(making.log_path(repo))
    assert set(acknowledged(told)) <= set(scanned.op_ids)
    assert scanned.duplicates == scanned.conflicts == []
    with closing(OpLog(repo, "s")) as log:
        if scanned.entries:
            making.assert_same_as_scan(log, log.path)
        assert log.append(entry(99_999)) is True
        after = making.assert_same_as_scan(log, log.path)
        assert after.op_ids == [*scanned.op_ids, making.op_id(99_999)]
        assert len(after.damaged) == len(scanned.damaged) + bool(scanned.tail.strip(b" \t\r"))
        report = log.verify()
        making.assert_damage_told(report, after)
        assert report.counts.get("index-differs", 0) == 0
        log.rebuild_index()
        making.assert_same_as_scan(log, log.path)
    return after


def retry(repo: Path, wanted: Sequence[OpEntry], **options: Any) -> None:
    """Append the same entries again through a fresh handle: each is there once afterwards."""
    with OpLog(repo, "s", **options) as log:
        log.append_many(wanted)
        ids = [each["op_id"] for each in log]
        assert all(ids.count(each["op_id"]) == 1 for each in wanted)
        making.assert_same_as_scan(log, log.path)


def filled(repo: Path, count: int, *, checkpoint_after: int = 0, session: str = "s") -> bytes:
    """Put so many entries into a session, close it, and return the bytes of the log."""
    with OpLog(repo, session) as log:
        if checkpoint_after:
            log.append_many(entries(checkpoint_after))
            log.checkpoint("one")
        log.append_many(entries(count - checkpoint_after, start=checkpoint_after + 1))
        return log.path.read_bytes()


def folder_of(repo: Path, session: str = "s") -> Path:
    """The folder of a session with a safe name."""
    return making.log_path(repo, session).parent


def names_in(folder: Path) -> set[str]:
    """The names in a folder, but for what SQLite puts beside an open database."""
    return {path.name for path in folder.iterdir()} - {"index.db-wal", "index.db-shm"}
