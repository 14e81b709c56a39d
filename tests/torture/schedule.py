"""Who does what in a round, and who is killed when: drawn from the seed alone, so that a seed replays it.

What the operating system makes of the schedule, and so where exactly a kill strikes, is not replayed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

ROUNDS_PER_SESSION = 10
"""How many rounds a session lives, so that damage adds up."""

MAIN_ROLES = ("record", "append", "batch", "big", "checkpoint", "merge", "replica", "rebuild", "read", "redact", "fork")

_ALWAYS = ("batch", "checkpoint", "replica")
"""In every round, since the others mostly need what they make."""

_DRAWN = (
    "record",
    "record",
    "append",
    "batch",
    "big",
    "big",
    "checkpoint",
    "merge",
    "merge",
    "rebuild",
    "read",
    "redact",
    "redact",
    "redact",
    "fork",
)

Durability = Literal["os", "fsync"]
Aim = Literal["", "process", "group", "line"]
Mishap = Literal["older copy", "index gone", "line damaged"]

MISHAPS: tuple[Mishap, ...] = ("older copy", "index gone", "line damaged")
"""What befalls a copy of the session after each round; see `mishap`."""

_AT_WORK = ("write", "write", "look", "look", "commit")
_HELPERS: dict[Mishap, tuple[str, ...]] = {
    "older copy": ("bring",),
    "index gone": ("commit", "write"),
    "line damaged": ("bring", "bring"),
}
_UNHARMED = ("strike",)


@dataclass(frozen=True)
class Life:
    """One run of a process. A killed process is started again while its job has lives left."""

    start_after_s: float
    """After the start of the round, or the end of the life before."""
    aim: Aim
    """What a SIGKILL strikes: nothing, the process, it and its forked children, or it in the middle of a long line."""
    kill_after_s: float
    """After the start of this life; of a kill in a line, how far into it, from 0 to 1."""
    seed: int


@dataclass(frozen=True)
class Job:
    """One process of a round, and its successors."""

    role: str
    actor: str
    """The name it acts under; the same job in the next rounds goes on under it."""
    durability: Durability
    lives: tuple[Life, ...]


@dataclass(frozen=True)
class Plan:
    """One round."""

    number: int
    """From 1, over the whole run."""
    length_s: float
    """When every process stops by itself."""
    size: int
    """About how many operations a writer makes."""
    turns: bool
    """Whether checkpointers take turns, as a careful application lets them, or race."""
    narrow: bool
    """Whether the engine runs with small limits, see `narrow`."""
    without_index: bool
    """Whether the index is thrown away before the round, so that all processes make it at once."""
    jobs: tuple[Job, ...]
    mishap: Mishap | None = None
    """What befalls the session in the middle, if anything."""

    @property
    def session(self) -> int:
        """The number of the session this round works on, from 0."""
        return (self.number - 1) // ROUNDS_PER_SESSION

    @property
    def ends_session(self) -> bool:
        """Whether the next round begins a fresh session."""
        return self.number % ROUNDS_PER_SESSION == 0


def plan(seed: int, number: int, size: int) -> Plan:
    """The plan of one round, the same for the same arguments; `size` scales how much is written."""
    length_s = 0.16 + 0.002 * size
    session = (number - 1) // ROUNDS_PER_SESSION
    draw = random.Random(f"{seed}/{number}")
    roles = [*_ALWAYS, *draw.sample(_DRAWN, draw.randint(3, 5))]
    jobs: list[Job] = []
    for role in sorted(roles):
        same = sum(job.role == role for job in jobs)
        durability: Durability = "fsync" if draw.random() < 0.2 else "os"
        jobs.append(Job(role, f"{role}{same}", durability, _lives(draw, role, length_s)))
    of_session = random.Random(f"{seed}/session {session}")
    turns, narrow = of_session.random() < 0.5, of_session.random() < 0.5
    without_index = draw.random() < 0.15
    return Plan(number, length_s, size, turns, narrow, without_index, tuple(jobs))


def plan_with_mishap(seed: int, number: int, size: int) -> Plan:
    """What happens to a copy of the session after round `number`: fewer are at work, and something befalls it."""
    draw = random.Random(f"{seed}/mishap {number}")
    mishap = MISHAPS[number % len(MISHAPS)]
    length_s = 0.2 + 0.002 * size
    roles = [*_AT_WORK, *draw.sample(_HELPERS[mishap], draw.randint(0, len(_HELPERS[mishap]))), *_UNHARMED]
    jobs: list[Job] = []
    for role in roles:
        same = sum(job.role == role for job in jobs)
        lives = _lives(draw, role, length_s)
        if role in _UNHARMED:
            lives = (replace(lives[0], aim=""),)
        jobs.append(Job(role, f"{role}{same}", "os", lives))
    return replace(plan(seed, number, size), length_s=length_s, turns=False, jobs=tuple(jobs), mishap=mishap)


def _lives(draw: random.Random, role: str, length_s: float) -> tuple[Life, ...]:
    lives = []
    for number in range(3):
        start_after_s = draw.uniform(0, 0.03)
        killed = draw.random() < (0.75, 0.5, 0.25)[number]
        again = draw.random() < 0.7
        aim: Aim = ""
        kill_after_s = draw.uniform(0, length_s)
        if killed and role == "big" and draw.random() < 0.7:
            aim, kill_after_s = "line", draw.random()
        elif killed:
            aim = "group" if draw.random() < 0.5 else "process"
        lives.append(Life(start_after_s, aim, kill_after_s, draw.getrandbits(32)))
        if not (killed and again):
            break
    return tuple(lives)
