"""What the index holds of one line, and what it gives back."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

_HALVES = struct.Struct(">qq")


class DamagedIndexError(Exception):
    """The index contradicts itself or its log: it must be rebuilt."""


class Row(NamedTuple):
    """One line of the log as it is fed to the index. Where it is no entry, `problem` says why."""

    byte_offset: int
    length: int
    """Bytes, newline included."""
    checksum: int
    """CRC-32 of the line, newline included."""
    lamport_ts: int | None = None
    op_id: bytes | None = None
    """The 16 bytes of the UUID."""
    actor: str | None = None
    domain: str | None = None
    intent: str | None = None
    reservation: str | None = None
    parents: bytes = b""
    """The 16 bytes of each parent's op_id, in the entry's order."""
    problem: tuple[str, str] | None = None
    """(kind, reason), kind being "blank", "damaged" or "duplicate"."""

    @property
    def end(self) -> int:
        """The byte offset after the line."""
        return self.byte_offset + self.length


class Place(NamedTuple):
    """Where an entry lies, as the index answers."""

    byte_offset: int
    length: int
    """Bytes, newline included."""
    checksum: int
    """CRC-32 of the line, newline included."""
    lamport_ts: int | None

    @property
    def end(self) -> int:
        """The byte offset after the line."""
        return self.byte_offset + self.length


def places_of(found: Sequence[tuple[Any, ...]]) -> list[Place]:
    """The places in rows of an index that may be damaged: SQLite columns hold values of any type, in any order.

    Raises:
        DamagedIndexError: a value is no integer, or a line does not lie behind the one before.
    """
    places = list(map(Place._make, found))
    reached = 0
    for byte_offset, length, checksum, _ in places:
        if type(byte_offset) is not int or type(length) is not int or type(checksum) is not int:
            raise DamagedIndexError(f"no row of an index: {str((byte_offset, length, checksum))[:200]}")
        if byte_offset < reached:
            raise DamagedIndexError(f"the line at byte {byte_offset} stands behind byte {reached}")
        reached = byte_offset + length
    return places


def integer(found: Sequence[Any] | None) -> int:
    """The integer that a statement has found; a damaged column holds a value of any type.

    Raises:
        DamagedIndexError: it found none.
    """
    value: Any = found[0] if found else None
    if not isinstance(value, int):
        raise DamagedIndexError(f"a number is missing: {str(found)[:100]}")
    return value


def op_numbers(op_id: bytes | None) -> tuple[int | None, int | None]:
    """An op_id as the two signed 64-bit integers that SQLite can calculate with."""
    if op_id is None:
        return None, None
    high, low = _HALVES.unpack(op_id)
    return high, low


def op_id_of(high: int | None, low: int | None) -> bytes | None:
    """The 16 bytes of an op_id; None for a line that is no entry."""
    if high is None and low is None:
        return None
    if type(high) is int and type(low) is int:
        return _HALVES.pack(high, low)
    raise DamagedIndexError(f"no op_id of an index: {str(high)[:100]}, {str(low)[:100]}")


def duplicate_of(op_id: bytes | None, first: int) -> tuple[str, str]:
    """The problem of a line whose op_id stands already in the line at byte `first`."""
    return ("duplicate", f"the op_id {uuid.UUID(bytes=op_id)} stands already at byte {first}")
