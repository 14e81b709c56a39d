"""Several processes that append to one session at once, against one process alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier

from benchmarks.bench import Bench
from benchmarks.built import SESSION
from benchmarks.compare import Work, compare, timed
from benchmarks.entries import entries
from benchmarks.figure import Figure, figure_of
from benchmarks.ours import append_each
from muse.core.op_log import OpLog

WRITERS = 4
_PATIENCE_SECONDS = 600


def _write(repo: Path, appends: int, barrier: Barrier) -> None:
    first, *rest = entries(appends + 1)
    with OpLog(repo, SESSION) as log:
        log.append(first)
        barrier.wait(_PATIENCE_SECONDS)
        barrier.wait(_PATIENCE_SECONDS)
        append_each(log, rest)
        barrier.wait(_PATIENCE_SECONDS)


@contextmanager
def _writing(bench: Bench, writers: int, appends: int) -> Iterator[Work]:
    spawning = multiprocessing.get_context("spawn")
    # All meet three times: when everybody is ready, to begin at once, and when everybody is done.
    barrier = spawning.Barrier(writers + 1)

    def work() -> None:
        barrier.wait(_PATIENCE_SECONDS)
        barrier.wait(_PATIENCE_SECONDS)

    with bench.fresh() as repo:
        processes = [spawning.Process(target=_write, args=(repo, appends, barrier)) for _ in range(writers)]
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


def four_writers(bench: Bench) -> Figure:
    """Time per operation of four writers together against that of one."""
    appends = bench.size.appends
    compared = compare(
        timed(partial(_writing, bench, WRITERS, appends), ops=WRITERS * appends),
        timed(partial(_writing, bench, 1, appends), ops=appends),
        rounds=bench.rounds,
        warm_up=False,
    )
    return figure_of(compared, f"{WRITERS} writer processes, time per op of all", "1 writer process", 1.0)
