"""Cuts: which prefix of the log a moment or a checkpoint stands for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from muse.core.checkpoint.record import (
    EMPTY_DIGEST,
    OpLogCheckpoint,
    chain_digest,
    damaged,
    make_record,
    read_record,
)
from muse.core.entry.filter import Filter
from muse.core.errors import DamagedCheckpointError, InvalidCutError
from muse.core.index.catch_up import CatchUp
from muse.core.index.evidence import checkpoint_seen
from muse.core.index.query import count, end_of_entry, highest_lamport_ts, last_op_id
from muse.core.index.store import Index
from muse.core.storage.log_file import LogFile


@dataclass(frozen=True)
class Cut:
    """A consistent cut of one session's log: exactly the entries that had arrived at one moment.

    It is plain data and may be stored with the commit, so that a checkpoint can still be made at it after
    a crash: `log.checkpoint(snapshot_id, upto=Cut(session_id, byte_offset, op_count))`.
    """

    session_id: str
    """The session it was taken from."""
    byte_offset: int
    """Byte offset after the last line that lies below the cut."""
    op_count: int
    """How many entries lie below the cut, in arrival order."""


def cut_at(catch_up: CatchUp, session_id: str, byte_offset: int) -> Cut:
    """The cut at the end of a line that has been looked at."""
    if byte_offset == 0:
        return Cut(session_id, 0, 0)
    below = Filter(stop=byte_offset)
    return Cut(session_id, byte_offset, catch_up.with_index(lambda index: count(index, below)))


def check_cut(argument: str, cut: Cut, catch_up: CatchUp, log: LogFile, session_id: str) -> Cut:
    """Make sure that `cut` is one of this log.

    Raises:
        InvalidCutError: it is not.
    """
    if not isinstance(cut, Cut):
        raise InvalidCutError(f"{argument}: must be a Cut as `cut()` returns it, not {cut!r}")
    if cut.session_id != session_id:
        raise InvalidCutError(f"the cut is of session {cut.session_id!r}, this log is of {session_id!r}")
    catch_up.catch_up()
    end = cut.byte_offset
    within = 0 <= end <= catch_up.end and (end == 0 or log.read(end - 1, end) == b"\n")
    if not within or cut != cut_at(catch_up, session_id, end):
        raise InvalidCutError(
            f"{log.path}: no cut of this log: it has {catch_up.end} bytes and not {cut.op_count} entries "
            f"below byte {cut.byte_offset}; take a cut from this log"
        )
    return cut


def current_checkpoint(
    catch_up: CatchUp, log: LogFile, path: Path, session_id: str
) -> tuple[OpLogCheckpoint | None, Cut]:
    """The record at `path` and the cut it stands for; (None, the empty cut) where none was ever made.

    Raises:
        DamagedCheckpointError: there is a record but it can't be used, or there was one.
    """
    while True:
        record = read_record(path, session_id)
        # After the record was read: the log then holds all that a sound record can cover.
        catch_up.catch_up()
        try:
            if catch_up.is_untouched():
                return record, fit_without_log(path, session_id, record)
            end = catch_up.end
            return record, catch_up.with_index(
                partial(fit, log=log, end=end, path=path, session_id=session_id, record=record)
            )
        except DamagedCheckpointError:
            # Another process may have put a newer one there in between; then that one is asked.
            if read_record(path, session_id) == record:
                raise


def fit_without_log(path: Path, session_id: str, record: OpLogCheckpoint | None) -> Cut:
    """`fit` for a session whose log is empty or not there."""
    if record is not None and record["op_count"] > 0:
        raise damaged(path, f"covers {record['op_count']} entries, but the log is empty or gone")
    return Cut(session_id, 0, 0)


def fit(index: Index, *, log: LogFile, end: int, path: Path, session_id: str, record: OpLogCheckpoint | None) -> Cut:
    """The cut that a record stands for, in a log whose lines end at byte `end`.

    Raises:
        DamagedCheckpointError: it does not fit the log, or is not the last one that was made.
    """
    refuse_missing_or_older(index, path, record)
    if record is None:
        return Cut(session_id, 0, 0)
    return _cut_of(index, log, end, path, record)


def refuse_missing_or_older(index: Index, path: Path, record: OpLogCheckpoint | None) -> None:
    """Hold a record against the last one that the index has seen being made.

    Raises:
        DamagedCheckpointError: that one was newer.
    """
    seen = checkpoint_seen(index.connection)
    if seen is None:
        return
    byte_offset, snapshot_id = seen
    if record is None:
        raise damaged(path, f"is missing, but a checkpoint of snapshot {snapshot_id!r} was made")
    if record.get("byte_offset", byte_offset) < byte_offset:
        raise damaged(path, f"is older than the checkpoint of snapshot {snapshot_id!r}, which was made after it")


def _cut_of(index: Index, log: LogFile, end: int, path: Path, record: OpLogCheckpoint) -> Cut:
    op_count = record["op_count"]
    byte_offset = record.get("byte_offset")
    if byte_offset is None:
        found = end_of_entry(index, op_count)
        if found is None:
            raise damaged(path, f"covers {op_count} entries, more than the log holds: the log was cut or replaced")
        return Cut(record["session_id"], found, op_count)
    if byte_offset > end:
        raise damaged(path, f"covers {byte_offset} bytes, the log has {end}: the log was cut or replaced")
    if byte_offset and log.read(byte_offset - 1, byte_offset) != b"\n":
        raise damaged(path, f"covers {byte_offset} bytes, but no line of the log ends there: the log was replaced")
    # A covered line may have been damaged since; that costs this line and not the whole replay. Where
    # neither last entry nor number is right, what lies below is not what was covered.
    if _last_op_id(index, byte_offset) != record["last_op_id"]:
        below = count(index, Filter(stop=byte_offset))
        if below != op_count:
            raise damaged(
                path,
                f"covers {op_count} entries, but {below} others lie below byte {byte_offset}: the log was replaced",
            )
    return Cut(record["session_id"], byte_offset, op_count)


def _last_op_id(index: Index, byte_offset: int) -> str:
    op_id = last_op_id(index, byte_offset)
    return "" if op_id is None else str(uuid.UUID(bytes=op_id))


def extend_record(
    index: Index, log: LogFile, previous: OpLogCheckpoint | None, covered: Cut, cut: Cut, snapshot_id: str
) -> OpLogCheckpoint:
    """The record for `cut`; only the lines between `covered` and `cut` are read."""
    start, digest = covered.byte_offset, EMPTY_DIGEST
    if previous is not None and "log_digest" in previous:
        digest = previous["log_digest"]
    else:
        start = 0
    return make_record(
        cut.session_id,
        snapshot_id,
        op_count=cut.op_count,
        byte_offset=cut.byte_offset,
        lamport_ts=highest_lamport_ts(index, cut.byte_offset),
        last_op_id=_last_op_id(index, cut.byte_offset),
        log_digest=chain_digest(log, start, cut.byte_offset, digest),
    )
