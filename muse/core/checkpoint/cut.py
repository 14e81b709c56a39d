"""Cuts: which prefix of the log a moment or a checkpoint stands for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from muse.core.checkpoint.record import EMPTY_DIGEST, OpLogCheckpoint, chain_digest, damaged, read_record, write_record
from muse.core.entry.filter import Filter
from muse.core.errors import CheckpointBackwardsError, DamagedCheckpointError, InvalidCutError
from muse.core.index.catch_up import CatchUp
from muse.core.index.evidence import checkpoint_seen
from muse.core.index.query import count, end_of_entry, highest_lamport_ts, last_op_id
from muse.core.index.store import Index
from muse.core.storage.locks import exclusive_lock
from muse.core.storage.log_file import LogFile
from muse.core.storage.session_dir import CHECKPOINT_NAME

_WAIT_SECONDS = 8.0
"""How long a checkpoint waits for another process to make its own, which may have gigabytes to digest."""


@dataclass(frozen=True)
class Cut:
    """A consistent cut of one session's log: exactly the entries that had arrived at one moment.

    It is plain data and may be stored with the commit, so that a checkpoint can still be made at it after a crash:
    `log.checkpoint(snapshot_id, upto=Cut(session_id, byte_offset, op_count))`.
    """

    session_id: str
    """The session it was taken from."""
    byte_offset: int
    """Byte offset after the last line that lies below the cut."""
    op_count: int
    """How many entries lie below the cut, in arrival order."""


class Checkpoints:
    """The cuts and the checkpoint of one handle's log. Not safe for several threads: its owner locks."""

    def __init__(self, catch_up: CatchUp, log: LogFile, session_id: str) -> None:
        self._catch_up = catch_up
        self._log = log
        self._path = log.path.with_name(CHECKPOINT_NAME)
        self._session_id = session_id

    def cut(self, at: int | None = None) -> Cut:
        """Exactly what has arrived by now, or what lies below the end of a line at the byte offset `at`."""
        self._catch_up.catch_up()
        end = self._catch_up.end if at is None else at
        op_count = self._catch_up.with_index(lambda index: count(index, Filter(stop=end))) if end else 0
        return Cut(self._session_id, end, op_count)

    def check_cut(self, argument: str, cut: Cut) -> Cut:
        """The same cut; an `InvalidCutError` if it is not one of this log."""
        if not isinstance(cut, Cut):
            raise InvalidCutError(f"{argument}: must be a Cut as `cut()` returns it, not {cut!r}")
        if cut.session_id != self._session_id:
            raise InvalidCutError(f"the cut is of session {cut.session_id!r}, this log is of {self._session_id!r}")
        self._catch_up.catch_up()
        end, log_end = cut.byte_offset, self._catch_up.end
        within = 0 <= end <= log_end and (end == 0 or self._log.read(end - 1, end) == b"\n")
        if not within or cut != self.cut(end):
            raise InvalidCutError(
                f"{self._log.path}: not a cut of this log, which has {log_end} bytes and not {cut.op_count} entries "
                f"below byte {end}: take a cut from this log"
            )
        return cut

    def current(self) -> tuple[OpLogCheckpoint | None, int]:
        """The record and the byte offset up to which it covers the log; (None, 0) if none was ever made.

        A `DamagedCheckpointError` if there is one that can't be used, or there was one.
        """
        while True:
            record = read_record(self._path, self._session_id)
            # After the record was read: the log then holds all that a sound record can cover.
            self._catch_up.catch_up()
            fit = partial(end_of_covered, log=self._log, record=record)
            try:
                return record, fit(None) if self._catch_up.is_untouched() else self._catch_up.with_index(fit)
            except DamagedCheckpointError:
                # Another process may have put a newer one there in between; then that one is asked.
                if read_record(self._path, self._session_id) == record:
                    raise

    def replace(self, snapshot_id: str, cut: Cut) -> OpLogCheckpoint:
        """Make `cut` the checkpoint, under a lock on the log that keeps other processes from making one.

        A `CheckpointBackwardsError` if the one that exists covers more, a `LockTimeoutError` if another process is
        making one and does not end, a `SyncError` if what lies below the cut may be lost.
        """
        self._log.check_not_lost(cut.byte_offset)
        with exclusive_lock(self._log.path, _WAIT_SECONDS):
            return self._replace_alone(snapshot_id, cut)

    def _replace_alone(self, snapshot_id: str, cut: Cut) -> OpLogCheckpoint:
        previous, start = self.current()
        if previous is not None and cut.byte_offset < start:
            raise CheckpointBackwardsError(
                f"{self._path}: the checkpoint covers {previous['op_count']} entries already, this cut only "
                f"{cut.op_count}: take a new cut"
            )
        if previous is not None and "log_digest" in previous:
            digest = chain_digest(self._log, start, cut.byte_offset, previous["log_digest"])
        else:
            digest = chain_digest(self._log, 0, cut.byte_offset, EMPTY_DIGEST)

        def describe(index: Index) -> OpLogCheckpoint:
            return {
                "session_id": self._session_id,
                "snapshot_id": snapshot_id,
                "lamport_ts": highest_lamport_ts(index, cut.byte_offset),
                "op_count": cut.op_count,
                "created_at": datetime.now(UTC).isoformat(),
                "byte_offset": cut.byte_offset,
                "last_op_id": last_op_id(index, cut.byte_offset),
                "log_digest": digest,
            }

        record = write_record(self._path, self._catch_up.with_index(describe))
        self._catch_up.record_checkpoint_evidence(cut.byte_offset, snapshot_id)
        return record


def end_of_covered(index: Index | None, log: LogFile, record: OpLogCheckpoint | None) -> int:
    """The byte offset up to which a record covers its log; `index` is None if nothing was ever recorded.

    A `DamagedCheckpointError` if it does not fit the log, or is not the last one that was made.
    """
    path = log.path.with_name(CHECKPOINT_NAME)
    if index is not None:
        refuse_missing_or_older(index, path, record)
    if record is None:
        return 0
    op_count = record["op_count"]
    if index is None:
        if op_count:
            raise damaged(path, f"covers {op_count} entries, but the log is empty or gone")
        return 0
    if "byte_offset" not in record:
        found = end_of_entry(index, op_count)
        if found is None:
            raise damaged(path, f"covers {op_count} entries, more than the log holds: the log was cut or replaced")
        return found
    end = record["byte_offset"]
    if end > index.end:
        raise damaged(path, f"covers {end} bytes, the log has {index.end}: the log was cut or replaced")
    if end and log.read(end - 1, end) != b"\n":
        raise damaged(path, f"covers {end} bytes, but no line of the log ends there: the log was replaced")
    # A covered line may have been damaged since; that costs this line and not the whole replay. If neither the last
    # entry nor the number is right, what lies below is not what was covered.
    if last_op_id(index, end) != record["last_op_id"] and (below := count(index, Filter(stop=end))) != op_count:
        raise damaged(path, f"covers {op_count} entries, but {below} others lie below byte {end}: the log was replaced")
    return end


def refuse_missing_or_older(index: Index, path: Path, record: OpLogCheckpoint | None) -> None:
    """Raise `DamagedCheckpointError` if the index has seen a newer record being made."""
    seen = checkpoint_seen(index.connection)
    if seen is None:
        return
    byte_offset, snapshot_id = seen
    if record is None:
        raise damaged(path, f"is missing, but a checkpoint of snapshot {snapshot_id!r} was made")
    if record.get("byte_offset", byte_offset) < byte_offset:
        raise damaged(path, f"is older than the checkpoint of snapshot {snapshot_id!r}, which was made after it")
