"""Making the index anew from the log, in one process and with workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import Any

from benchmarks.bench import Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed, unprepared
from benchmarks.figure import Figure, LeftOutError, figure_of
from benchmarks.others import plain
from muse.core.op_log import OpLog


@contextmanager
def _rebuilding(built: Built, **options: Any) -> Iterator[Work]:
    with built.opened() as log:
        yield lambda: log.rebuild_index(**options)


def _against_reading(bench: Bench, what: str, goal: float, **options: Any) -> Figure:
    with bench.copy(bench.size.big) as built:
        compared = compare(
            timed(partial(_rebuilding, built, **options)),
            timed(unprepared(partial(plain.read_all, built.log_path))),
            rounds=bench.few_rounds,
            warm_up=False,
        )
    return figure_of(compared, f"{what} of {bench.size.big:,}", "one plain read_all (json.loads of each line)", goal)


def in_one_process(bench: Bench) -> Figure:
    """Against `json.loads` of each line, as the plain design reads everything."""
    return _against_reading(bench, "rebuild_index", 0.65)


def with_two_workers(bench: Bench) -> Figure:
    """Against the same, with two worker processes."""
    # This check, and the options above it that mypy can't see through, go once the engine takes the argument.
    if "workers" not in signature(OpLog.rebuild_index).parameters:
        raise LeftOutError("rebuild_index of this engine takes no workers")
    return _against_reading(bench, "rebuild_index with two workers", 0.4, workers=2)
