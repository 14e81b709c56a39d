"""Evidence: what the index has seen, and a rebuild from the log alone would forget.

That a checkpoint was made, and the first checksum of each line that has changed since it was indexed. It is never an
answer, but it tells that something is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from muse.core.index.blocks.segment import DamagedIndexError, row_checksum
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
    for (at, length, was), (_, _, now) in lines_in_both(old, new):
        if was != now and length:
            changed.setdefault(at, was)
    new.connection.executemany(
        "INSERT OR IGNORE INTO changed_line VALUES (?, ?, ?)",
        ((*row, row_checksum(row)) for row in changed.items()),
    )


_PlainLine = tuple[int, int, int]
"""(byte offset, length, checksum)"""


def lines_in_both(one: Index, other: Index) -> Iterator[tuple[_PlainLine, _PlainLine]]:
    """The lines that begin at the same byte and are of the same length in two indexes."""
    others = _lines_of(other)
    theirs = next(others, None)
    for mine in _lines_of(one):
        while theirs is not None and theirs[0] < mine[0]:
            theirs = next(others, None)
        if theirs is not None and theirs[:2] == mine[:2]:
            yield mine, theirs


def _lines_of(index: Index) -> Iterator[_PlainLine]:
    for segment in map(index.segment, index.segment_numbers()):
        offsets = [segment.first_offset + at for at in segment.offsets]
        ends = [*offsets[1:], segment.end]
        yield from ((at, end - at, was) for at, end, was in zip(offsets, ends, segment.checksums, strict=True))
    tail = index.tail
    for number, at in enumerate(tail.offsets):
        yield at, tail.length(number), tail.checksums[number]
