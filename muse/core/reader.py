"""From index rows back to entries: the bytes are fetched, held against the row, and parsed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from itertools import pairwise
from typing import cast

import orjson

from muse.core.entry import OpEntry
from muse.core.index_query import Span
from muse.core.index_row import Place
from muse.core.line import checksum, tidy
from muse.core.log_file import LogFile
from muse.core.sidecar import StaleIndexError

_MAX_GAP_BYTES = 16 << 10
_MAX_RUN_BYTES = 1 << 20


def read_entries(log: LogFile, places: Sequence[Place] | Span) -> Iterable[OpEntry]:
    """The entries at these places, in their order; raises as `read_lines`."""
    lines = read_lines(log, places)
    if isinstance(places, Span):
        with suppress(orjson.JSONDecodeError):
            # One parse is faster than one for each line, and the same: no string of JSON holds a raw newline.
            return cast(list[OpEntry], orjson.loads(b"[" + b",".join(lines) + b"]"))
    # Only a line from another program can begin with a byte order mark.
    return (orjson.loads(line if line.startswith(b"{") else tidy(line)) for line in lines)


def read_lines(log: LogFile, places: Sequence[Place] | Span) -> Iterable[bytes]:
    """The lines at these places, in their order, each known to be a valid entry.

    A line whose checksum is the one in the index was found valid when it was indexed.

    Raises:
        StaleIndexError: a line is not what was indexed. The log decides: the index has to be rebuilt,
            which keeps the old checksum as evidence for `verify`.
        OSError: the log could not be read.
    """
    return _span(log, places) if isinstance(places, Span) else _rows(log, places)


def _span(log: LogFile, span: Span) -> list[bytes]:
    lines = BytesIO(log.read(span.start, span.stop)).readlines()
    if len(lines) != span.lines or sum(map(checksum, lines)) != span.checksums:
        raise StaleIndexError(
            f"the lines from byte {span.start} to {span.stop} are not what they were when they were indexed: run verify"
        )
    return lines


def _rows(log: LogFile, rows: Sequence[Place]) -> Iterator[bytes]:
    for run in _runs(rows):
        start = run[0].byte_offset
        data = log.read(start, run[-1].end)
        for row in run:
            line = data[row.byte_offset - start : row.end - start]
            if checksum(line) != row.checksum:
                raise StaleIndexError(
                    f"the line at byte {row.byte_offset} is not what it was when it was indexed: run verify"
                )
            yield line


def _runs(rows: Sequence[Place]) -> Iterator[list[Place]]:
    """Rows that lie close together, to be fetched in one read."""
    run: list[Place] = list(rows[:1])
    for before, row in pairwise(rows):
        if row.byte_offset - before.end > _MAX_GAP_BYTES or row.end - run[0].byte_offset > _MAX_RUN_BYTES:
            yield run
            run = []
        run.append(row)
    if run:
        yield run
