"""Several processes that append to one session at once, against one process alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier

from benchmarks import ours
from benchmarks.append import Appending
from benchmarks.bench import Bench
from benchmarks.compare import Work, compare, timed
from benchmarks.entries import entries
from benchmarks.figure import Figure, figure_of
from benchmarks.others import floor

WRITERS = 4
_PATIENCE_SECONDS = 600


def _write(appending: Appending, folder: Path, appends: int, barrier: Barrier) -> None:
    with appending(folder, list(entries(appends + 1))) as work:
        barrier.wait(_PATIENCE_SECONDS)
        barrier.wait(_PATIENCE_SECONDS)
        work()
        barrier.wait(_PATIENCE_SECONDS)


@contextmanager
def _writing(bench: Bench, appending: Appending, writers: int, appends: int) -> Iterator[Work]:
    spawning = multiprocessing.get_context("spawn")
    # All meet three times: when everybody is ready, to begin at once, and when everybody is done.
    barrier = spawning.Barrier(writers + 1)

    def work() -> None:
        barrier.wait(_PATIENCE_SECONDS)
        barrier.wait(_PATIENCE_SECONDS)

    with bench.fresh() as folder:
        # Two that change a database to WAL mode at once can fail: it is made before they come.
        with appending(folder, list(entries(1))):
            pass
        arguments = (appending, folder, appends, barrier)
        processes = [spawning.Process(target=_write, args=arguments) for _ in range(writers)]
        try:
            for process in processes:
                process.start()
            barrier.wait(_PATIENCE_SECONDS)
            yield work
        except BaseException:
            barrier.abort()
            raise
        finally:
            for process in processes:
                process.join()


def _several_against_one(bench: Bench, appending: Appending, what: str, other: str, goal: float | None) -> Figure:
    appends = bench.size.appends
    compared = compare(
        timed(partial(_writing, bench, appending, WRITERS, appends), ops=WRITERS * appends),
        timed(partial(_writing, bench, appending, 1, appends), ops=appends),
        rounds=bench.rounds,
        warm_up=False,
    )
    return figure_of(compared, f"{WRITERS} {what}, time per op of all", f"1 {other}", goal)


def four_writers(bench: Bench) -> Figure:
    """Time per operation of four writers together against that of one."""
    return _several_against_one(bench, ours.appending, "writer processes", "writer process", 1.2)


def four_bare_writers(bench: Bench) -> Figure:
    """The same of the floor: what SQLite alone costs when several commit."""
    return _several_against_one(
        bench, floor.writing_with_row, "processes that write + commit one bare row", "such process", None
    )
