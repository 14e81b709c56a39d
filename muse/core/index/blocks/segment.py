"""A segment: 512 to 2,048 consecutive lines as one immutable row, with summary columns and three checked blocks.

The summary can be read in any SQLite shell; the blocks are for this module alone (docs/format.md, "Segments"):

    columns     header | offsets | checksums | timestamps | actor | domain | intent | reservation | problems
                20 B     4 B each  4 B each    4 or 8 B each   0, 1 or 2 B each line and role       JSON
    op_ids      16 B each line; zeros for a line with a problem
    links       which entry names which as its parent (muse/core/index/blocks/links.py)

Integers are in the byte order of the machine; the header begins with a number that tells which. Offsets count from the
segment's start, timestamps from its lowest one if they take 4 bytes. A name is a number: its place among the keys of
the summary's JSON object for that role, from 1; 0 means none, and a role without names has no column.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import orjson

from muse.core.entry.filter import Names
from muse.core.entry.model import OP_ID_BYTES, split_op_ids
from muse.core.storage.lines import ROLES, Lines, Location, Places, Problem

MAX_SEGMENT_BYTES = 2**32
"""A segment's last line begins less than this after its first: offsets take four bytes."""

_BYTE_ORDER = 0x01020304
_HEADER = struct.Struct("=IIIBBBBB3x")
assert _HEADER.size == 20  # noqa: S101 - as drawn above
_NO_OP_ID = bytes(OP_ID_BYTES)


class DamagedIndexError(Exception):
    """The index contradicts itself or its log: it must be rebuilt."""


class Summary(NamedTuple):
    """What is known of some consecutive lines without looking at each: columns of segments and of runs, as they stand
    in the schema and in a checksum.

    A JSON text is parsed when it is needed; None stands for one that would be too long.
    """

    first_offset: int
    end_offset: int
    lines: int
    entries: int
    entries_before: int
    """Entries of the log before `first_offset`."""
    lowest_lamport_ts: int | None
    """Lowest timestamp of an entry; None if there is no entry."""
    highest_lamport_ts: int | None
    actors: str | None
    """How many entries have which name: a JSON object."""
    domains: str | None
    intents: str | None
    reservations: str | None
    parent_segments: str | None
    """The numbers of the segments in which parents of these entries lie: a JSON array."""
    unresolved_links: int
    """How many links lead to a parent that no line had when these lines were folded."""

    def names(self, role: str) -> dict[str, int] | None:
        """How many entries have which name in one of `ROLES`; None if there are too many names to list."""
        text = _TEXT_OF[role](self)
        return None if text is None else orjson.loads(text)

    def lists_all(self) -> bool:
        """Whether no list is left out for its length."""
        return None not in (self.actors, self.domains, self.intents, self.reservations, self.parent_segments)

    def parents_in(self) -> list[int] | None:
        """The numbers of the segments in which parents lie, ascending; None if there are too many to list."""
        return None if self.parent_segments is None else orjson.loads(self.parent_segments)

    def counted(self, role: str, names: Names) -> int | None:
        """How many entries have a name that is wanted; None if there are too many names to list."""
        listed = self.names(role)
        if listed is None:
            return None
        listed[""] = self.entries - sum(listed.values())
        return sum(number for name, number in listed.items() if names.take(name))

    def may_match(self, names: Mapping[str, Names], lowest: int, highest: int) -> bool:
        """Whether an entry with names that are wanted, by role, and such a timestamp may be there."""
        if self.highest_lamport_ts is None or self.lowest_lamport_ts is None:
            return False
        return (
            self.highest_lamport_ts >= lowest
            and self.lowest_lamport_ts <= highest
            and all(self._may_have(role, each) for role, each in names.items())
        )

    def _may_have(self, role: str, names: Names) -> bool:
        text = _TEXT_OF[role](self)
        if text is None or names.wanted is None or "" in names.wanted:
            return self.counted(role, names) != 0
        # As a key it stands so; and so perhaps inside another one.
        return any(f"{as_json(name)}:" in text for name in names.wanted)


SUMMARY_COLUMNS = ", ".join(Summary._fields)
_TEXT_OF: dict[str, Callable[[Summary], str | None]] = {role: attrgetter(f"{role}s") for role in ROLES}


def as_json(value: object) -> str:
    """Value as a row of the index holds it."""
    return orjson.dumps(value).decode()


def row_checksum(values: Sequence[Any]) -> int:
    """CRC-32 of a row's values as a JSON array, without spaces.

    Raises:
        DamagedIndexError: a value is of a type that no row is written with.
    """
    try:
        return zlib.crc32(orjson.dumps(values))
    except TypeError as error:
        raise DamagedIndexError(f"a row of the index holds {error}") from None


def checked(block: object, checksum: object, what: str) -> bytes:
    """A block, if it is what it was when it was written.

    Raises:
        DamagedIndexError: it is not.
    """
    if type(block) is not bytes or zlib.crc32(block) != checksum:
        raise DamagedIndexError(f"{what} is altered")
    return block


