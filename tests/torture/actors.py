"""What runs in the processes of a round: one function for each role.

A process tells what happened over a pipe, one JSON line per message, and only *after* the call
returned; what must be known in case the process dies in the call is told before it. The messages:

    ["try", entries]                        about to append these
    ["ack", actor, [[op_id, lamport_ts]]]   one append, batch or record returned
    ["line", bytes]                         about to append a long line
    ["collapsed", snapshot_id, cut offset, cut op_count, {domain: [mark]}]
    ["checkpointed", snapshot_id, byte_offset, op_count]
    ["refused", snapshot_id]                the checkpoint would have moved backwards
    ["merged", "in" or "out", entries]      so many first entries of the one are in the other
    ["redacted", [op_id, secret], …]        what these operations said was redacted
    ["seen", op_count]                      a checkpoint was read
    ["met", text]                           something that a mishap brings along
    ["logged", text]                        the engine warned
    ["fault", text]                         anything that must not happen

Each operation carries a mark of its own, by which it is found again in a delta.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from muse.core.op_log import CheckpointBackwardsError, OpEntry, OpLog
from tests import making
from tests.torture.schedule import Durability, Mishap

DOMAINS = ("music", "code")

SECRET_DOMAIN = "secret"
"""Of what is redacted. What it said is in no delta that is checked."""

LONG_LINE_BYTES = (200_000, 900_000)

AIMED_LINE_BYTES = (2_000_000, 5_000_000)
"""How long the line is in which a process is to be killed: writing it takes some milliseconds."""

_KINDS = ("insert", "delete", "move", "replace")


class WrongAnswer(AssertionError):  # noqa: N818 - a verdict on the engine, named like the other verdicts
    """The engine said something that can't be."""


@dataclass(frozen=True)
class Orders:
    """What a process is told when it starts."""

    role: str
    actor: str
    mark: str
    """What its marks begin with; no two lives share it."""
    repo: Path
    replica: Path
    durability: Durability
    seed: int
    stop_at: float
    """`time.monotonic()` at which it stops by itself."""
    size: int
    turns: bool
    turn_file: Path
    aimed: bool
    """Whether a kill is meant for the middle of a long line."""
    mishap: Mishap | None
    """What is to befall the session, if anything."""
    unfinished: list[OpEntry]
    """What its killed predecessor tried to append and was not acknowledged."""


class Process:
    """The state of one process while it plays its role."""

    def __init__(self, orders: Orders, pipe: int) -> None:
        self.orders = orders
        self.pipe = pipe
        self.draw = random.Random(orders.seed)
        self.actor = orders.actor
        self.mark = orders.mark
        self.made = 0
        self.own: list[OpEntry] = []
        self.log = self.open()

    def open(self, repo: Path | None = None) -> OpLog:
        """A handle on the session, or on its replica."""
        return OpLog(repo or self.orders.repo, "torture", durability=self.orders.durability)

    def tell(self, *message: object) -> None:
        """Send one message; a kill in the middle leaves a line without its newline, which is not heard."""
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self.pipe, data) :]

    def steps(self, count: int, *, seldom_reopen: bool = True) -> Iterator[int]:
        """So many numbers, spread over the time of the round; the handle is closed and opened anew at times."""
        for number in range(count):
            if time.monotonic() > self.orders.stop_at:
                return
            yield number
            if seldom_reopen and self.draw.random() < 0.02:
                self.log.close()
                self.log = self.open()
            time.sleep(self.draw.uniform(0, 0.002))

    def operation(self) -> dict[str, Any]:
        """A new operation with a mark that no other has."""
        self.made += 1
        return {"op": self.draw.choice(_KINDS), "mark": f"{self.mark}.{self.made}", "address": "x" * (self.made % 90)}

    def entry(self) -> OpEntry:
        """A new entry of this actor, later than all in the log."""
        return making.entry(
            actor_id=self.actor,
            domain=self.draw.choice(DOMAINS),
            lamport_ts=self.log.next_lamport_ts(),
            domain_op=self.operation(),
            intent_id=self.draw.choice(("", "plan-1", "plan-2")),
        )

    def record_one(self, log: OpLog, **more: object) -> None:
        """Record one operation and acknowledge it."""
        made = log.record(self.actor, self.draw.choice(DOMAINS), {**self.operation(), **more})
        self.acknowledge([made])

    def append_all(self, entries: list[OpEntry], known: list[OpEntry]) -> None:
        """Append new entries mixed with some that are there, and acknowledge the new ones."""
        self.tell("try", entries)
        batch = list(entries)
        # The new ones stay in their order, and each twin after what it repeats.
        for twin in known:
            batch.insert(self.draw.randrange(len(batch) + 1), twin)
        if self.draw.random() < 0.3:
            batch.append(entries[0])
        added = self.log.append_many(batch)
        if added != len(entries):
            raise WrongAnswer(f"{added} added of a batch with {len(entries)} new entries")
        self.acknowledge(entries)
        self.own.extend(entries)

    def acknowledge(self, entries: list[OpEntry]) -> None:
        """Tell that one call returned."""
        self.tell("ack", self.actor, [[entry["op_id"], entry["lamport_ts"]] for entry in entries])

    def finish_what_was_tried(self) -> None:
        """Append again what a killed predecessor did not hear about; some or all of it may be there."""
        if self.orders.unfinished:
            self.log.append_many(self.orders.unfinished)
            self.acknowledge(self.orders.unfinished)


