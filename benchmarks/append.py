"""Appending one entry: validated, logged, indexed, checked for a duplicate, acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from benchmarks import ours
from benchmarks.bench import Bench
from benchmarks.built import SESSION, Built
from benchmarks.compare import Work, compare, measure, timed
from benchmarks.entries import entries
from benchmarks.figure import Figure, figure_alone, figure_of
from benchmarks.others import diskcache_log, eventsourcing_log, floor, one_table, plain, pycrdt_log
from muse.core.op_log import OpEntry, OpLog

WHAT = "append one entry"
Appending = Callable[[Path, Sequence[OpEntry]], AbstractContextManager[Work]]


def _against(bench: Bench, appending: Appending, name: str, goal: float | None = None, *, slow: bool = False) -> Figure:
    appends = bench.size.slow_appends if slow else bench.size.appends
    # The first one is written before the timing.
    batch = list(entries(appends + 1))

    @contextmanager
    def from_nothing(appending: Appending) -> Iterator[Work]:
        with bench.fresh() as folder, appending(folder, batch) as work:
            yield work

    compared = compare(
        timed(partial(from_nothing, ours.appending), ops=appends),
        timed(partial(from_nothing, appending), ops=appends),
        rounds=bench.rounds,
    )
    return figure_of(compared, WHAT, name, goal)


def against_plain(bench: Bench) -> Figure:
    """Against open, `json.dumps`, write, close."""
    return _against(bench, plain.appending, "the plain design without an index", 1.5)


def against_row(bench: Bench) -> Figure:
    """Against the floor: serialise, `write(2)` and one bare committed row."""
    return _against(bench, floor.writing_with_row, "floor: write + one bare committed row, same page size", 1.8)


def against_write(bench: Bench) -> Figure:
    """Against the floor below all: serialise and `write(2)`."""
    return _against(bench, floor.writing, "floor: serialise and write(2)")


def against_one_table(bench: Bench) -> Figure:
    """Against one SQLite table that holds the payload."""
    return _against(bench, one_table.appending, "one SQLite table with payload, same lookups, one commit each", 0.48)


def against_eventsourcing(bench: Bench) -> Figure:
    """Against eventsourcing as it comes."""
    return _against(bench, eventsourcing_log.appending, "eventsourcing on SQLite", 0.11, slow=True)


def against_unsynced_eventsourcing(bench: Bench) -> Figure:
    """Against eventsourcing with the synchronous setting of the others, which it offers no option for."""
    contender = partial(eventsourcing_log.appending, synchronous="NORMAL")
    return _against(bench, contender, "eventsourcing on SQLite, synchronous NORMAL", slow=True)


def against_diskcache(bench: Bench) -> Figure:
    """Against diskcache's Deque."""
    return _against(bench, diskcache_log.appending, "diskcache Deque", slow=True)


def against_pycrdt_file(bench: Bench) -> Figure:
    """Against pycrdt-store's FileYStore."""
    return _against(bench, pycrdt_log.appending_to_file, "pycrdt-store FileYStore", slow=True)


def against_pycrdt_sqlite(bench: Bench) -> Figure:
    """Against pycrdt-store's SQLiteYStore."""
    return _against(bench, pycrdt_log.appending_to_sqlite, "pycrdt-store SQLiteYStore", slow=True)


@contextmanager
def appending_to(built: Built, appends: int) -> Iterator[Work]:
    """Append to a session that is there; it stays longer by what was appended."""
    with built.opened() as log:
        batch = list(entries(appends, first_lamport_ts=log.next_lamport_ts()))
        yield lambda: ours.append_each(log, batch)


def at_size(bench: Bench) -> Figure:
    """To a large session against a small one, which starts small in every round."""
    appends = bench.size.appends

    @contextmanager
    def to_small() -> Iterator[Work]:
        with bench.copy(1000) as small, appending_to(small, appends) as work:
            yield work

    with bench.copy(bench.size.big) as big:
        compared = compare(
            timed(partial(appending_to, big, appends), ops=appends),
            timed(to_small, ops=appends),
            rounds=bench.rounds,
        )
    return figure_of(compared, f"append at {bench.size.big:,} entries in the log", "at 1,000 entries", 1.2)


@contextmanager
def _appending_first(built: Built) -> Iterator[Work]:
    """One append of a handle that has opened nothing yet, the check for a duplicate included."""
    (entry,) = entries(1, first_lamport_ts=built.ops + 1)
    with OpLog(built.repo, SESSION) as log:
        yield partial(log.append, entry)


def first_of_a_handle(bench: Bench) -> Figure:
    """The first append of a handle to a large session; the session is one entry longer after each round."""
    with bench.copy(bench.size.big) as built:
        seconds = measure(timed(partial(_appending_first, built)), rounds=bench.many_rounds)
    return figure_alone(seconds, f"first append of a handle, {bench.size.big:,} entries in the log", "ms", 5.0)
