"""A figure: what was measured, against what (if anything), and whether it reaches its goal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

from benchmarks.compare import Comparison


class LeftOutError(Exception):
    """A figure can't be measured here; the message says why."""


@dataclass(frozen=True)
class Figure:
    """One line of the table. `value` is a ratio, unless `unit` says otherwise."""

    what: str
    against: str
    value: float
    goal: float | None
    """The most that `value` may be; None for a figure that is only shown."""
    ours: float
    other: float | None
    measured: str
    """What `ours` and `other` are: "s" (seconds), or "bytes"."""
    unit: str = "ratio"
    """"ratio", "MiB", "s" or "ms"."""
    rounds: list[float] = field(default_factory=list)
    """`value` of each round."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is no goal."""
        return None if self.goal is None else self.value <= self.goal

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return {**asdict(self), "met": self.met}


def figure_of(comparison: Comparison, what: str, against: str, goal: float | None = None) -> Figure:
    """The figure of two contenders that were timed in turn."""
    return Figure(
        what,
        against,
        comparison.ratio,
        goal,
        median(comparison.ours),
        median(comparison.other),
        "s",
        rounds=comparison.ratios,
    )


_UNITS = {"s": 1.0, "ms": 1000.0}


def figure_alone(seconds: list[float], what: str, unit: Literal["s", "ms"], goal: float) -> Figure:
    """The figure of one contender whose time is what counts, compared with nothing; `seconds` of each round."""
    values = [each * _UNITS[unit] for each in seconds]
    return Figure(what, "", median(values), goal, median(seconds), None, "s", unit=unit, rounds=values)
