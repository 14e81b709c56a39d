"""Sparse questions: the first 100 entries of an actor or domain."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed
from benchmarks.entries import LATE, RARE
from benchmarks.figure import Figure, figure_of

FEW = 10_000
RESULTS = 100


@contextmanager
def querying(built: Built, *, actor_id: str | None = None, domain: str | None = None) -> Iterator[Work]:
    """The first such query of a handle that has answered another question already."""
    with built.opened() as log:
        len(log)
        yield lambda: list(log.query(actor_id=actor_id, domain=domain, limit=RESULTS))


def _at_size(bench: Bench, what: str, goal: float, *, actor_id: str | None = None, domain: str | None = None) -> Figure:
    compared = compare(
        timed(partial(querying, bench.session(bench.size.big), actor_id=actor_id, domain=domain)),
        timed(partial(querying, bench.session(FEW), actor_id=actor_id, domain=domain)),
        rounds=bench.many_rounds,
    )
    return figure_of(compared, f"{what}, first {RESULTS} results, in {bench.size.big:,}", f"in {FEW:,}", goal)


def by_actor(bench: Bench) -> Figure:
    """By an actor who made one entry in a hundred."""
    return _at_size(bench, "query by actor", 1.5, actor_id=RARE)


def by_domain(bench: Bench) -> Figure:
    """By a domain that one entry in a hundred is of."""
    return _at_size(bench, "query by domain", 1.5, domain=RARE)


def by_late_actor(bench: Bench) -> Figure:
    """By an actor who made only the very last entries, so that the way there counts too."""
    return _at_size(bench, "query by an actor of the last entries", 2.0, actor_id=LATE)
