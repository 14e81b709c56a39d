"""What befalls a session from outside while processes are at work on it, and what these do then.

After each round one mishap befalls a copy of the session: an older copy of the log is put back, or the index is deleted
and later the checkpoint's record, or lines in the middle are damaged and appended again from a replica.

What is lost must be decidable without asking the engine. So who writes passes a gate; who strikes closes it, lets the
index on disk catch up, keeps a copy of the log as the replica, and only then strikes: nobody is in the middle of an
append, and the index knows exactly the lines of that copy. Who reads passes no gate, and is struck in the middle.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from muse.core.op_log import DamagedCheckpointError, LockTimeoutError, LogReplacedError
from muse.core.storage.locks import exclusive_lock
from tests import making, plain_scan
from tests.torture import check_mishap
from tests.torture.actors import DOMAINS, Orders, Process, WrongAnswer, commit
from tests.torture.evidence import SESSION

_CATCH_UP_S = 10.0
"""How long the index on disk may take to catch up, with others at work on it."""


def _struck(orders: Orders) -> Path:
    """Is there from right before the mishap on."""
    return orders.turn_file.with_name("struck")


def _closed(orders: Orders) -> Path:
    """Is there while nobody may go through the gate any more: a lock alone would make who strikes wait too long."""
    return orders.turn_file.with_name("closed")


def _done(orders: Orders) -> Path:
    """Is there when all are to stop; not after some time, since a busy machine may have spent it before the mishap."""
    return orders.turn_file.with_name("done")


def _moments(process: Process) -> Iterator[int]:
    """Numbers from 0, spread over time, until all are to stop."""
    for number in process.steps(sys.maxsize):
        if _done(process.orders).exists():
            return
        yield number


@contextmanager
def _gate(orders: Orders) -> Iterator[None]:
    """Do something that changes the session, unless the gate is closed; then later."""
    while _closed(orders).exists():
        time.sleep(0.001)
    with orders.turn_file.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


@contextmanager
def _closed_gate(orders: Orders) -> Iterator[None]:
    """Be alone, but for those who read."""
    _closed(orders).touch()
    try:
        with orders.turn_file.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    finally:
        _closed(orders).unlink()


@contextmanager
def _going_on(process: Process) -> Iterator[None]:
    """What a mishap may raise, and nothing before it: a handle that refuses to go on is opened anew."""
    try:
        yield
    except (LogReplacedError, DamagedCheckpointError) as error:
        if not _struck(process.orders).exists():
            raise
        process.tell("met", type(error).__name__)
        if isinstance(error, LogReplacedError):
            process.log.close()
            process.log = process.open()


def write(process: Process) -> None:
    """Record single operations, and append batches."""
    for _ in _moments(process):
        with _gate(process.orders), _going_on(process):
            if process.draw.random() < 0.8:
                process.record_one(process.log)
            else:
                process.append_all([process.entry() for _ in range(process.draw.randint(1, 12))], [])


def look(process: Process) -> None:
    """Read everything, verify, and make the index anew."""
    for number in _moments(process):
        with _going_on(process):
            found = [entry["op_id"] for entry in process.log]
            if len(set(found)) != len(found):
                raise WrongAnswer("an operation was read twice")
            process.log.actors()
            if number % 4 == 1:
                process.log.verify()
            elif number % 4 == 2:
                process.log.rebuild_index()
            process.log.replay_since_checkpoint()


def commits(process: Process) -> None:
    """Make commits, and their checkpoints."""
    for number in _moments(process):
        with _gate(process.orders), _going_on(process):
            commit(process, f"{process.mark}.{number}")
        time.sleep(process.draw.uniform(0, 0.01))


def bring(process: Process) -> None:
    """Once it was struck, append again what the replica has: all of it, or entry by entry."""
    for _ in _moments(process):
        if not _struck(process.orders).exists():
            continue
        with _gate(process.orders), _going_on(process), process.open(process.orders.replica) as replica:
            if process.draw.random() < 0.5:
                process.log.merge(replica)
            else:
                there = {entry["op_id"] for entry in process.log}
                for entry in replica:
                    if entry["op_id"] not in there:
                        process.log.append(entry)
            process.tell("met", "brought back")
            return


# -- who strikes ------------------------------------------------------------------------------------------------


def strike(process: Process) -> None:
    """Let all work for a moment, let the mishap happen, and let them work for another one."""
    try:
        _let_work(process)
        if process.orders.mishap == "index gone":
            _strike_index_and_record(process)
        else:
            _strike_log(process)
        process.tell("met", f"mishap: {process.orders.mishap}")
        _let_work(process)
    finally:
        _done(process.orders).touch()


def _let_work(process: Process) -> None:
    time.sleep(process.draw.uniform(0.02, 0.1))


def _strike_log(process: Process) -> None:
    with _closed_gate(process.orders):
        # There is something to lose, and this handle has looked at the log.
        process.record_one(process.log)
        if process.orders.mishap == "older copy":
            _put_back_an_older_copy(process)
        else:
            _damage_lines(process)
        _first_look(process)
        if process.orders.mishap == "line damaged" and process.draw.random() < 0.5:
            _append_again(process)


def _append_again(process: Process) -> None:
    """Append what a damaged line held, through the handle that knew it: "there already" means readable."""
    held = making.log_bytes(process.orders.replica, SESSION)
    lost = next((op_id for op_id, *_ in check_mishap.lost_between(held, process.log.path.read_bytes())), None)
    if lost is None:
        return
    with process.open(process.orders.replica) as replica:
        entry = replica.get(lost)
    if entry is None or process.log.append(entry) is not True or process.log.get(lost) != entry:
        raise WrongAnswer(f"{lost} is taken for there, though its line is damaged")
    process.tell("met", "appended again at once")


def _strike_index_and_record(process: Process) -> None:
    with _closed_gate(process.orders):
        process.record_one(process.log)
        commit(process, f"{process.mark}.before")
        making.drop_index(process.orders.repo, SESSION)
    _let_work(process)
    with _closed_gate(process.orders):
        _keep_what_is_known(process)
        process.log.path.with_name("checkpoint.json").unlink()
        # Nothing may be taken for pending now, or it would be committed twice.
        with process.open() as new:
            for log in (process.log, new):
                check_mishap.check_refuses(log)


def _keep_what_is_known(process: Process) -> bytes:
    """Let the index know every line of the log and the record, and keep a copy of both; the log."""
    path = process.log.path
    until = time.monotonic() + _CATCH_UP_S
    while True:
        with process.open() as log:
            len(log)
            log.read_checkpoint()
        if _knows_all(path):
            break
        if time.monotonic() > until:
            raise WrongAnswer("the index on disk did not catch up with the log")
        time.sleep(0.005)
    replica = making.log_path(process.orders.replica, SESSION)
    replica.parent.mkdir(parents=True)
    shutil.copy(path, replica)
    record = path.with_name("checkpoint.json")
    if record.exists():
        shutil.copy(record, process.orders.turn_file.with_name("checkpoint before"))
    _struck(process.orders).touch()
    return path.read_bytes()


def _knows_all(path: Path) -> bool:
    """Whether the index, read without the engine, covers every line of the log and has seen the record.

    Under the folder's lock: SQLite opens and removes -wal by name, and would take that of an index just swapped in.
    """
    end = path.read_bytes().rfind(b"\n") + 1
    record = path.with_name("checkpoint.json")
    wanted = json.loads(record.read_bytes()) if record.exists() else None
    try:
        with (
            exclusive_lock(path.parent, 5),
            closing(sqlite3.connect(path.with_name("index.db"), timeout=5)) as connection,
        ):
            (covered,) = connection.execute(
                "SELECT max(coalesce((SELECT max(end_offset) FROM run), 0), "
                "coalesce((SELECT max(byte_offset + length) FROM tail), 0))"
            ).fetchone()
            seen = [json.loads(text) for (text,) in connection.execute("SELECT record FROM seen_checkpoint")]
    except (sqlite3.OperationalError, LockTimeoutError):
        return False
    return covered >= end and (wanted is None or wanted in seen)


def _put_back_an_older_copy(process: Process) -> None:
    data, path, draw = _keep_what_is_known(process), process.log.path, process.draw
    at = draw.randrange(len(data))
    if draw.random() < 0.7:
        at = data.rfind(b"\n", 0, at) + 1
    older = data[:at]
    how = draw.choice(("replaced", "replaced and gone on", "cut", "deleted"))
    if how == "cut":
        os.truncate(path, at)
    elif how == "deleted":
        path.unlink()
    else:
        if how != "replaced":
            # Not by an append through the engine: the copy was at work elsewhere. It may be longer than ours.
            op = {**process.operation(), "text": "x" * draw.randrange(2 * (len(data) - at))}
            older += b"\n" + making.line(making.entry(actor_id="elsewhere", domain=DOMAINS[0], domain_op=op))
        aside = process.orders.turn_file.with_name("older")
        aside.write_bytes(older)
        aside.replace(path)
    try:
        len(process.log)
    except LogReplacedError:
        process.tell("met", f"the log was {how}")
    else:
        raise WrongAnswer(f"the log was {how}, and a handle that had it open goes on")


def _damage_lines(process: Process) -> None:
    data, path, draw = _keep_what_is_known(process), process.log.path, process.draw
    scan = plain_scan.scan(data)
    for span in draw.sample(scan.spans, min(len(scan.spans), draw.randint(1, 3))):
        start, length = span.byte_offset, span.length
        way = draw.choice(("NULs", "some NULs", "a bit", "its newline"))
        if way == "NULs":
            damage = start, bytes(length)
        elif way == "some NULs":
            damage = start + draw.randrange(length), b"\0"
        elif way == "its newline":
            damage = start + length, b" "
        else:
            at = start + draw.randrange(length)
            damage = at, bytes([data[at] ^ 1 << draw.randrange(7)])
        changed = data[: damage[0]] + damage[1] + data[damage[0] + len(damage[1]) :]
        # A valid line with other content under the same op_id is another matter: nobody can append it again.
        if check_mishap.lost_between(data, changed) and not check_mishap.altered_between(data, changed):
            data = changed
            with path.open("r+b") as file:
                file.seek(damage[0])
                file.write(damage[1])


def _first_look(process: Process) -> None:
    """Verify tells what is lost before anybody has read the log, or made the index anew, through a new handle."""
    before = making.log_bytes(process.orders.replica, SESSION)
    with process.open() as log:
        check_mishap.check_told(log.verify(max_findings=None), before, making.log_bytes(process.orders.repo, SESSION))


ROLES: dict[str, Callable[[Process], None]] = {
    "write": write,
    "look": look,
    "commit": commits,
    "bring": bring,
    "strike": strike,
}
