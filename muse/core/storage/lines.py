"""Lines of the log, column by column: what a scan gives, what the index is fed with, and where a line lies.

A line is either an entry or it has a problem: blank, damaged, or a duplicate of an earlier line.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from typing import Any, NamedTuple

from muse.core.entry.columns import Columns
from muse.core.entry.filter import Names
from muse.core.entry.model import op_ids_bytes

ROLES = ("actor", "domain", "intent", "reservation")
"""What a name can be to an entry."""

_COLUMNS = ("offsets", "checksums", *Columns._fields)
_NOTHING = (0, b"", "", "", "", "", b"")
"""What stands in the columns of an entry's fields if a line is not an entry."""

Problem = tuple[str, str]
"""(kind, reason), kind being "blank", "damaged" or "duplicate"."""


class Location(NamedTuple):
    """Where the line of one entry lies, and how it is known to be that line."""

    byte_offset: int
    length: int
    """Bytes, newline included."""
    checksum: int
    """CRC-32 of the line, newline included."""
    lamport_ts: int

    @property
    def end(self) -> int:
        """The byte offset after the line."""
        return self.byte_offset + self.length


class Places(NamedTuple):
    """Where the lines of some entries lie: stretches of consecutive lines, from front to back."""

    starts: list[int]
    ends: list[int]
    checksums: list[int]
    """CRC-32 of each line, newline included: a stretch has as many as it has lines."""

    @classmethod
    def joined(cls, pieces: Sequence[Places]) -> Places:
        """The places of all pieces, which follow each other."""
        return cls(
            [at for piece in pieces for at in piece.starts],
            [at for piece in pieces for at in piece.ends],
            list(chain.from_iterable(piece.checksums for piece in pieces)),
        )

    @property
    def lines(self) -> int:
        """How many lines they are."""
        return len(self.checksums)

    @property
    def size_bytes(self) -> int:
        """How long all lines are together."""
        return sum(self.ends) - sum(self.starts)


class Lines:
    """Consecutive lines of one log, from `start` to `end`.

    The columns are parallel: `offsets[i]`, `checksums[i]`, … belong to one line. A line with a problem has 0 as its
    timestamp, no op_id and no names.
    """

    __slots__ = (*_COLUMNS, "end", "problems", "start")

    first_offset = 0
    """What to add to `offsets` to get byte offsets of the log; a segment counts from its own start."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.offsets: list[int] = []
        self.checksums: list[int] = []
        """CRC-32 of each line, newline included."""
        self.lamport_ts: list[int] = []
        self.op_ids: list[bytes] = []
        """The 16 bytes of each UUID; empty for a line with a problem."""
        self.actor: list[str] = []
        self.domain: list[str] = []
        self.intent: list[str] = []
        self.reservation: list[str] = []
        self.parents: list[bytes] = []
        """The op_ids that an entry names as its parents, 16 bytes each."""
        self.problems: dict[int, Problem] = {}
        """By byte offset."""

    def __len__(self) -> int:
        return len(self.offsets)

    def _columns(self) -> list[list[Any]]:
        return [getattr(self, column) for column in _COLUMNS]

    def add_entry(self, entry: Any, op_id: bytes, length: int, checksum: int) -> None:
        """Add the line of a valid entry at the end."""
        byte_offset = self.end
        self.offsets.append(byte_offset)
        self.checksums.append(checksum)
        self.lamport_ts.append(entry["lamport_ts"])
        self.op_ids.append(op_id)
        self.actor.append(entry["actor_id"])
        self.domain.append(entry["domain"])
        self.intent.append(entry["intent_id"])
        self.reservation.append(entry["reservation_id"])
        self.parents.append(op_ids_bytes(parents) if (parents := entry["parent_op_ids"]) else b"")
        self.end = byte_offset + length

    def add_entries(self, columns: Columns, lengths: Iterable[int], checksums: Iterable[int]) -> None:
        """Add the lines of valid entries at the end."""
        offsets = list(accumulate(lengths, initial=self.end))
        self.end = offsets.pop()
        for column, values in zip(self._columns(), (offsets, checksums, *columns), strict=True):
            column.extend(values)

    def add_problem(self, length: int, checksum: int, problem: Problem) -> None:
        """Add a line that is not an entry at the end."""
        self.problems[self.end] = problem
        for column, value in zip(self._columns(), (self.end, checksum, *_NOTHING), strict=True):
            column.append(value)
        self.end += length

    def extend(self, other: Lines) -> None:
        """Add lines that follow the last."""
        for mine, others in zip(self._columns(), other._columns(), strict=True):
            mine.extend(others)
        self.problems |= other.problems
        self.end = other.end

    def demote(self, number: int, problem: Problem) -> None:
        """An entry turns out not to count."""
        byte_offset = self.offsets[number]
        self.problems[byte_offset] = problem
        for column, value in zip(self._columns()[2:], _NOTHING, strict=True):
            column[number] = value

    def part(self, low: int, high: int) -> Lines:
        """The lines numbered [low, high) by themselves."""
        if low == 0 and high == len(self):
            return self
        part = Lines(self.offsets[low] if low < len(self) else self.end)
        for source, target in zip(self._columns(), part._columns(), strict=True):
            target.extend(source[low:high])
        part.end = self.offsets[high] if high < len(self) else self.end
        part.problems = {at: problem for at, problem in self.problems.items() if part.start <= at < part.end}
        return part

    def number_at(self, byte_offset: int) -> int:
        """The number of the first line that does not begin before `byte_offset`."""
        return bisect_left(self.offsets, byte_offset)

    def length(self, number: int) -> int:
        """Bytes of a line, newline included."""
        return (self.offsets[number + 1] if number + 1 < len(self.offsets) else self.end) - self.offsets[number]

    def timestamp(self, number: int) -> int:
        """The timestamp of a line."""
        return self.lamport_ts[number]

    def op_id(self, number: int) -> bytes:
        """The op_id of a line; empty if it has a problem."""
        return self.op_ids[number]

    def with_names(self, role: str, names: Names) -> list[int]:
        """The numbers of the entries whose `role` has a name that is wanted, ascending."""
        column = getattr(self, role)
        taken = {name for name in set(column) if names.take(name)}
        found = [number for number, each in enumerate(column) if each in taken]
        if "" in taken and self.problems:
            return [number for number in found if self.op_ids[number]]
        return found

    def numbers_with_problems(self) -> list[int]:
        """The numbers of the lines that are not entries, ascending."""
        return [self.number_at(at) for at in sorted(self.problems)]


def duplicate_of(op_id: bytes, first: int) -> Problem:
    """The problem of a line whose op_id stands already in the line at byte `first`."""
    return ("duplicate", f"the op_id {uuid.UUID(bytes=op_id)} stands already at byte {first}")
