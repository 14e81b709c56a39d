"""Replaying the tail: what arrived after the checkpoint of a large session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.bench import TAIL, Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed
from benchmarks.figure import Figure, figure_of
from benchmarks.others import floor


@contextmanager
def replaying(built: Built) -> Iterator[Work]:
    """The first replay of a handle that is at work already."""
    with built.opened() as log:
        yield log.replay_since_checkpoint


def against_bytes(bench: Bench) -> Figure:
    """Against the floor: those bytes, read and parsed."""
    with bench.copy(bench.size.big) as built:
        built.checkpoint(pending=TAIL)
        start = built.cuts[TAIL].byte_offset
        runs = [floor.Run(start, built.log_path.stat().st_size - start)]
        compared = compare(
            timed(partial(replaying, built)),
            timed(partial(floor.reading, built.log_path, runs)),
            rounds=bench.many_rounds,
        )
    return figure_of(
        compared, f"replay of {TAIL:,} after a checkpoint in {bench.size.big:,}", "floor: those bytes", 1.3
    )
