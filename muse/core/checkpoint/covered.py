"""What of a log its checkpoint covers: whether a record, or a cut, fits the log as it is by now."""

from __future__ import annotations

from contextlib import suppress
from typing import cast

from muse.core.checkpoint.record import EMPTY_DIGEST, OpLogCheckpoint, chain_digest, damaged, read_record
from muse.core.entry.filter import Filter
from muse.core.entry.model import op_id_bytes
from muse.core.errors import CheckpointError, DamagedCheckpointError
from muse.core.index.evidence import (
    SeenCheckpoint,
    altered_below,
    checkpoint_seen,
    checkpoint_seen_on_disk,
    held_entries,
    holds_few,
    is_as_it_was,
    note_checkpoint,
    placed,
    replaced_below,
)
from muse.core.index.query import (
    begins_a_line,
    count,
    end_of_entry_line,
    last_op_id,
    lines_without_entry,
)
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
    seen = None if index is None else seen_of(log, index)
    end = 0 if record is None else _end_of_record(index, log, record, seen)
    if seen and record is None:
        raise damaged(path, f"is missing, but a checkpoint of snapshot {seen.record['snapshot_id']!r} was made")
    if seen and end < seen.byte_offset:
        after = f"the checkpoint of snapshot {seen.record['snapshot_id']!r}, which was made after it"
        raise damaged(path, f"is older than {after}")
    return end


def seen_of(log: LogFile, index: Index) -> SeenCheckpoint | None:
    """What the index has seen of a checkpoint; of one in memory, the index on disk that it serves in place of."""
    seen = checkpoint_seen(index.connection)
    return checkpoint_seen_on_disk(log) if seen is None and index.database.path is None else seen


def _end_of_record(index: Index | None, log: LogFile, record: OpLogCheckpoint, seen: SeenCheckpoint | None) -> int:
    path, op_count = log.path.with_name(CHECKPOINT_NAME), record["op_count"]
    if index is None:
        if op_count:
            raise damaged(path, f"covers {op_count} entries, but the log is empty or gone")
        return 0
    size, replaced = log.size(), 0
    if seen and seen.record["created_at"] == record["created_at"]:
        replaced = seen.replaced
    if "byte_offset" in record:
        end = record["byte_offset"]
        if end > size:
            raise damaged(path, f"covers {end} bytes, the log has {size}: the log was cut or replaced")
        is_of_this_log = _fits(index, log, record, replaced)
    else:
        # Where lines were damaged since it was seen, so many entries would reach further.
        found = seen.byte_offset if seen and seen.record == record else end_of_entry_line(index, op_count)
        if found is None or found > size:
            raise damaged(path, f"covers {op_count} entries, more than the log holds: the log was cut or replaced")
        end, is_of_this_log = found, replaced_below(index, log, found) <= replaced
    if not is_of_this_log:
        below = count(index, Filter(stop=end))
        raise damaged(path, f"covers {op_count} entries, but {below} others lie below byte {end}: the log was replaced")
    return end


def _fits(index: Index, log: LogFile, record: OpLogCheckpoint, replaced: int) -> bool:
    """Whether what lies below a record's end is what it covers, or what damage has left of that.

    That is as many entries as it says, of which no more are `replaced` by others than when it was made. Where the last
    one is another, or too much is remembered to be counted each time, the digest is to tell first.
    """
    end, last_op = record["byte_offset"], record["last_op_id"]
    if not has_cut(index, log, end, record["op_count"]):
        return False
    last = last_op_id(index, end)
    place = None if last in ("", last_op) else index.location_of(op_id_bytes(last))
    # Or it is damaged: then something that is no entry lies behind the last one that is left.
    is_last = place is None or place.end < end
    is_soon_told = holds_few(index, end)
    if is_last and is_soon_told and replaced_below(index, log, end) <= replaced:
        return True
    # Bits of its op_id may be flipped, or nobody has noted what was replaced; if all else is as it was, it fits.
    start = place.byte_offset if place and not is_last else end
    line = log.read(start, end).replace(last.encode(), last_op.encode(), 1)
    digest = chain_digest(_Line(line), 0, len(line), chain_digest(log, 0, start, EMPTY_DIGEST))
    if digest == record["log_digest"]:
        return True
    return is_last and not is_soon_told and replaced_below(index, log, end) <= replaced


class _Line(bytes):
    """A line that can be digested by itself."""

    def read(self, start: int, stop: int) -> bytes:
        """Its bytes [start, stop)."""
        return self[start:stop]


def end_as_it_was(log: LogFile, seen: SeenCheckpoint, index: Index) -> int | None:
    """The byte offset up to which the log still is what a checkpoint covered; None: nobody knows."""
    end, record = seen.byte_offset, cast(OpLogCheckpoint, seen.record)
    with suppress(DamagedCheckpointError):
        if end_of_covered(index, log, record) == end:
            return end
    gone: dict[str, int] = {}
    back: list[int] = []
    for entry, place in placed(index, held_entries(index.connection, end)):
        if place is not None and place.byte_offset == entry.byte_offset and is_as_it_was(entry, place):
            back.append(entry.byte_offset)
        else:
            gone.setdefault(entry.op_id, entry.byte_offset)
    if not gone and not back:
        return None
    # If nothing is gone, there is more than was covered: what has come back.
    first, unchanged = min(gone.values(), default=min(back, default=0)), record["op_count"] - len(gone)
    below = count(index, Filter(stop=first))
    if first <= index.end and below <= unchanged and begins_a_line(index, first):
        return first
    # Damaged bytes before it are gone too, and new entries may lie where they were: only the number tells which.
    return end_of_entry_line(index, max(min(below, unchanged), 0))


def changed(below: int, index: Index) -> bool:
    """Whether a line that begins below is known to have changed: then an old digest is not one of what the log has."""
    return next(held_entries(index.connection, below), None) is not None


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
    as all entries that are missing can have stood in lines that are no entries now.
    """
    ends_a_line, missing = _ends_a_line(index, log, end), op_count - count(index, Filter(stop=end))
    if missing < 0:
        missing += altered_below(index, log, end)
    if ends_a_line and not missing:
        return True
    others = list(lines_without_entry(index, 0, end))
    if end > index.end:
        others.append((index.end, log.size() - index.end, ("damaged", "")))
    is_in_damage = any(at < end <= at + length and kind != "duplicate" for at, length, (kind, _) in others[-1:])
    room = sum(length for _, length, _ in others)
    return (ends_a_line or is_in_damage) and 0 <= missing * _SHORTEST_LINE_BYTES <= room


def remember_record(log: LogFile, session_id: str, index: Index) -> None:
    """Let a new index remember the record that lies beside the log, if it is a valid one."""
    with suppress(CheckpointError, OSError):
        record = read_record(log.path.with_name(CHECKPOINT_NAME), session_id)
        if record is not None and (end := end_of_covered(index, log, record)):
            note_checkpoint(log, end, record, index, replaces=True, wait_ms=0)
