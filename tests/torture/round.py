"""One round: its processes are started, heard and killed as the plan says, all of it before a deadline."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import selectors
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests import children
from tests.torture import actors, mishap
from tests.torture.evidence import Evidence, Violation
from tests.torture.schedule import Job, Life, Plan

DEADLINE_S = 60.0
"""How long a round may take on a busy machine. One that takes longer hangs."""

CHASE_S = 0.5
"""How long a long line is waited for."""

_CHASE_STEP_S = 0.0001

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of what killed processes leave behind, so that it can be waited for. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass
class Running:
    """One living process."""

    job: Job
    number: int
    """Which of the job's lives."""
    pid: int
    pipe: int
    kill_at: float
    heard: bytearray = field(default_factory=bytearray)
    killed: bool = False
    last_seen: int = 0
    """The op_count of the checkpoint it read last."""

    @property
    def life(self) -> Life:
        """What is planned for it."""
        return self.job.lives[self.number]

    def kill(self) -> None:
        """Strike with SIGKILL as planned; the process may have ended by itself already."""
        self.killed = True
        self.kill_at = float("inf")
        with suppress(ProcessLookupError):
            (os.killpg if self.life.aim == "group" else os.kill)(self.pid, signal.SIGKILL)


def run(plan: Plan, evidence: Evidence) -> None:
    """Let one round happen.

    Raises:
        Violation: a process told of a fault, ended badly, or hung.
    """
    stage = _Stage(plan, evidence)
    try:
        stage.play()
    finally:
        stage.clear()


class _Stage:
    """The processes of one round, and the clock by which they come and go."""

    def __init__(self, plan: Plan, evidence: Evidence) -> None:
        self.plan = plan
        self.evidence = evidence
        self.began = time.monotonic()
        self.due = [(self.began + job.lives[0].start_after_s, job, 0) for job in plan.jobs]
        self.running: dict[int, Running] = {}
        self.groups: list[int] = []
        self.selector = selectors.DefaultSelector()

    def play(self) -> None:
        """Go on until every process has ended."""
        while self.due or self.running:
            now = time.monotonic()
            if now > self.began + DEADLINE_S:
                raise Violation("hang", self._where_they_are())
            for moment in [moment for moment in self.due if moment[0] <= now]:
                self.due.remove(moment)
                self._start(moment[1], moment[2])
            for each in self.running.values():
                if each.kill_at <= now:
                    each.kill()
            for key, _ in self.selector.select(max(0.0, self._next_moment() - time.monotonic())):
                self._listen(self.running[key.fd])
        self.groups.clear()

    def _next_moment(self) -> float:
        kills = [each.kill_at for each in self.running.values()]
        return min([moment[0] for moment in self.due] + kills + [time.monotonic() + 1.0])

    def _start(self, job: Job, number: int) -> None:
        life = job.lives[number]
        orders = actors.Orders(
            role=job.role,
            actor=job.actor,
            mark=f"{job.actor}.{self.plan.number}.{number}",
            repo=self.evidence.repo,
            replica=self.evidence.replica,
            durability=job.durability,
            seed=life.seed,
            stop_at=float("inf") if self.plan.mishap else self.began + self.plan.length_s,
            size=self.plan.size,
            turns=self.plan.turns,
            turn_file=self.evidence.turn_file,
            aimed=life.aim == "line",
            mishap=self.plan.mishap,
            unfinished=self.evidence.unfinished.get(job.actor, []),
        )
        ear, mouth = os.pipe()
        pid = children.fork(lambda: self._become(orders, mouth))
        os.close(mouth)
        self.groups.append(pid)
        by_clock = life.aim in ("process", "group")
        kill_at = time.monotonic() + life.kill_after_s if by_clock else float("inf")
        self.running[ear] = Running(job, number, pid, ear, kill_at)
        self.selector.register(ear, selectors.EVENT_READ)

    def _become(self, orders: actors.Orders, mouth: int) -> None:
        """What the child does: it ends in `actors.run`."""
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(0)
        # Stays open as long as the process lives: faulthandler keeps the descriptor only.
        stacks = os.open(self.evidence.stacks_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True)
        actors.run(orders, mouth, (mishap.ROLES if orders.mishap else actors.ROLES)[orders.role])

    def _listen(self, each: Running) -> None:
        data = os.read(each.pipe, 1 << 20)
        each.heard += data
        *lines, rest = each.heard.split(b"\n")
        each.heard = bytearray(rest)
        for line in lines:
            self._hear(each, line)
        if not data:
            self._collect(each)

    def _hear(self, each: Running, line: bytes | bytearray) -> None:
        message = json.loads(line)
        if message[0] == "line" and each.life.aim == "line" and not each.killed:
            self._chase(each, message[1])
        if message[0] == "seen":
            if message[1] < each.last_seen:
                raise Violation("checkpoint", f"one of {each.last_seen} was read, and later one of {message[1]}")
            each.last_seen = message[1]
        self.evidence.hear(each.job.actor, message)

    def _chase(self, each: Running, length: int) -> None:
        """Watch a long line grow in the log, and kill its writer when so much of it is there."""
        path = self.evidence.log_path(self.evidence.repo)
        before = path.stat().st_size if path.exists() else 0
        wanted = before + max(4096, int(length * each.life.kill_after_s * 0.6))
        until = time.monotonic() + CHASE_S
        while time.monotonic() < until:
            if before and os.stat(path).st_size > wanted:
                break
            # A loop without a pause would take the processor from the writer.
            time.sleep(_CHASE_STEP_S)
        each.kill()

    def _collect(self, each: Running) -> None:
        self.selector.unregister(each.pipe)
        os.close(each.pipe)
        del self.running[each.pipe]
        code = os.waitstatus_to_exitcode(os.waitpid(each.pid, 0)[1])
        if code == -signal.SIGKILL and each.killed:
            self.evidence.kills += 1
        elif code != 0:
            raise Violation("fault", f"{each.job.actor} ended with {code} and said nothing")
        again = each.number + 1
        if each.killed and again < len(each.job.lives):
            self.due.append((time.monotonic() + each.job.lives[again].start_after_s, each.job, again))

    def _where_they_are(self) -> str:
        """Have every process that is left write its stacks."""
        for pid in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGUSR1)
        time.sleep(1)
        names = ", ".join(f"{each.job.actor} (process {each.pid})" for each in self.running.values())
        stacks = self.evidence.stacks_file
        return (
            f"after {DEADLINE_S} s these were still at work: {names}\n{stacks.read_text() if stacks.exists() else ''}"
        )

    def clear(self) -> None:
        """Leave no process behind."""
        for pid in self.groups:
            children.kill_group(pid)
        for pipe in self.running:
            os.close(pipe)
        self.selector.close()
        with suppress(ChildProcessError):
            while os.waitpid(-1, 0 if self.running else os.WNOHANG)[0]:
                pass
