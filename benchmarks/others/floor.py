"""Floors: the least that could do the work, with nothing checked and nothing that answers a question."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks.compare import Work
from muse.core.op_log import OpEntry

_PAGE_BYTES = 1024
"""The page size of our index: with SQLite's default of 4,096 a committed row takes longer."""


@contextmanager
def _append_only(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def writing(folder: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Serialise and `write(2)`, entry by entry."""
    first, *rest = entries
    with _append_only(folder / "ops.jsonl") as fd:

        def work() -> None:
            for entry in rest:
                os.write(fd, orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))

        os.write(fd, orjson.dumps(first, option=orjson.OPT_APPEND_NEWLINE))
        yield work


@contextmanager
def writing_with_row(folder: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Serialise, `write(2)`, and commit one row into a table without secondary index."""
    first, *rest = entries
    with _append_only(folder / "ops.jsonl") as fd, closing(_bare_table(folder / "rows.db")) as connection:

        def append(entry: OpEntry) -> None:
            line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
            os.write(fd, line)
            connection.execute("INSERT INTO row (length) VALUES (?)", (len(line),))

        def work() -> None:
            for entry in rest:
                append(entry)

        append(first)
        yield work


def _bare_table(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY, length INTEGER NOT NULL)")
    return connection


@contextmanager
def writing_batches(folder: Path, batches: Sequence[Sequence[OpEntry]]) -> Iterator[Work]:
    """Serialise a batch, join it, and write it with one `write(2)`."""
    first, *rest = batches
    with _append_only(folder / "ops.jsonl") as fd:

        def append(batch: Sequence[OpEntry]) -> None:
            os.write(fd, b"".join([orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in batch]))

        def work() -> None:
            for batch in rest:
                append(batch)

        append(first)
        yield work


class Run(NamedTuple):
    """Whole lines that follow each other in the log."""

    byte_offset: int
    length: int


@contextmanager
def reading(path: Path, runs: Sequence[Run]) -> Iterator[Work]:
    """`pread` of exactly the bytes needed, and `orjson.loads` of each line in them."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield lambda: [
            orjson.loads(line)
            for run in runs
            for line in os.pread(fd, run.length, run.byte_offset).split(b"\n")
            # What follows the last newline of a run.
            if line
        ]
    finally:
        os.close(fd)


@contextmanager
def loading(path: Path) -> Iterator[Work]:
    """`orjson.loads` of each line of the file."""

    def work() -> list[Any]:
        with path.open("rb") as file:
            return [orjson.loads(line) for line in file]

    yield work


def runs_of(path: Path, wanted: Callable[[dict[str, Any]], bool], start: int = 0) -> list[Run]:
    """Where the wanted lines lie, from byte `start` on; neighbours are one run."""
    with path.open("rb") as file:
        file.seek(start)
        lines = list(file)
    offsets = pairwise(accumulate(map(len, lines), initial=start))
    judged = [(wanted(orjson.loads(line)), span) for line, span in zip(lines, offsets, strict=True)]
    return [_joined(span for _, span in spans) for is_wanted, spans in groupby(judged, key=_first) if is_wanted]


def _first(judged: tuple[bool, tuple[int, int]]) -> bool:
    return judged[0]


def _joined(spans: Iterable[tuple[int, int]]) -> Run:
    together = list(spans)
    return Run(together[0][0], together[-1][1] - together[0][0])
