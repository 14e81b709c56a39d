"""From locations to entries: the bytes are fetched, held against what was indexed, and parsed."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate

import orjson

from muse.core.entry.codec import checksum, strip_padding
from muse.core.entry.model import OpEntry
from muse.core.storage.lines import Location, Span
from muse.core.storage.log_file import LogFile

_MAX_GAP_BYTES = 16 << 10
_MAX_READ_BYTES = 1 << 20
_PARSED_AT_ONCE_BYTES = 128 << 10


class StaleLocationError(Exception):
    """A line is not what was indexed: the index is rebuilt, and keeps the old checksum as evidence for `verify`."""


def read_entries(log: LogFile, places: Sequence[Location] | Span) -> list[OpEntry]:
    """The entries at these places, in their order; raises as `read_lines`."""
    return _parsed(read_lines(log, places))


def read_entries_with_ends(log: LogFile, places: Sequence[Location] | Span) -> list[tuple[int, OpEntry]]:
    """The same, each with the byte offset after its line; raises as `read_lines`."""
    lines = read_lines(log, places)
    if isinstance(places, Span):
        ends = list(accumulate(map(len, lines), initial=places.start))[1:]
    else:
        ends = [place.end for place in places]
    return list(zip(ends, _parsed(lines), strict=True))


def _parsed(lines: list[bytes]) -> list[OpEntry]:
    # One parse is faster than one for each line, and the same, since each is known to be one whole object; not too many
    # at once, since it takes several times its text in memory.
    step = 1 + len(lines) * _PARSED_AT_ONCE_BYTES // (1 + sum(map(len, lines)))
    entries: list[OpEntry] = []
    for start in range(0, len(lines), step):
        piece = lines[start : start + step]
        try:
            entries += orjson.loads(b"[" + b",".join(piece) + b"]")
        except orjson.JSONDecodeError:
            # A line from another program can begin with a byte order mark.
            entries += [orjson.loads(strip_padding(line)) for line in piece]
    return entries


def read_lines(log: LogFile, places: Sequence[Location] | Span) -> list[bytes]:
    """The lines at these places, in their order; a `StaleLocationError` if one is not what was indexed.

    Each is a valid entry: a line whose checksum is the one in the index was found valid when it was indexed.
    """
    if isinstance(places, Span):
        return _lines_in(log, places)
    lines: list[bytes] = []
    number = 0
    while number < len(places):
        start, length, _, _ = places[number]
        end, first = start + length, number
        number += 1
        # What lies close together is fetched in one read.
        while number < len(places):
            at, length, _, _ = places[number]
            if at - end > _MAX_GAP_BYTES or at - start > _MAX_READ_BYTES:
                break
            end = at + length
            number += 1
        data = log.read(start, end)
        for at, length, expected, _ in places[first:number]:
            line = data[at - start : at - start + length]
            if checksum(line) != expected:
                raise StaleLocationError(f"the line at byte {at} is not what it was when it was indexed: run verify")
            lines.append(line)
    return lines


def _lines_in(log: LogFile, span: Span) -> list[bytes]:
    lines = BytesIO(log.read(span.start, span.stop)).readlines()
    if len(lines) != span.lines or sum(map(checksum, lines)) != span.checksums:
        raise StaleLocationError(
            f"the lines from byte {span.start} to {span.stop} are not what they were when they were indexed: run verify"
        )
    return lines
