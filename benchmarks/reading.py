"""Reading a session as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed
from benchmarks.figure import Figure, figure_of
from benchmarks.others import floor


@contextmanager
def reading_all(built: Built) -> Iterator[Work]:
    """`read_all` of a handle that is at work already."""
    with built.opened() as log:
        yield log.read_all


def all_against_loads(bench: Bench) -> Figure:
    """`read_all` against the floor: `orjson.loads` of each line of the file."""
    built = bench.session(bench.size.middle)
    compared = compare(
        timed(partial(reading_all, built)),
        timed(partial(floor.loading, built.log_path)),
        rounds=bench.rounds,
    )
    return figure_of(compared, f"read_all of {built.ops:,}", "floor: orjson.loads of each line", 1.1)
