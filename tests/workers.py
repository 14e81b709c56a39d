"""The child processes of the tests: `python -m tests.workers NAME ARGUMENTS...`, JSON on standard output."""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from muse.core.op_log import AppendError, MuseError, OpLog, describe_sessions, export_session
from tests import making, plain_scan
from tests.children import DEADLINE_S


def say(value: object) -> None:
    """Print one JSON line in one write, unbuffered, so that a kill can't take back what was said."""
    os.write(1, json.dumps(value).encode() + b"\n")


def wait_for_go() -> None:
    """Say that the process is ready, and wait for the parent."""
    say("ready")
    sys.stdin.readline()


def mode(durability: str) -> Literal["os", "fsync"]:
    """The durability that was named on the command line."""
    return "fsync" if durability == "fsync" else "os"


def record(repo: str, session: str, actor: str, count: str, rest_ms: str = "0") -> None:
    """Record `count` operations and then print [op_id, lamport_ts] of each that was acknowledged.

    With a rest after every hundredth, other processes come to work on a machine of few cores too.
    """
    made = []
    with OpLog(Path(repo), session) as log:
        wait_for_go()
        for number in range(int(count)):
            made.append(log.record(actor, "music", {"op": "insert", "position": number}))
            if number % 100 == 99 and int(rest_ms):
                time.sleep(int(rest_ms) / 1000)
    say([[entry["op_id"], entry["lamport_ts"]] for entry in made])


def create_often(repo: str, actor: str, count: str) -> None:
    """Record into a session of each repository "0", "1" … at a word; print what was acknowledged in each."""
    for number in range(int(count)):
        wait_for_go()
        with OpLog(Path(repo) / str(number), "s") as log:
            say([log.record(actor, "music", {"op": "insert"})["op_id"] for _ in range(5)])


def follow(repo: str, session: str, count: str) -> None:
    """Follow a session from the start, until `count` entries came or none for a minute; print their op_ids."""
    with OpLog(Path(repo), session) as log, log.follow(from_start=True, timeout=60) as follower:
        wait_for_go()
        followed = [entry["op_id"] for entry in islice(follower, int(count))]
    say(followed)


def acknowledge_forever(repo: str, session: str, actor: str, durability: str, batch: str) -> None:
    """Append until killed, and print the op_ids of each append that returned, in one write."""
    log = OpLog(Path(repo), session, durability=mode(durability))
    size = int(batch)
    while True:
        if size == 1:
            made = [log.record(actor, "music", {"op": "insert", "text": "x" * 200})]
        else:
            made = [making.entry(None, actor_id=actor, lamport_ts=log.next_lamport_ts()) for _ in range(size)]
            log.append_many(made)
        say([entry["op_id"] for entry in made])