# -- packing --------------------------------------------------------------------------------------------------


class PackedLines(NamedTuple):
    """A segment as it is made of lines, but for its links: a worker process can make it without an index."""

    summary: Summary
    columns: bytes
    op_ids: bytes


def pack_lines(lines: Lines) -> PackedLines:
    """The blocks of lines that are not many and not long: see `MAX_SEGMENT_BYTES`."""
    problems = lines.problems
    timestamps = lines.lamport_ts
    if problems:
        timestamps = [ts for ts, op_id in zip(timestamps, lines.op_ids, strict=True) if op_id]
    lowest, highest = min(timestamps, default=None), max(timestamps, default=None)
    names = [_counted(getattr(lines, role)) for role in ROLES]
    role_columns = [_role_column(getattr(lines, role), counts) for role, counts in zip(ROLES, names, strict=True)]
    base = lowest or 0
    is_wide = (highest or 0) - base >= 2**32
    if is_wide:
        packed_timestamps = array("Q", lines.lamport_ts).tobytes()
    else:
        # A line with a problem has the timestamp 0, which may lie below the lowest.
        timestamps = [max(ts, base) for ts in lines.lamport_ts] if problems else lines.lamport_ts
        packed_timestamps = array("I", [ts - base for ts in timestamps]).tobytes()
    listed = [(lines.number_at(at), *problem) for at, problem in sorted(problems.items())]
    packed_problems = orjson.dumps(listed) if listed else b""
    start = lines.start
    columns = b"".join(
        (
            _HEADER.pack(
                _BYTE_ORDER,
                len(lines),
                len(packed_problems),
                8 if is_wide else 4,
                *(len(column) // len(lines) for column in role_columns),
            ),
            array("I", [at - start for at in lines.offsets]).tobytes(),
            array("I", lines.checksums).tobytes(),
            packed_timestamps,
            *role_columns,
            packed_problems,
        )
    )
    op_ids = b"".join(lines.op_ids if not problems else [op_id or _NO_OP_ID for op_id in lines.op_ids])
    summary = Summary(
        first_offset=start,
        end_offset=lines.end,
        lines=len(lines),
        entries=len(lines) - len(problems),
        entries_before=0,
        lowest_lamport_ts=lowest,
        highest_lamport_ts=highest,
        actors=as_json(names[0]),
        domains=as_json(names[1]),
        intents=as_json(names[2]),
        reservations=as_json(names[3]),
        parent_segments="[]",
        unresolved_links=0,
    )
    return PackedLines(summary, columns, op_ids)


def _counted(column: list[str]) -> dict[str, int]:
    if not any(column):
        return {}
    counts = Counter(column)
    del counts[""]
    return dict(counts)


def _role_column(column: list[str], counts: dict[str, int]) -> bytes:
    if not counts:
        return b""
    number_of = {name: number for number, name in enumerate(counts, start=1)}
    number_of[""] = 0
    numbers = map(number_of.__getitem__, column)
    return bytes(numbers) if len(counts) < 256 else array("H", numbers).tobytes()


# -- unpacking ------------------------------------------------------------------------------------------------


class Segment:
    """The lines of one segment, unpacked as far as somebody has looked. Immutable.

    It can be looked at as `Lines` can: `offsets` count from `first_offset`.
    """

    def __init__(self, number: int, summary: Summary, load: Callable[[str], bytes]) -> None:
        """`load` gives the block "columns", "op_ids" or "links", checked; it may raise `DamagedIndexError`."""
        self.number = number
        self.summary = summary
        self.start = self.first_offset = summary.first_offset
        self.end = summary.end_offset
        self._load = load

    def __len__(self) -> int:
        return self.summary.lines

    @cached_property
    def _columns(self) -> dict[str, bytes]:
        columns = self._load("columns")
        order, lines, problem_bytes, *widths = _HEADER.unpack_from(columns)
        if order != _BYTE_ORDER:
            raise DamagedIndexError("it was made on a machine of another byte order")
        sizes = (4 * lines, 4 * lines, *(width * lines for width in widths), problem_bytes)
        ends = pairwise(accumulate(sizes, initial=_HEADER.size))
        names = ("offsets", "checksums", "timestamps", *ROLES, "problems")
        return {name: columns[start:end] for name, (start, end) in zip(names, ends, strict=True)}

    @cached_property
    def offsets(self) -> array[int]:
        """Where each line begins, from `first_offset` on."""
        return array("I", self._columns["offsets"])

    @cached_property
    def checksums(self) -> array[int]:
        """CRC-32 of each line, newline included."""
        return array("I", self._columns["checksums"])

    @cached_property
    def lamport_ts(self) -> Sequence[int]:
        """The timestamp of each line; of a line with a problem it means nothing."""
        base = self._base
        return [base + each for each in self._timestamps]

    def timestamp(self, number: int) -> int:
        """The timestamp of one line."""
        return self._base + self._timestamps[number]

    @cached_property
    def _timestamps(self) -> array[int]:
        packed = self._columns["timestamps"]
        return array("I" if len(packed) == 4 * len(self) else "Q", packed)

    @property
    def _base(self) -> int:
        return self.summary.lowest_lamport_ts or 0 if self._timestamps.typecode == "I" else 0

    @cached_property
    def op_ids(self) -> bytes:
        """The 16 bytes of each line's op_id, one after the other."""
        return self._load("op_ids")

    @cached_property
    def links(self) -> bytes:
        """The block of links."""
        return self._load("links")

    @cached_property
    def problems(self) -> dict[int, Problem]:
        """What is wrong with the lines that are not entries, by byte offset."""
        return {self.first_offset + self.offsets[number]: (kind, reason) for number, kind, reason in self._problems()}

    def _problems(self) -> list[tuple[int, str, str]]:
        packed = self._columns["problems"]
        return orjson.loads(packed) if packed else []

    def numbers_with_problems(self) -> list[int]:
        """The numbers of the lines that are not entries, ascending."""
        return [number for number, _, _ in self._problems()]

    def number_at(self, byte_offset: int) -> int:
        """The number of the first line that does not begin before `byte_offset`."""
        return bisect_left(self.offsets, byte_offset - self.first_offset)

    def length(self, number: int) -> int:
        """Bytes of a line, newline included."""
        at = self.offsets[number]
        return (self.offsets[number + 1] if number + 1 < len(self) else self.end - self.first_offset) - at

    def op_id(self, number: int) -> bytes:
        """The op_id of a line."""
        return self.op_ids[OP_ID_BYTES * number : OP_ID_BYTES * (number + 1)]

    def find(self, op_id: bytes) -> int | None:
        """The number of the entry with this op_id; None if it is not here."""
        at = self.op_ids.find(op_id)
        # Sixteen bytes that begin in the middle of an op_id are not one; zeros may stand for a line with a problem.
        while at >= 0 and (at % OP_ID_BYTES or (op_id == _NO_OP_ID and self._is_problem(at // OP_ID_BYTES))):
            at = self.op_ids.find(op_id, at + 1)
        return None if at < 0 else at // OP_ID_BYTES

    def _is_problem(self, number: int) -> bool:
        return self.first_offset + self.offsets[number] in self.problems

    def with_names(self, role: str, names: Names) -> list[int]:
        """The numbers of the entries whose `role` has a name that is wanted, ascending."""
        column = self._columns[role]
        listed = ("", *(self.summary.names(role) or ()))
        wanted = {number for number, name in enumerate(listed) if names.take(name)}
        # Without a column no line has a name.
        found = self._numbers_of(column or bytes(len(self)), wanted)
        if 0 in wanted and self.problems:
            return [number for number in found if not self._is_problem(number)]
        return found

    def _numbers_of(self, column: bytes, wanted: Collection[int]) -> list[int]:
        if len(column) > len(self):
            return [number for number, each in enumerate(array("H", column)) if each in wanted]
        if len(wanted) != 1:
            return [number for number, each in enumerate(column) if each in wanted]
        found = []
        sought = bytes(wanted)
        at = column.find(sought)
        while at >= 0:
            found.append(at)
            at = column.find(sought, at + 1)
        return found

    def lines(self) -> Lines:
        """All of it, unpacked: what it was made of, but for the parents."""
        lines = Lines(self.first_offset)
        lines.offsets = [self.first_offset + at for at in self.offsets]
        lines.end = self.end
        lines.checksums = self.checksums.tolist()
        lines.lamport_ts, lines.op_ids = list(self.lamport_ts), split_op_ids(self.op_ids)
        for number in self.numbers_with_problems():
            lines.lamport_ts[number], lines.op_ids[number] = 0, b""
        for role in ROLES:
            column = self._columns[role]
            names = ["", *(self.summary.names(role) or ())]
            numbers = array("H", column) if len(column) > len(self) else column
            setattr(lines, role, [names[number] for number in numbers] if column else [""] * len(self))
        lines.parents = [b""] * len(self)
        lines.problems = dict(self.problems)
        return lines


def location(unit: Lines | Segment, number: int) -> Location:
    """Where one line of a segment or of the tail lies."""
    at = unit.first_offset + unit.offsets[number]
    return Location(at, unit.length(number), unit.checksums[number], unit.timestamp(number))


def places(unit: Lines | Segment, numbers: Sequence[int]) -> Places:
    """Where some lines of a segment or of the tail lie, given in ascending order."""
    if not numbers:
        return Places([], [], [])
    first, offsets, checksums = unit.first_offset, unit.offsets, unit.checksums
    low, last = numbers[0], numbers[-1]
    end = first + offsets[last] + unit.length(last)
    if last - low == len(numbers) - 1:
        return Places([first + offsets[low]], [end], list(checksums[low : last + 1]))
    return Places(
        [first + offsets[number] for number in numbers],
        [*[first + offsets[number + 1] for number in numbers[:-1]], end],
        [checksums[number] for number in numbers],
    )
