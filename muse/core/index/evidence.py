"""Evidence: whether an index is this log's, and what it has seen that a rebuild from the log alone would forget.

That a checkpoint was made, and the first checksum of each line that has changed since it was indexed. It is never an
answer, but it tells that something is wrong.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

from muse.core.entry.codec import checksum
from muse.core.index.blocks.segment import DamagedIndexError, row_checksum
from muse.core.index.file import INDEX_FAULTS, LIES, Database
from muse.core.index.guard import connect_guarded, has_our_schema
from muse.core.index.query import Unit, units_between
from muse.core.index.store import Index
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import StaleLocationError

_log = logging.getLogger(__name__)


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
    changed: dict[int, int] = {}
    before = -1
    for *row, found in connection.execute("SELECT byte_offset, first_checksum, row_checksum FROM changed_line"):
        # In the order of the offsets, or pages come again and again.
        if row_checksum(row) != found or row[0] <= before:
            raise DamagedIndexError("what it has seen of changed lines is altered")
        before, changed[row[0]] = row
    return changed


def inherit(new: Index, path: Path, log: LogFile, wait_ms: int) -> None:
    """Take over what the index at `path` has seen, as far as it can be read; raises nothing for what is wrong with it.

    Args:
        new: the index that takes its place, filled from the log.
        path: a database that no other connection of this process has open.
        log: the log of both.
        wait_ms: how long to wait while another connection writes.
    """
    connection = connect_guarded(path)
    database = Database(connection, None)
    try:
        database.wait_up_to(wait_ms)
        inherit_checkpoint(new.connection, connection)
        if has_our_schema(connection) and fits(old := Index(database), log):
            inherit_changed_lines(new, old)
    except (*INDEX_FAULTS, *LIES, StaleLocationError) as error:
        _log.warning("%s: what this index had seen could not be carried over (%s)", path, error)
    finally:
        connection.close()


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


def fits(index: Index, log: LogFile) -> bool:
    """Whether the index is this log's: its first lines and its last ones lie where it says.

    Of two neighbours one is enough: a flipped bit in the other must not look like another log, or what the index
    knows of that line would be forgotten with it.
    """
    if not index.end:
        return True
    first = index.segment(1) if index.runs else index.tail
    last = index.tail if len(index.tail) else index.segment(index.segment_numbers()[-1])
    for unit, numbers in ((first, (0, 1)), (last, (len(last) - 1, len(last) - 2))):
        at = unit.first_offset + unit.offsets[numbers[0]]
        end = at + unit.length(numbers[0])
        # Asked after the index was read: others may append and index in between.
        lies_outside = end > log.size() or log.read(end - 1, end) != b"\n"
        if lies_outside or not any(_is_there(unit, number, log) for number in numbers if 0 <= number < len(unit)):
            _log.warning(
                "%s: the index is of another log, or the log was cut: its line at byte %d is not there; the "
                "index will be rebuilt from the log",
                log.path.parent,
                at,
            )
            return False
    return True


def _is_there(unit: Unit, number: int, log: LogFile) -> bool:
    """Whether a line lies where the index says, unchanged or at least with its op_id.

    The checksum alone would take one flipped bit for another log: a damaged line is still this log's, and stays for
    `verify` to report.
    """
    at = unit.first_offset + unit.offsets[number]
    found = log.read(max(at - 1, 0), at + unit.length(number))
    line = found[1:] if at else found
    if not line.endswith(b"\n") or (at and not found.startswith(b"\n")):
        return False
    if checksum(line) == unit.checksums[number]:
        return True
    op_id = unit.op_id(number)
    return any(op_id) and str(uuid.UUID(bytes=op_id)).encode() in line
