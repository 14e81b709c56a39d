"""From locations to entries: the bytes are fetched, held against what was indexed, and parsed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO

import orjson

from muse.core.entry.codec import checksum, strip_padding
from muse.core.entry.model import OpEntry
from muse.core.entry.where import Where
from muse.core.storage.lines import Location, Places
from muse.core.storage.log_file import LogFile

_MAX_GAP_BYTES = 16 << 10
_MAX_READ_BYTES = 1 << 20
_PARSED_AT_ONCE_BYTES = 32 << 10


class StaleLocationError(Exception):
    """A line is not what was indexed: the index is rebuilt, and keeps the old checksum as evidence for `verify`."""


def read_entries(log: LogFile, places: Sequence[Location] | Places) -> list[OpEntry]:
    """The entries at these places, in their order; raises as `read_lines`."""
    return _parsed(read_lines(log, places))


def read_placed_entries(log: LogFile, places: Places) -> list[tuple[int, int, OpEntry]]:
    """The same, each behind the byte offsets at which its line begins and ends; raises as `read_lines`."""
    placed = read_placed_lines(log, places)
    entries = _parsed([line for _, _, line in placed])
    return [(at, end, entry) for (at, end, _), entry in zip(placed, entries, strict=True)]


def read_placed_lines(log: LogFile, places: Places) -> list[tuple[int, int, bytes]]:
    """The lines at these places, each behind the byte offsets at which it begins and ends; raises as `read_lines`."""
    lines = iter(read_lines(log, places))
    placed: list[tuple[int, int, bytes]] = []
    for at, stop in zip(places.starts, places.ends, strict=True):
        end = at
        while end < stop:
            line = next(lines)
            begin, end = end, end + len(line)
            placed.append((begin, end, line))
    return placed


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


def read_lines(log: LogFile, places: Sequence[Location] | Places) -> list[bytes]:
    """The lines at these places, in their order; a `StaleLocationError` if one is not what was indexed.

    Each is a valid entry: a line whose checksum is the one in the index was found valid when it was indexed.
    """
    if not isinstance(places, Places):
        starts, ends = [place.byte_offset for place in places], [place.end for place in places]
        places = Places(starts, ends, [place.checksum for place in places])
    lines: list[bytes] = []
    for data in _stretches(log, places.starts, places.ends):
        # Most answers of a filter are lines that stand alone.
        lines += [data] if len(places.starts) == places.lines else BytesIO(data).readlines()
    if list(map(checksum, lines)) != places.checksums:
        raise StaleLocationError(
            f"a line between byte {places.starts[0]} and {places.ends[-1]} is not what it was when indexed: run verify"
        )
    return lines


def find_lines(log: LogFile, places: Places, where: Where) -> list[int]:
    """The byte offsets of the lines that match, among those at some places; they are not held against checksums."""
    found: list[int] = []
    for start, data in zip(places.starts, _stretches(log, places.starts, places.ends), strict=True):
        end = 0
        for at in where.candidates(data):
            # One that lies in the line of the one before tells nothing new.
            if at >= end:
                begin = data.rfind(b"\n", end, at) + 1 or end
                end = data.find(b"\n", at) + 1 or len(data)
                if where.matches(data[begin:end]):
                    found.append(start + begin)
    return found


def _stretches(log: LogFile, starts: Sequence[int], ends: Sequence[int]) -> Iterator[bytes]:
    number = 0
    while number < len(starts):
        first, start, end = number, starts[number], ends[number]
        number += 1
        # What lies close together is fetched in one read.
        while number < len(starts) and starts[number] - end <= _MAX_GAP_BYTES and end - start <= _MAX_READ_BYTES:
            end = ends[number]
            number += 1
        data = log.read(start, end)
        if number == first + 1:
            yield data
        else:
            for each in range(first, number):
                yield data[starts[each] - start : ends[each] - start]
