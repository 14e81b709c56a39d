"""Cuts: which prefix of the log a moment or a checkpoint stands for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import EllipsisType
from typing import cast

from muse.core.checkpoint.covered import changed, end_as_it_was, end_of_covered, has_cut, seen_of
from muse.core.checkpoint.record import (
    EMPTY_DIGEST,
    OpLogCheckpoint,
    RestoredCheckpoint,
    chain_digest,
    damaged,
    read_record,
    write_record,
)
from muse.core.entry.filter import Filter
from muse.core.errors import CheckpointBackwardsError, CheckpointError, DamagedCheckpointError, InvalidCutError
from muse.core.index.catch_up import CatchUp
from muse.core.index.evidence import checkpoint_seen
from muse.core.index.query import count, highest_lamport_ts, last_op_id
from muse.core.index.store import Index
from muse.core.storage import durable
from muse.core.storage.locks import exclusive_lock
from muse.core.storage.log_file import LogFile
from muse.core.storage.redactions import holds_redaction
from muse.core.storage.session_dir import CHECKPOINT_NAME, REDACTING_NAME

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
        within = 0 <= end <= max(log_end, self._log.size())
        fits = partial(has_cut, log=self._log, end=end, op_count=cut.op_count)
        if not within or (not self._catch_up.with_index(fits) if self._catch_up.size else cut.op_count):
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
                end = fit(None) if self._catch_up.is_untouched() else self._catch_up.with_index(fit)
            except DamagedCheckpointError:
                # Another process may have put a newer one there in between; then that one is asked.
                if read_record(self._path, self._session_id) == record:
                    raise
                continue
            if record is not None and end:
                self._catch_up.note_checkpoint(end, record)
            return record, end

    def replace(
        self, snapshot_id: str, upto: Cut | None, after: str | EllipsisType | None, sync: Callable[[], None]
    ) -> OpLogCheckpoint:
        """Make a cut the checkpoint, under a lock on the log that keeps other processes from making one.

        None is what has arrived when the lock is held: taken before, it could lie below the cut of whoever had the
        lock. `sync` makes durable all that has arrived.

        A `CheckpointBackwardsError` if the one that exists covers more, a `CheckpointError` if its snapshot is not the
        one `after` which this is made, a `LockTimeoutError` if another process is making one and does not end, a
        `SyncError` if what lies below the cut may be lost.
        """
        self._catch_up.catch_up()
        # Here and not under the lock, so that others wait less; it also makes the file that the lock is on.
        sync()
        with self.alone():
            cut = self.cut() if upto is None else upto
            if cut.byte_offset and not self._log.is_synced(cut.byte_offset - 1):
                sync()
            self._log.check_not_lost(cut.byte_offset)
            return self._replace_alone(snapshot_id, cut, after)

    def follow_commit(
        self, snapshot_id: str, cut: Cut, digest: str, sync: Callable[[], None], *, may_differ: bool
    ) -> bool:
        """Let the checkpoint be where the newest commit ends, whatever became of its file.

        False, and nothing is done, if the log below the cut is not what `digest` says, unless it `may_differ`. A
        `CheckpointBackwardsError` if a checkpoint that covers more was ever made.
        """
        record, end = self._furthest()
        if record and "log_digest" in record and (record["snapshot_id"], end) == (snapshot_id, cut.byte_offset):
            # It need not be the commit's digest: something below may have been redacted since, or accepted.
            return may_differ or self._is_as_it_was(cut, record["log_digest"], record, end)
        sync()
        with self.alone():
            record, end = self._furthest()
            if end > cut.byte_offset:
                raise CheckpointBackwardsError(
                    f"{self._path}: a checkpoint was made at byte {end}, beyond {snapshot_id}"
                )
            if not may_differ and not self._is_as_it_was(cut, digest, record, end):
                return False
            # What is damaged is to differ from the digest, and what was redacted is not.
            own = self._digest(cut, record, end)
            is_redacted = own != digest and holds_redaction(self._log, cut.byte_offset)
            self._write(snapshot_id, cut, own if is_redacted else digest)
        return True

    def _is_as_it_was(self, cut: Cut, digest: str, record: OpLogCheckpoint | None, end: int) -> bool:
        below = self._catch_up.with_index(lambda index: count(index, Filter(stop=cut.byte_offset)))
        # Both: a digest that is carried on says nothing of what lies below the checkpoint.
        return below == cut.op_count and self._digest(cut, record, end) == digest

    def _furthest(self) -> tuple[OpLogCheckpoint | None, int]:
        """As `current`; if the file is not right, no record, and where the last one ended that the index has seen."""
        with suppress(DamagedCheckpointError):
            return self.current()
        seen = self._catch_up.with_index(partial(seen_of, self._log))
        return None, seen.byte_offset if seen else 0

    def restore(self, *, may_set_back: bool, dry_run: bool) -> RestoredCheckpoint | None:
        """Write the last record that the index has seen again, if the file is not right.

        If that record does not fit the log any more, it is set back to what lies as it did below the first change: no
        operation is ever taken for committed that is not, but some are pending again; all, if the first line is lost.
        Not while operations are lost that may come back: only the record tells which of these were committed.

        Returns:
            What was done, or would be; None if the file is right.

        Raises:
            DamagedCheckpointError: the index has seen none, or does not know up to where the log lies as it did, or the
                record would be set back and may not.
        """
        try:
            self.current()
        except DamagedCheckpointError:
            seen = self._catch_up.with_index(lambda index: checkpoint_seen(index.connection))
            if seen is None:
                raise
        else:
            return None
        record = cast(OpLogCheckpoint, seen.record)
        end = self._catch_up.with_index(partial(end_as_it_was, self._log, seen))
        if end is None:
            raise damaged(self._path, "what the index has seen of it does not fit the log either")
        if end < seen.byte_offset and not may_set_back:
            raise damaged(self._path, "is set back when all that is lost has come back or is accepted, not before")
        aside = self._path.with_name(f"{CHECKPOINT_NAME}.{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
        is_there = self._path.is_file()
        if not dry_run:
            self._log.sync()  # as before any record; it also makes the file, if that was deleted
            with self.alone():
                if is_there:
                    os.link(self._path, aside, follow_symlinks=False)
                # A redaction may have found no record to renew: then the digest that was seen is of what stood there.
                if end == seen.byte_offset and not holds_redaction(self._log, end):
                    write_record(self._path, record)
                else:
                    digest = chain_digest(self._log, 0, end, EMPTY_DIGEST)
                    self._write(record["snapshot_id"], self.cut(end), digest)
        return RestoredCheckpoint(record["snapshot_id"], aside.name if is_there else None, end, end < seen.byte_offset)

    def take_over_digest(self, digest: str) -> None:
        """What the checkpoint covers is right as it is now: let its record say so."""
        with self.alone():
            record, _ = self.current()
            if record is not None and "log_digest" in record:
                write_record(self._path, {**record, "log_digest": digest})

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from making checkpoints and from redacting; what was begun of that is finished."""
        with exclusive_lock(self._log.path, _WAIT_SECONDS):
            self._catch_up.finish_redaction(is_locked=True)
            yield

    def _replace_alone(self, snapshot_id: str, cut: Cut, after: str | EllipsisType | None) -> OpLogCheckpoint:
        durable.clear_aside(self._path.with_name(REDACTING_NAME))
        previous, start = self.current()
        known = previous["snapshot_id"] if previous else None
        # Made again at the same cut, it stands already.
        if after not in (..., known) and (known, start) != (snapshot_id, cut.byte_offset):
            raise CheckpointError(
                f"{self._path}: the checkpoint is of snapshot {known!r} and not of {after!r}, which {snapshot_id!r} is "
                "to follow: make the commit anew, from where the checkpoint is"
            )
        if previous is not None and cut.byte_offset < start:
            raise CheckpointBackwardsError(
                f"{self._path}: the checkpoint covers {previous['op_count']} entries already, this cut only "
                f"{cut.op_count}: take a new cut"
            )
        return self._write(snapshot_id, cut, self._digest(cut, previous, start))

    def _digest(self, cut: Cut, previous: OpLogCheckpoint | None, start: int) -> str:
        """The digest of the log as it is, up to the cut; carried on from the checkpoint's if nothing below changed."""
        if (
            previous is not None
            and "log_digest" in previous
            and start <= cut.byte_offset
            and not self._catch_up.with_index(partial(changed, start))
        ):
            return chain_digest(self._log, start, cut.byte_offset, previous["log_digest"])
        return chain_digest(self._log, 0, cut.byte_offset, EMPTY_DIGEST)

    def current_below(self, cut: Cut) -> OpLogCheckpoint | None:
        """What the record is of a log that ends at this cut: less, if the checkpoint covers more than that."""
        record, end = self.current()
        if record is None or end <= cut.byte_offset:
            return record
        return self._record(record["snapshot_id"], cut, chain_digest(self._log, 0, cut.byte_offset, EMPTY_DIGEST))

    def _record(self, snapshot_id: str, cut: Cut, digest: str) -> OpLogCheckpoint:
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

        return self._catch_up.with_index(describe)

    def _write(self, snapshot_id: str, cut: Cut, digest: str) -> OpLogCheckpoint:
        record = write_record(self._path, self._record(snapshot_id, cut, digest))
        self._catch_up.note_checkpoint(cut.byte_offset, record, replaces=True)
        return record
