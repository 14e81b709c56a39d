"""Making the index anew from the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed, unprepared
from benchmarks.figure import Figure, figure_of
from benchmarks.others import plain


@contextmanager
def _rebuilding(built: Built) -> Iterator[Work]:
    with built.opened() as log:
        yield log.rebuild_index


def against_reading(bench: Bench) -> Figure:
    """Against `json.loads` of each line, as the plain design reads everything."""
    with bench.copy(bench.size.big) as built:
        compared = compare(
            timed(partial(_rebuilding, built)),
            timed(unprepared(partial(plain.read_all, built.log_path))),
            rounds=bench.few_rounds,
            warm_up=False,
        )
    return figure_of(compared, f"rebuild_index of {bench.size.big:,}", "one plain read_all (json.loads per line)", 0.6)
