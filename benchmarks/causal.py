"""What an operation depends on: a walk over the links that the index keeps, and the lines it leads to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed
from benchmarks.figure import Figure, figure_of
from benchmarks.reading import reading_all


@contextmanager
def _walking_back(built: Built) -> Iterator[Work]:
    """All ancestors of the last entry; every entry of a session names the one before as its parent."""
    with built.opened() as log:
        (last,) = log.query(reverse=True, limit=1)
        yield lambda: list(log.history.ancestors(last["op_id"]))


def ancestors_of_the_last(bench: Bench) -> Figure:
    """Against reading the lines of the same session without a walk."""
    built = bench.session(bench.size.chain)
    compared = compare(
        timed(partial(_walking_back, built)),
        timed(partial(reading_all, built)),
        rounds=bench.rounds,
    )
    return figure_of(
        compared, f"ancestors of the last of {built.ops:,} ops in one chain", "reading their lines (read_all)", 1.2
    )