def tear_often(path: str, count: str) -> None:
    """Append `count` fragments of lines, as so many writers that die in the middle of one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    wait_for_go()
    for number in range(int(count)):
        os.write(descriptor, making.line(making.entry(number, actor_id="torn"))[: 20 + number % 100])
    say("done")


def hold_index(path: str, how: str) -> None:
    """Lock an index like a foreign program would, say so, and hold it until standard input ends."""
    connection = sqlite3.connect(path, isolation_level=None)
    if how == "locking mode":
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    say("locked")
    sys.stdin.read()
    connection.execute("ROLLBACK")
    connection.close()


def hold_lock(path: str, how: str) -> None:
    """Take a lock on a file or folder, as the engine does or as SQLite does for "write" and "all", and stop there."""
    if how == "flock":
        file = os.open(path, os.O_RDONLY | os.O_CREAT if not Path(path).exists() else os.O_RDONLY, 0o666)
        fcntl.flock(file, fcntl.LOCK_EX)
    else:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute({"write": "BEGIN IMMEDIATE", "all": "BEGIN EXCLUSIVE"}[how])
    say("locked")
    os.kill(os.getpid(), signal.SIGSTOP)


def use_read_only(repo: str) -> None:
    """Read a session in a place where nothing can be written, then try to append."""
    warned = io.StringIO()
    logging.basicConfig(stream=warned)
    with OpLog(Path(repo), "s") as log:
        found: dict[str, Any] = {
            "entries": plain_scan.exact_list(log.read_all()),
            "count": log.count(domain="music"),
            "length": len(log),
            "get": plain_scan.exact(log.get(making.op_id(1))),
            "replay": len(log.replay_since_checkpoint()),
            "warned": warned.getvalue(),
            "summaries": [summary.ops for summary in describe_sessions(Path(repo))],
        }
        try:
            log.append(making.entry(999))
        except OSError as error:
            found["error"] = [isinstance(error, MuseError), str(error)]
    say(found)


def fill_disk(repo: str, limit_bytes: str) -> None:
    """Append until the file size limit (or the disk, if `limit_bytes` is 0) says no; then make room and go on."""
    path = making.log_path(Path(repo))
    if int(limit_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit_bytes), resource.RLIM_INFINITY))
    ballast = Path(repo) / "ballast"
    if not int(limit_bytes):
        ballast.write_bytes(b"x" * 16_384)
    acknowledged, refused = [], None
    with OpLog(Path(repo), "s") as log:
        for number in range(1, 2_000):
            try:
                log.append(making.entry(number, domain_op={"op": "insert", "text": "x" * 300}))
            except AppendError as error:
                refused = {"errno": error.errno, "number": number}
                break
            acknowledged.append(making.op_id(number))
        read = [found["op_id"] for found in log]
        ballast.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        later = making.entry(5_000)
        log.append(later)
        final = [found["op_id"] for found in log]
    say(
        {
            "acknowledged": acknowledged,
            "refused": refused,
            "read": read,
            "final": final,
            "size": path.stat().st_size,
        }
    )


def fail_to_sync(repo: str) -> None:
    """Append twice in "fsync" mode while (by strace) every sync fails, and tell what was raised."""
    told = []
    with OpLog(Path(repo), "s", durability="fsync") as log:
        for number in (1, 2):
            try:
                log.append(making.entry(number))
                told.append("acknowledged")
            except MuseError as error:
                told.append(f"{type(error).__name__}: {error}")
    say(told)


def append_some(repo: str, durability: str) -> None:
    """Append one entry and then a batch of five."""
    with OpLog(Path(repo), "s", durability=mode(durability)) as log:
        log.append(making.entry(1))
        log.append_many(making.entries(5, start=2))
    say("done")


def make_checkpoint(repo: str) -> None:
    """Append three entries and checkpoint them."""
    with OpLog(Path(repo), "s") as log:
        log.append_many(making.entries(3))
        log.checkpoint("snapshot")
    say("done")


def checkpoint_often(repo: str, name: str, count: str) -> None:
    """Append and checkpoint in turn, and print the op_count of each checkpoint that was granted."""
    granted: list[int | str] = []
    with OpLog(Path(repo), "s") as log:
        wait_for_go()
        for number in range(int(count)):
            log.record(name, "music", {"op": "insert"})
            try:
                granted.append(log.checkpoint(f"{name}-{number}")["op_count"])
            except MuseError as error:
                granted.append(type(error).__name__)
    say(granted)


def rebuild_until(repo: str, at_percent: str) -> None:
    """Rebuild the index, say when so much of it is done, and stay there until killed."""

    def stay(done: int, total: int) -> None:
        if done * 100 >= total * int(at_percent):
            say("there")
            sys.stdin.read()

    with OpLog(Path(repo), "s") as log:
        log.rebuild_index(progress=stay)
    say("there")
    sys.stdin.read()


def rebuild_at(repo: str, session: str, *counts: str) -> None:
    """Rebuild the index whenever the session holds so many entries, and print how many it held when that began."""
    began_at = []
    with OpLog(Path(repo), session) as log:
        len(log)
        wait_for_go()
        for count in map(int, counts):
            while (found := len(log)) < count:
                time.sleep(0.001)
            began_at.append(found)
            log.rebuild_index()
    say(began_at)


def read_whole(repo: str) -> None:
    """Read every entry, telling the error if the disk (by strace) won't give them."""
    with OpLog(Path(repo), "s") as log:
        try:
            say([entry["op_id"] for entry in log.read_all()])
        except OSError as error:
            say({"errno": error.errno, "type": type(error).__name__})


