"""Appending batches of 1,000: one write and one index transaction each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks import ours
from benchmarks.bench import Bench
from benchmarks.built import BATCH, Built
from benchmarks.compare import Work, compare, timed
from benchmarks.entries import entries
from benchmarks.figure import Figure, figure_of
from benchmarks.others import eventsourcing_log, floor, one_table, validated
from muse.core.op_log import OpEntry

WHAT = "append_many of 1,000"
Batching = Callable[[Path, Sequence[Sequence[OpEntry]]], AbstractContextManager[Work]]


def batches_of(count: int, *, first_lamport_ts: int = 1) -> list[list[OpEntry]]:
    """`count` batches of 1,000 fresh entries."""
    source = entries(count * BATCH, first_lamport_ts=first_lamport_ts)
    return [list(islice(source, BATCH)) for _ in range(count)]


def _against(bench: Bench, batching: Batching, name: str, goal: float | None = None) -> Figure:
    # The first one is written before the timing.
    batches = batches_of(bench.size.batches + 1)
    ops = bench.size.batches * BATCH

    @contextmanager
    def from_nothing(batching: Batching) -> Iterator[Work]:
        with bench.fresh() as folder, batching(folder, batches) as work:
            yield work

    compared = compare(
        timed(partial(from_nothing, ours.batching), ops=ops),
        timed(partial(from_nothing, batching), ops=ops),
        rounds=bench.rounds,
    )
    return figure_of(compared, WHAT, name, goal)


def against_one_table(bench: Bench) -> Figure:
    """Against one SQLite table, a transaction for each batch, whose entries nobody checks."""
    return _against(bench, one_table.batching, "one SQLite table with payload, batches of 1,000, not validated", 0.7)


def against_validated_table(bench: Bench) -> Figure:
    """Against the same table behind a validation that refuses what ours does."""
    contender = partial(one_table.batching, check=validated.check)
    return _against(bench, contender, "one SQLite table with payload, batches of 1,000, validated as ours are", 0.6)


def against_write(bench: Bench) -> Figure:
    """Against the floor: serialise, join, one `write(2)`."""
    return _against(bench, floor.writing_batches, "floor: join and one write", 11.0)


def against_eventsourcing(bench: Bench) -> Figure:
    """Against eventsourcing, a transaction for each batch."""
    return _against(bench, eventsourcing_log.batching, "eventsourcing on SQLite, batches of 1,000", 0.8)


@contextmanager
def batching_to(built: Built, count: int) -> Iterator[Work]:
    """Append batches to a session that is there; it stays longer by what was appended."""
    with built.opened() as log:
        batches = batches_of(count, first_lamport_ts=log.next_lamport_ts())
        yield lambda: ours.append_each_batch(log, batches)
