"""What of a log its checkpoint covers: whether a record, or a cut, fits the log as it is by now."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from muse.core.checkpoint.record import OpLogCheckpoint, damaged, read_record
from muse.core.entry.filter import Filter
from muse.core.entry.model import differ_in_few, op_id_bytes
from muse.core.errors import CheckpointError, DamagedCheckpointError
from muse.core.index.evidence import (
    checkpoint_seen,
    checkpoint_seen_on_disk,
    held_entries,
    is_as_it_was,
    record_checkpoint,
)
from muse.core.index.query import begins_a_line, count, damaged_lines, end_of_entry_line, last_op_id
from muse.core.index.store import Index
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import StaleLocationError
from muse.core.storage.session_dir import CHECKPOINT_NAME

_SHORTEST_LINE_BYTES = 170
"""No entry takes less."""


def end_of_covered(index: Index | None, log: LogFile, record: OpLogCheckpoint | None) -> int:
    """The byte offset up to which a record covers its log; `index` is None if nothing was ever recorded.

    A `DamagedCheckpointError` if it does not fit the log, or is not the last one that was made.
    """
    path = log.path.with_name(CHECKPOINT_NAME)
    end = 0 if record is None else _end_of_record(index, log, record)
    seen = None if index is None else seen_of(log, index)
    if seen and record is None:
        raise damaged(path, f"is missing, but a checkpoint of snapshot {seen[1].get('snapshot_id')!r} was made")
    if seen and end < seen[0]:
        after = f"the checkpoint of snapshot {seen[1].get('snapshot_id')!r}, which was made after it"
        raise damaged(path, f"is older than {after}")
    return end


def seen_of(log: LogFile, index: Index) -> tuple[int, dict[str, Any]] | None:
    """What the index has seen of a checkpoint; of one in memory, the index on disk that it serves in place of."""
    seen = checkpoint_seen(index.connection)
    return checkpoint_seen_on_disk(log) if seen is None and index.database.path is None else seen


def _end_of_record(index: Index | None, log: LogFile, record: OpLogCheckpoint) -> int:
    path, op_count = log.path.with_name(CHECKPOINT_NAME), record["op_count"]
    if index is None:
        if op_count:
            raise damaged(path, f"covers {op_count} entries, but the log is empty or gone")
        return 0
    if "byte_offset" not in record:
        found = end_of_entry_line(index, op_count)
        if found is None:
            raise damaged(path, f"covers {op_count} entries, more than the log holds: the log was cut or replaced")
        return found
    end, size = record["byte_offset"], log.size()
    if end > size:
        raise damaged(path, f"covers {end} bytes, the log has {size}: the log was cut or replaced")
    last = last_op_id(index, end)
    is_as_it_was = _ends_a_line(index, log, end) and last == record["last_op_id"]
    # As many entries as were covered, and another one at the end: others, unless something is damaged.
    may_be_damaged = end > index.end or differ_in_few(last, record["last_op_id"]) or bool(damaged_lines(index, 0, end))
    if not is_as_it_was and not (may_be_damaged and has_cut(index, log, end, op_count)):
        below = count(index, Filter(stop=end))
        raise damaged(path, f"covers {op_count} entries, but {below} others lie below byte {end}: the log was replaced")
    return end


def end_as_it_was(log: LogFile, end: int, record: Mapping[str, Any], index: Index) -> int | None:
    """The byte offset up to which the log still is what a record covered, whose end was `end`; None: nobody knows."""
    with suppress(DamagedCheckpointError):
        if end_of_covered(index, log, cast(OpLogCheckpoint, record)) == end:
            return end
    gone: dict[str, int] = {}
    for entry in held_entries(index.connection):
        place = index.location_of(op_id_bytes(entry.op_id))
        is_there = place is not None and place.byte_offset == entry.byte_offset and is_as_it_was(entry, place)
        if entry.byte_offset < end and not is_there:
            gone.setdefault(entry.op_id, entry.byte_offset)
    if not gone:
        return None
    first, unchanged = min(gone.values()), record["op_count"] - len(gone)
    below = count(index, Filter(stop=first))
    if first <= index.end and below <= unchanged and begins_a_line(index, first):
        return first
    # Damaged bytes before it are gone too, and new entries may lie where they were: only the number tells which.
    return end_of_entry_line(index, max(min(below, unchanged), 0))


def changed(below: int, index: Index) -> bool:
    """Whether a line that begins below is known to have changed: then an old digest is not one of what the log has."""
    first = next(held_entries(index.connection), None)
    return first is not None and first.byte_offset < below


def _ends_a_line(index: Index, log: LogFile, end: int) -> bool:
    if not begins_a_line(index, end):
        return False
    if end and log.read(end - 1, end) != b"\n":
        raise StaleLocationError(
            f"the line that ended at byte {end} when it was indexed does not end there: run verify"
        )
    return True


def has_cut(index: Index, log: LogFile, end: int, op_count: int) -> bool:
    """Whether there is a cut at byte `end` of a log below which so many entries lay when it was taken.

    Lines may have been damaged since, and a damaged newline joins two. That costs these lines and not the cut, as long
    as all entries that are missing can have stood in the bytes that are damaged now.
    """
    below = count(index, Filter(stop=end))
    if _ends_a_line(index, log, end) and below == op_count:
        return True
    damaged = [(at, length) for at, length, _ in damaged_lines(index, 0, end)]
    if end > index.end:
        damaged.append((index.end, log.size() - index.end))
    is_at_damage = any(at < end <= at + length for at, length in damaged[-1:])
    missing_bytes = (op_count - below) * _SHORTEST_LINE_BYTES
    may_be = (is_at_damage or _ends_a_line(index, log, end)) and 0 <= missing_bytes <= sum(each[1] for each in damaged)
    return may_be and not _is_replaced(index, damaged, end)


def _is_replaced(index: Index, damaged: Sequence[tuple[int, int]], end: int) -> bool:
    """Whether an entry is gone from below byte `end`, and where it was there is something else than damage."""
    starts = [at for at, _ in damaged]
    for entry in held_entries(index.connection):
        at = entry.byte_offset
        if at >= end:
            break
        place = index.location_of(op_id_bytes(entry.op_id))
        if place is None or place.byte_offset >= end:
            number = bisect_right(starts, at) - 1
            if number < 0 or at >= sum(damaged[number]):
                return True
    return False


def remember_record(log: LogFile, session_id: str, index: Index) -> None:
    """Let a new index remember the record that lies beside the log, if it is a valid one."""
    with suppress(CheckpointError, OSError):
        record = read_record(log.path.with_name(CHECKPOINT_NAME), session_id)
        if record is not None and (end := end_of_covered(index, log, record)):
            record_checkpoint(index.connection, end, record)