def answer_big_session(repo: str, session: str) -> None:
    """Reopen a session and ask what must be answered without reading the log as a whole."""
    with OpLog(Path(repo), session) as log:
        say(
            {
                "next": log.next_lamport_ts(),
                "count": log.count(),
                "count of a domain": log.count(domain="code"),
                "length": len(log),
                "domains": log.domains(),
                "actors": log.actors(),
                "replay": [entry["op_id"] for entry in log.replay_since_checkpoint()],
                "summaries": [[each.session_id, each.ops, each.pending] for each in describe_sessions(Path(repo))],
            }
        )


def _fork(log: OpLog, argument: str) -> int:
    """Let a child append an entry of this number, and wait for it."""
    child = os.fork()
    if not child:
        status = 1
        with suppress(BaseException):
            log.append(making.entry(int(argument)))
            status = 0
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def numbers(argument: str) -> list[int]:
    """The numbers of "3" or "3-7"."""
    first, _, last = argument.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _peak_kib(log: OpLog, argument: str) -> int:
    """The most memory this process has had. (What getrusage says begins with what the parent had.)"""
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1])


def _limit(log: OpLog, argument: str) -> None:
    wanted = resource.RLIM_INFINITY if argument == "none" else int(argument)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wanted, resource.RLIM_INFINITY))


STEPS: dict[str, Callable[[OpLog, str], Any]] = {
    "append": lambda log, argument: log.append(making.entry(int(argument))),
    "actors": lambda log, argument: log.actors(),
    "describe": lambda log, argument: describe_sessions(log.folder.parents[2])[0].ops,
    "export": lambda log, argument: export_session(log, io.BytesIO()).op_count,
    "fork": _fork,
    "len": lambda log, argument: len(log),
    "record": lambda log, argument: log.record("ada", "music", {"op": argument})["op_id"],
    "batch": lambda log, argument: log.append_many([making.entry(number) for number in numbers(argument)]),
    "checkpoint": lambda log, argument: log.checkpoint(argument)["op_count"],
    "count": lambda log, argument: log.count(domain="music"),
    "get": lambda log, argument: log.get(making.op_id(int(argument))),
    "limit": _limit,
    "read": lambda log, argument: [entry["op_id"] for entry in log],
    "rebuild": lambda log, argument: log.rebuild_index(),
    "replay": lambda log, argument: [entry["op_id"] for entry in log.replay_since_checkpoint()],
    "size": lambda log, argument: log.path.stat().st_size,
    "verify": lambda log, argument: sorted(log.verify().counts),
    "peak": _peak_kib,
}


def take_steps(repo: str, durability: str, *steps: str) -> None:
    """Take steps on one handle, such as `append:3`, also after one that raises, and tell at once what came of each."""
    with OpLog(Path(repo), "s", durability=mode(durability)) as log:
        for step in steps:
            name, _, argument = step.partition(":")
            told: dict[str, Any] = {"step": step}
            began = time.monotonic()
            try:
                told["result"] = STEPS[name](log, argument)
            except Exception as error:  # noqa: BLE001 - whatever comes is what the test wants to know
                told["error"] = type(error).__name__
                told["errno"] = getattr(error, "errno", None)
                told["text"] = str(error)
                told["ours"] = isinstance(error, MuseError)
            told["seconds"] = time.monotonic() - began
            say(told)


WORKERS: dict[str, Callable[..., None]] = {
    worker.__name__: worker
    for worker in (
        record,
        create_often,
        follow,
        acknowledge_forever,
        tear_often,
        hold_index,
        hold_lock,
        use_read_only,
        fill_disk,
        fail_to_sync,
        append_some,
        make_checkpoint,
        checkpoint_often,
        rebuild_until,
        rebuild_at,
        read_whole,
        answer_big_session,
        take_steps,
    )
}

if __name__ == "__main__":
    # Whoever waits for a child that hangs hears it end.
    signal.alarm(DEADLINE_S)
    WORKERS[sys.argv[1]](*sys.argv[2:])
