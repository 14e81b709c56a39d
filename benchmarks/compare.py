"""Two contenders in turn: ours, other, ours, other, … and the median of the ratios.

A machine's speed drifts, and what drifts slowly is the same for two neighbours in time. So each round
gives one ratio, and the median of the ratios is the figure; the median times are shown beside it.

A contender is a function that returns a context manager: entering prepares, the callable it gives is
what is timed, and leaving cleans up. Python's garbage collector runs before the timing and not in it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median

Work = Callable[[], object]
Contender = Callable[[], AbstractContextManager[Work]]
Sample = Callable[[], float]
"""Measures once; returns seconds per operation."""


@dataclass(frozen=True)
class Comparison:
    """Seconds per operation of both, round by round."""

    ours: list[float]
    other: list[float]

    @property
    def ratios(self) -> list[float]:
        """Ours divided by the other's, round by round."""
        return [mine / its for mine, its in zip(self.ours, self.other, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)


def unprepared(work: Work) -> Contender:
    """A contender that needs no preparation."""
    return lambda: nullcontext(work)


def timed(contender: Contender, *, ops: int = 1) -> Sample:
    """A sample that prepares `contender`, times its work, and divides by the number of operations in it."""

    def sample() -> float:
        with contender() as work:
            gc.collect()
            gc.disable()
            try:
                start = time.perf_counter()
                # Held until the clock was read: giving back the memory of a long answer takes its time.
                answer = work()
                elapsed = time.perf_counter() - start
            finally:
                gc.enable()
            del answer
        return elapsed / ops

    return sample


def compare(ours: Sample, other: Sample, *, rounds: int, warm_up: bool = True) -> Comparison:
    """Measure both in turn, `rounds` times, after one round that does not count (unless it takes too long)."""
    if warm_up:
        ours()
        other()
    mine, its = [], []
    for _ in range(rounds):
        mine.append(ours())
        its.append(other())
    return Comparison(mine, its)


def measure(sample: Sample, *, rounds: int) -> list[float]:
    """Measure one alone, `rounds` times, after one round that does not count."""
    sample()
    return [sample() for _ in range(rounds)]
