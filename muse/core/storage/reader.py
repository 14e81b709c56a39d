"""From index rows back to entries: the bytes are fetched, held against the row, and parsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import accumulate, pairwise

import orjson

from muse.core.entry.codec import checksum, tidy
from muse.core.entry.model import OpEntry
from muse.core.old_index.index_query import Span
from muse.core.old_index.sidecar import StaleIndexError
from muse.core.storage.log_file import LogFile
from muse.core.storage.record import Place

_MAX_GAP_BYTES = 16 << 10
_MAX_RUN_BYTES = 1 << 20
_PIECE_BYTES = 128 << 10


def read_entries(log: LogFile, places: Sequence[Place] | Span) -> list[OpEntry]:
    """The entries at these places, in their order; raises as `read_lines`."""
    return _parsed(read_lines(log, places))


def read_entries_with_ends(log: LogFile, places: Sequence[Place] | Span) -> list[tuple[int, OpEntry]]:
    """The same, each with the byte offset after its line; raises as `read_lines`."""
    lines = read_lines(log, places)
    if isinstance(places, Span):
        ends = list(accumulate(map(len, lines), initial=places.start))[1:]
    else:
        ends = [place.end for place in places]
    return list(zip(ends, _parsed(lines), strict=True))


def _parsed(lines: list[bytes]) -> list[OpEntry]:
    # One parse is faster than one for each line, and the same, since each is known to be one whole object; it takes
    # several times its text in memory, so the pieces are small.
    step = 1 + len(lines) * _PIECE_BYTES // (1 + sum(map(len, lines)))
    entries: list[OpEntry] = []
    for start in range(0, len(lines), step):
        piece = lines[start : start + step]
        try:
            entries += orjson.loads(b"[" + b",".join(piece) + b"]")
        except orjson.JSONDecodeError:
            # A line from another program can begin with a byte order mark.
            entries += [orjson.loads(tidy(line)) for line in piece]
    return entries


def read_lines(log: LogFile, places: Sequence[Place] | Span) -> list[bytes]:
    """The lines at these places, in their order, each known to be a valid entry.

    A line whose checksum is the one in the index was found valid when it was indexed.

    Raises:
        StaleIndexError: a line is not what was indexed. The log decides: the index has to be rebuilt,
            which keeps the old checksum as evidence for `verify`.
        OSError: the log could not be read.
    """
    if isinstance(places, Span):
        return _lines_in(log, places)
    return [line for run in _runs(places) for line in _lines_at(log, run)]


def _lines_in(log: LogFile, span: Span) -> list[bytes]:
    lines = BytesIO(log.read(span.start, span.stop)).readlines()
    if len(lines) != span.lines or sum(map(checksum, lines)) != span.checksums:
        raise StaleIndexError(
            f"the lines from byte {span.start} to {span.stop} are not what they were when they were indexed: run verify"
        )
    return lines


def _lines_at(log: LogFile, run: Sequence[Place]) -> list[bytes]:
    start = run[0].byte_offset
    data = log.read(start, run[-1].end)
    lines = [data[at - start : at - start + length] for at, length, _, _ in run]
    for line, row in zip(lines, run, strict=True):
        if checksum(line) != row.checksum:
            raise StaleIndexError(
                f"the line at byte {row.byte_offset} is not what it was when it was indexed: run verify"
            )
    return lines


def _runs(rows: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """Rows that lie close together, to be fetched in one read."""
    first = 0
    for number, (before, row) in enumerate(pairwise(rows), start=1):
        gap = row.byte_offset - before.byte_offset - before.length
        if gap > _MAX_GAP_BYTES or row.byte_offset - rows[first].byte_offset > _MAX_RUN_BYTES:
            yield rows[first:number]
            first = number
    if rows:
        yield rows[first:]
