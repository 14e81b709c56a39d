"""Evidence: what the index has seen, and a rebuild from the log alone would forget.

That a checkpoint was made, and the first checksum of each line that has changed since it was indexed. It is never an
answer, but it tells that something is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from muse.core.index.blocks.segment import DamagedIndexError, row_checksum
from muse.core.index.query import units_between
from muse.core.index.store import Index


def checkpoint_seen(connection: sqlite3.Connection) -> tuple[int, str] | None:
    """(byte offset, snapshot id) of the last checkpoint that was made."""
    found = connection.execute("SELECT byte_offset, snapshot_id, row_checksum FROM seen_checkpoint").fetchone()
    if found is None:
        return None
    byte_offset, snapshot_id, checksum = found
    if row_checksum((byte_offset, snapshot_id)) != checksum:
        raise DamagedIndexError("what it has seen of a checkpoint is altered")
    return byte_offset, snapshot_id


def record_checkpoint(connection: sqlite3.Connection, byte_offset: int, snapshot_id: str) -> None:
    """Remember that a checkpoint was made, so that its file can't vanish unnoticed."""
    connection.execute(
        "INSERT OR REPLACE INTO seen_checkpoint VALUES (1, ?, ?, ?)",
        (byte_offset, snapshot_id, row_checksum((byte_offset, snapshot_id))),
    )


def changed_lines(connection: sqlite3.Connection) -> dict[int, int]:
    """Byte offset and first checksum of each line that is not what it was when it was indexed first."""
    found = connection.execute("SELECT byte_offset, first_checksum, row_checksum FROM changed_line").fetchall()
    if any(row_checksum(row[:2]) != row[2] for row in found):
        raise DamagedIndexError("what it has seen of changed lines is altered")
    return {byte_offset: checksum for byte_offset, checksum, _ in found}


def inherit_checkpoint(new: sqlite3.Connection, old: sqlite3.Connection) -> None:
    """Take over the checkpoint that `old` has seen."""
    seen, known = checkpoint_seen(old), checkpoint_seen(new)
    if seen is not None and (known is None or known < seen):
        record_checkpoint(new, *seen)


def inherit_changed_lines(new: Index, old: Index) -> None:
    """Take over the lines that `old` knows to have changed, and those that are not what they were for it."""
    changed = changed_lines(old.connection)
    for part, end in _parts(old):
        here = _lines_between(new, part[0][0], end)
        # Mostly nothing has changed, and lists are compared quickly.
        if part != here:
            for at, was in _changed(part, end, here):
                changed.setdefault(at, was)
    new.connection.executemany(
        "INSERT OR IGNORE INTO changed_line VALUES (?, ?, ?)",
        ((*row, row_checksum(row)) for row in changed.items()),
    )


_Part = tuple[list[int], list[int]]
"""Byte offsets and checksums of consecutive lines."""


def _parts(index: Index) -> Iterator[tuple[_Part, int]]:
    """The lines of each unit, and the byte offset after them."""
    for unit in units_between(index, 0, index.end):
        if len(unit):
            yield ([unit.first_offset + at for at in unit.offsets], list(unit.checksums)), unit.end


def _lines_between(index: Index, start: int, stop: int) -> _Part:
    """The lines of an index that begin at the bytes [start, stop)."""
    offsets: list[int] = []
    checksums: list[int] = []
    for unit in units_between(index, start, stop):
        low, high = unit.number_at(start), unit.number_at(stop)
        offsets += [unit.first_offset + at for at in unit.offsets[low:high]]
        checksums += unit.checksums[low:high]
    return offsets, checksums


def _changed(before: _Part, end: int, now: _Part) -> Iterator[tuple[int, int]]:
    """Byte offset and old checksum of the lines that are as long as they were, and other lines."""
    # There may be none: an old index that others feed can know more of the log than the new one.
    stops = [*now[0][1:], end][: len(now[0])]
    there = {at: (stop, checksum) for at, stop, checksum in zip(now[0], stops, now[1], strict=True)}
    for at, stop, was in zip(before[0], [*before[0][1:], end], before[1], strict=True):
        found = there.get(at)
        if found is not None and found[0] == stop and found[1] != was:
            yield at, was
