"""Every figure by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import (
    append,
    batch,
    causal,
    delta,
    disk,
    memory,
    queries,
    reading,
    rebuild,
    replay,
    resume,
    search,
    sessions,
    start,
    writers,
)
from benchmarks.bench import Bench
from benchmarks.figure import Figure

FIGURES: dict[str, Callable[[Bench], Figure]] = {
    "append/plain": append.against_plain,
    "append/row": append.against_row,
    "append/write": append.against_write,
    "append/one-table": append.against_one_table,
    "append/eventsourcing": append.against_eventsourcing,
    "append/eventsourcing-normal": append.against_unsynced_eventsourcing,
    "append/diskcache": append.against_diskcache,
    "append/pycrdt-file": append.against_pycrdt_file,
    "append/pycrdt-sqlite": append.against_pycrdt_sqlite,
    "append/size": append.at_size,
    "first-append": append.first_of_a_handle,
    "batch/one-table": batch.against_one_table,
    "batch/validated-table": batch.against_validated_table,
    "batch/write": batch.against_write,
    "batch/eventsourcing": batch.against_eventsourcing,
    "writers/ours": writers.four_writers,
    "writers/row": writers.four_bare_writers,
    "resume/size": resume.at_size,
    "resume/scan": resume.against_scan,
    "replay": replay.against_bytes,
    "delta/tail-lines": delta.tail_against_lines,
    "delta/tail-scan": delta.tail_against_scan,
    "delta/scattered-lines": delta.scattered_against_lines,
    "delta/scattered-scan": delta.scattered_against_scan,
    "read-all": reading.all_against_loads,
    "query/actor": queries.by_actor,
    "query/domain": queries.by_domain,
    "query/late-actor": queries.by_late_actor,
    "rebuild/one-process": rebuild.in_one_process,
    "rebuild/two-workers": rebuild.with_two_workers,
    "verify": rebuild.verifying,
    "sessions/scan": sessions.against_scan,
    "sessions/command": sessions.listing,
    "where/read": search.against_reading,
    "where/grep": search.against_grep,
    "ancestors": causal.ancestors_of_the_last,
    "contested": search.contested,
    "index-size": disk.index_size,
    "memory": memory.iterating,
    "start/import": start.importing,
    "start/import-statement": start.import_statement,
    "start/help": start.helping,
}

MAIN = [
    "append/plain",
    "append/row",
    "append/one-table",
    "append/size",
    "first-append",
    "batch/one-table",
    "batch/validated-table",
    "writers/ours",
    "resume/size",
    "replay",
    "delta/tail-lines",
    "delta/scattered-lines",
    "read-all",
    "query/actor",
    "rebuild/one-process",
    "rebuild/two-workers",
    "sessions/scan",
    "sessions/command",
    "ancestors",
    "index-size",
    "memory",
    "start/import",
    "start/help",
]
"""Those that the chart shows beside their goals."""


def named(names: list[str]) -> list[str]:
    """The figures that `names` ask for: a whole name, or the part before the slash; all where there are none.

    Raises:
        ValueError: a name is no figure's; lists those there are.
    """
    chosen = [figure for figure in FIGURES if not names or any(_is_named(figure, name) for name in names)]
    for name in names:
        if not any(_is_named(figure, name) for figure in FIGURES):
            raise ValueError(f"no figure is called {name!r}; there are: {', '.join(FIGURES)}")
    return chosen


def _is_named(figure: str, name: str) -> bool:
    return name in (figure, figure.split("/", maxsplit=1)[0])
