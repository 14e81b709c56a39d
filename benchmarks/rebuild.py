"""Making the index anew from the log, in one process and with workers; and verify, which makes one to compare with."""

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
def _rebuilding(built: Built, workers: int) -> Iterator[Work]:
    with built.opened() as log:
        yield partial(log.rebuild_index, workers=workers)


def _against_reading(bench: Bench, what: str, goal: float, workers: int) -> Figure:
    with bench.copy(bench.size.big) as built:
        compared = compare(
            timed(partial(_rebuilding, built, workers)),
            timed(unprepared(partial(plain.read_all, built.log_path))),
            rounds=bench.few_rounds,
            warm_up=False,
        )
    return figure_of(compared, f"{what} of {bench.size.big:,}", "one plain read_all (json.loads of each line)", goal)


def in_one_process(bench: Bench) -> Figure:
    """Against `json.loads` of each line, as the plain design reads everything."""
    return _against_reading(bench, "rebuild_index", 0.65, workers=1)


def with_two_workers(bench: Bench) -> Figure:
    """Against the same, with two worker processes."""
    return _against_reading(bench, "rebuild_index with two workers", 0.4, workers=2)


@contextmanager
def _verifying(built: Built) -> Iterator[Work]:
    with built.opened() as log:
        yield log.verify


def verifying(bench: Bench) -> Figure:
    """The full check of a sound session, against making the index anew."""
    with bench.copy(bench.size.big) as built:
        compared = compare(
            timed(partial(_verifying, built)),
            timed(partial(_rebuilding, built, 1)),
            rounds=bench.few_rounds,
            warm_up=False,
        )
    return figure_of(compared, f"verify of {bench.size.big:,}", "rebuild_index")
