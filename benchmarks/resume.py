"""Resuming a session: open it with a fresh handle and get the next timestamp."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import Bench
from benchmarks.built import SESSION, Built
from benchmarks.compare import Work, compare, timed, unprepared
from benchmarks.figure import Figure, figure_of
from benchmarks.others import plain
from muse.core.op_log import OpLog


@contextmanager
def resuming(built: Built) -> Iterator[Work]:
    """Open, next timestamp; closing is not part of it."""
    handles = []

    def work() -> int:
        handles.append(OpLog(built.repo, SESSION))
        return handles[0].next_lamport_ts()

    try:
        yield work
    finally:
        for log in handles:
            log.close()


def at_size(bench: Bench) -> Figure:
    """Of a large session against a small one."""
    compared = compare(
        timed(partial(resuming, bench.session(bench.size.big))),
        timed(partial(resuming, bench.session(1000))),
        rounds=bench.many_rounds,
    )
    return figure_of(compared, f"open and next timestamp, {bench.size.big:,} entries", "1,000 entries", 1.5)


def against_scan(bench: Bench) -> Figure:
    """Against a scan that looks for the highest timestamp."""
    built = bench.session(bench.size.big)
    compared = compare(
        timed(partial(resuming, built)),
        timed(unprepared(partial(plain.next_lamport_ts, built.log_path))),
        rounds=bench.few_rounds,
    )
    return figure_of(compared, f"open and next timestamp, {bench.size.big:,} entries", "plain scan", 0.001)