def record(process: Process) -> None:
    """Record single operations."""
    for _ in process.steps(process.orders.size):
        process.record_one(process.log)


def append(process: Process) -> None:
    """Append single entries; every few, one that is there already."""
    process.finish_what_was_tried()
    for _ in process.steps(process.orders.size):
        made = process.entry()
        process.tell("try", [made])
        if process.log.append(made) is not True:
            raise WrongAnswer("a new entry was taken for one that is there")
        process.acknowledge([made])
        process.own.append(made)
        if process.draw.random() < 0.2 and process.log.append(process.draw.choice(process.own)) is not False:
            raise WrongAnswer("an acknowledged entry was added again")


def batch(process: Process) -> None:
    """Append batches, some entries of which are there already."""
    process.finish_what_was_tried()
    for _ in process.steps(process.orders.size // 8):
        count = process.draw.choice((1, 2, 5, 20, 40))
        known = process.draw.choices(process.own, k=process.draw.randrange(3)) if process.own else []
        process.append_all([process.entry() for _ in range(count)], known)


def big(process: Process) -> None:
    """Record operations with long texts, in whose middle a kill leaves a torn tail."""
    lengths = AIMED_LINE_BYTES if process.orders.aimed else LONG_LINE_BYTES
    for number in process.steps(process.orders.size // 8):
        if number % 4 == 1:
            length = process.draw.randint(*lengths)
            process.tell("line", length)
            process.record_one(process.log, text="x" * length)
        else:
            process.record_one(process.log)


def checkpoint(process: Process) -> None:
    """Cut, collapse both domains at the cut, checkpoint at the cut."""
    for number in process.steps(process.orders.size // 5):
        with _turn(process.orders):
            commit(process, f"{process.mark}.{number}")
        time.sleep(process.draw.uniform(0, 0.01))


def commit(process: Process, snapshot_id: str) -> None:
    """Make one commit and its checkpoint."""
    cut = process.log.cut()
    deltas = {name: process.log.to_structured_delta(name, upto=cut) for name in DOMAINS}
    marks = {name: [cast("dict[str, str]", op)["mark"] for op in deltas[name]["ops"]] for name in DOMAINS}
    process.tell("collapsed", snapshot_id, cut.byte_offset, cut.op_count, marks)
    try:
        made = process.log.checkpoint(snapshot_id, upto=cut)
    except CheckpointBackwardsError:
        if process.orders.turns:
            raise
        process.tell("refused", snapshot_id)
    else:
        process.tell("checkpointed", snapshot_id, made["byte_offset"], made["op_count"])


@contextmanager
def _turn(orders: Orders) -> Iterator[None]:
    """Keep other checkpointers out from the cut to the checkpoint, where they take turns."""
    if not orders.turns:
        yield
        return
    with orders.turn_file.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def merge(process: Process) -> None:
    """Merge the replica into the session, and at times the session into the replica."""
    replica = process.open(process.orders.replica)
    for _ in process.steps(process.orders.size // 8):
        way, source, target = "in", replica, process.log
        if process.draw.random() < 0.1:
            way, source, target = "out", process.log, replica
        count = len(source)
        target.merge(source)
        process.tell("merged", way, count)
        time.sleep(process.draw.uniform(0, 0.015))
    replica.close()


def replica(process: Process) -> None:
    """Record operations in the replica, which mergers bring to the session."""
    process.log.close()
    process.log = process.open(process.orders.replica)
    for _ in process.steps(process.orders.size, seldom_reopen=False):
        process.record_one(process.log)


def rebuild(process: Process) -> None:
    """Make the index anew, over and over."""
    for _ in process.steps(process.orders.size // 8):
        process.log.rebuild_index()
        time.sleep(process.draw.uniform(0, 0.02))


def read(process: Process) -> None:
    """Ask everything, over and over, and hold each answer against the one before."""
    before: list[str] = []
    for number in process.steps(process.orders.size // 5):
        low = process.log.count()
        now = [entry["op_id"] for entry in process.log]
        high = len(process.log)
        if not low <= len(now) <= high:
            raise WrongAnswer(f"{low} counted, {len(now)} read, {high} counted after")
        if now[: len(before)] != before:
            raise WrongAnswer("what was read before is not the beginning of what is read now")
        if len(set(now)) != len(now):
            raise WrongAnswer("an operation was read twice")
        before = now
        _ask_more(process, now)
        if number % 8 == 3:
            _verify(process)


def _ask_more(process: Process, now: list[str]) -> None:
    log = process.log
    counted = sum(log.actors().values()), sum(log.domains().values()), log.count()
    if not len(now) <= counted[0] <= counted[1] <= counted[2]:
        raise WrongAnswer(f"{len(now)} read, then by actors, by domains, in all: {counted}")
    name = process.draw.choice(DOMAINS)
    found = [entry["domain"] for entry in log.query(domain=name, limit=50)]
    if set(found) - {name}:
        raise WrongAnswer(f"a query of {name} gave entries of another domain")
    if now:
        wanted = process.draw.choice(now)
        got = log.get(wanted)
        if got is None or got["op_id"] != wanted:
            raise WrongAnswer(f"{wanted} was read, but is not found")
    made = log.read_checkpoint()
    covered = made["op_count"] if made else 0
    process.tell("seen", covered)
    pending, there = len(log.replay_since_checkpoint()), log.count()
    if pending > there - covered:
        raise WrongAnswer(f"{pending} replayed of {there}, though {covered} were covered")
    process.log.count(since_checkpoint=True)


def _verify(process: Process) -> None:
    report = process.log.verify()
    # What kills leave behind, and what two mergers bring at the same moment; nothing else.
    if odd := report.counts.keys() - {"damaged-line", "torn-tail", "duplicate", "redacted"}:
        raise WrongAnswer(f"verify found {odd}: {[found for found in report.findings if found.kind in odd][:5]}")


def redact(process: Process) -> None:
    """Record secrets, and get them out again; some are in the replica by then, or in a checkpoint."""
    for _ in process.steps(process.orders.size // 10):
        secrets: list[list[str]] = []
        for _ in range(process.draw.choice((1, 1, 2, 4))):
            process.made += 1
            text = f"secret {process.mark}.{process.made}."
            made = process.log.record(
                process.actor, SECRET_DOMAIN, {"op": "insert", "text": text * process.draw.randint(1, 9)}
            )
            process.acknowledge([made])
            secrets.append([made["op_id"], text])
        time.sleep(process.draw.uniform(0, 0.02))
        done = process.log.redact(*(op_id for op_id, _ in secrets), by=process.actor, why="torture")
        if len(done.redacted) != len(secrets):
            raise WrongAnswer(f"of {len(secrets)} operations {len(done.redacted)} were redacted")
        process.tell("redacted", *secrets)


def fork(process: Process) -> None:
    """Record, and let forked children record through the handle they inherited."""
    for number in process.steps(process.orders.size // 2):
        process.record_one(process.log)
        if number % 10 == 3:
            child = os.fork()
            if child == 0:
                process.mark = f"{process.mark}.{number}"
                process.actor = f"{process.actor} child {process.mark}"
                _end(process, _some_more)
            elif number % 20 == 3:
                os.waitpid(child, 0)


def _some_more(process: Process) -> None:
    for _ in process.steps(process.orders.size // 5, seldom_reopen=False):
        process.record_one(process.log)


ROLES: dict[str, Callable[[Process], None]] = {
    role.__name__: role
    for role in (record, append, batch, big, checkpoint, merge, replica, rebuild, read, redact, fork)
}


class _Tell(logging.Handler):
    """Sends the engine's warnings over the pipe: they say how often the index was given up, and why."""

    def __init__(self, process: Process) -> None:
        super().__init__(logging.WARNING)
        self.process = process

    def emit(self, record: logging.LogRecord) -> None:
        """Tell the text without what differs each time."""
        values = record.args if isinstance(record.args, tuple) else ()
        reasons = [str(value) for value in values if isinstance(value, Exception)]
        self.process.tell("logged", " ".join([str(record.msg), *reasons])[:300])


def run(orders: Orders, pipe: int, role: Callable[[Process], None]) -> None:
    """Play a role from beginning to end in this process, and end the process."""
    process = Process(orders, pipe)
    engine = logging.getLogger("muse")
    engine.handlers = [_Tell(process)]
    engine.propagate = False
    _end(process, role)


def _end(process: Process, part: Callable[[Process], None]) -> None:
    """Play a part and end the process, without running what its parent would run at its own end."""
    code = 1
    try:
        part(process)
        process.log.close()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it must not happen
        process.tell("fault", f"{process.orders.role} {process.mark}: {traceback.format_exc()}")
    finally:
        os._exit(code)
