"""Finding what lies inside operations: `where`, beside reading the bytes and beside `grep`; contested values."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.built import Built
from benchmarks.compare import Work, compare, timed
from benchmarks.figure import Figure, figure_of
from benchmarks.reading import reading_all
from muse.core.op_log import OpLog

ABSENT = "no/such/address.py"
_PIECE_BYTES = 1 << 20


@contextmanager
def _opened(built: Built, work: Callable[[OpLog], object]) -> Iterator[Work]:
    with built.opened() as log:
        yield partial(work, log)


def _count(log: OpLog) -> int:
    return log.count(where={"address": ABSENT})


@contextmanager
def _other(work: Callable[[Path], object], path: Path) -> Iterator[Work]:
    yield partial(work, path)


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(_PIECE_BYTES):
            pass


def _grep(path: Path) -> None:
    # It ends with 1, as nothing is found.
    subprocess.run(["grep", "-c", f'"{ABSENT}"', path], stdout=subprocess.DEVNULL, check=False)  # noqa: S603, S607


def _searched(bench: Bench, against: str, work: Callable[[Path], object]) -> Figure:
    built = bench.session(bench.size.big)
    ours = timed(partial(_opened, built, _count))
    compared = compare(ours, timed(partial(_other, work, built.log_path)), rounds=bench.rounds)
    megabytes = built.log_path.stat().st_size / 1e6
    return figure_of(compared, f"count(where=…) of what is not there, {megabytes:,.0f} MB", against)


def against_reading(bench: Bench) -> Figure:
    """Beside reading the file in pieces of 1 MiB."""
    return _searched(bench, "floor: reading the bytes", _read)


def against_grep(bench: Bench) -> Figure:
    """Beside the program, its start included."""
    return _searched(bench, "grep -c", _grep)


def contested(bench: Bench) -> Figure:
    """The values that operations touched at once, beside reading all operations."""
    built = bench.session(bench.size.middle)
    compared = compare(
        timed(partial(_opened, built, lambda log: log.history.contested("address"))),
        timed(partial(reading_all, built)),
        rounds=bench.rounds,
    )
    return figure_of(compared, f"history.contested of {built.ops:,}", "read_all")
