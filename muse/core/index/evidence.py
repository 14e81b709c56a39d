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
    for part in _parts(old):
        offsets, _, end = part
        here = _lines_between(new, offsets[0], end)
        # Mostly nothing has changed, and lists are compared quickly.
        if part != here:
            for at, was in _changed(part, here):
                changed.setdefault(at, was)
    new.connection.executemany(
        "INSERT OR IGNORE INTO changed_line VALUES (?, ?, ?)",
        ((*row, row_checksum(row)) for row in changed.items()),
    )


_Part = tuple[list[int], list[int], int]
"""Byte offsets and checksums of consecutive lines, and the byte offset after them."""


def _parts(index: Index) -> Iterator[_Part]:
    """The lines of each unit."""
    for unit in units_between(index, 0, index.end):
        if len(unit):
            yield [unit.first_offset + at for at in unit.offsets], list(unit.checksums), unit.end


def _lines_between(index: Index, start: int, stop: int) -> _Part:
    """The lines of an index that begin at the bytes [start, stop)."""
    offsets: list[int] = []
    checksums: list[int] = []
    end = start
    for unit in units_between(index, start, stop):
        low, high = unit.number_at(start), unit.number_at(stop)
        if low < high:
            offsets += [unit.first_offset + at for at in unit.offsets[low:high]]
            checksums += unit.checksums[low:high]
            end = offsets[-1] + unit.length(high - 1)
    return offsets, checksums, end


def _changed(before: _Part, now: _Part) -> Iterator[tuple[int, int]]:
    """Byte offset and old checksum of the lines that are as long as they were, and other lines."""
    there = {at: (stop, checksum) for at, checksum, stop in _each(now)}
    for at, was, stop in _each(before):
        found = there.get(at)
        if found is not None and found[0] == stop and found[1] != was:
            yield at, was


def _each(part: _Part) -> Iterator[tuple[int, int, int]]:
    """Byte offset, checksum and end of each line."""
    offsets, checksums, end = part
    # There may be none: an old index that others feed can know more of the log than the new one.
    return zip(offsets, checksums, [*offsets[1:], end][: len(offsets)], strict=True)
