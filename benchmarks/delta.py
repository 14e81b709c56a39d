"""Collapsing one domain that has 1 % of a large session's entries pending.

Measured twice, since that can be said of two sessions: the last 2 % are pending and every other of
them is of this domain; or everything is pending, and one in a hundred is, all over the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed, unprepared
from benchmarks.entries import RARE
from benchmarks.figure import Figure, figure_of
from benchmarks.others import floor, plain

DENSE = "music"


@contextmanager
def _collapsing(built: Built, domain: str) -> Iterator[Work]:
    with built.opened() as log:
        yield lambda: log.to_structured_delta(domain)


@contextmanager
def _with_two_percent_pending(bench: Bench) -> Iterator[tuple[Built, int]]:
    pending = bench.size.big // 50
    with bench.copy(bench.size.big) as built:
        built.checkpoint(pending)
        yield built, pending


def _against_lines(bench: Bench, built: Built, domain: str, start: int, what: str, goal: float) -> Figure:
    runs = floor.runs_of(built.log_path, lambda entry: bool(entry["domain"] == domain), start)
    compared = compare(
        timed(partial(_collapsing, built, domain)),
        timed(partial(floor.reading, built.log_path, runs)),
        rounds=bench.many_rounds,
    )
    return figure_of(compared, what, "floor: just those lines", goal)


def _against_scan(bench: Bench, built: Built, domain: str, covered: int, what: str) -> Figure:
    compared = compare(
        timed(partial(_collapsing, built, domain)),
        timed(unprepared(partial(plain.delta, built.log_path, domain, covered))),
        rounds=bench.few_rounds,
    )
    return figure_of(compared, what, "plain scan", 0.03)


def _tail(bench: Bench) -> str:
    return f"delta of a domain, 1 % of {bench.size.big:,} pending, at the end"


def _scattered(bench: Bench) -> str:
    return f"delta of a domain, 1 % of {bench.size.big:,} pending, all over the log"


def tail_against_lines(bench: Bench) -> Figure:
    """The pending ones lie at the end, against the floor."""
    with _with_two_percent_pending(bench) as (built, pending):
        return _against_lines(bench, built, DENSE, built.cuts[pending].byte_offset, _tail(bench), 2.0)


def tail_against_scan(bench: Bench) -> Figure:
    """The pending ones lie at the end, against a scan."""
    with _with_two_percent_pending(bench) as (built, pending):
        return _against_scan(bench, built, DENSE, built.ops - pending, _tail(bench))


def scattered_against_lines(bench: Bench) -> Figure:
    """The pending ones lie all over the log, against the floor."""
    return _against_lines(bench, bench.session(bench.size.big), RARE, 0, _scattered(bench), 1.9)


def scattered_against_scan(bench: Bench) -> Figure:
    """The pending ones lie all over the log, against a scan."""
    return _against_scan(bench, bench.session(bench.size.big), RARE, 0, _scattered(bench))
