"""Write path: encode, drop duplicates, append in one write, index; and the Lamport clock."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from muse.core.entry.codec import check_length, checksum, encode_entry, same_content, strip_padding
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.errors import AppendError, LimitExceededError, OpIdConflictError, SyncError
from muse.core.index.catch_up import CatchUp
from muse.core.index.store import Index
from muse.core.options import MAX_LAMPORT_TS
from muse.core.storage.lines import Lines
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_lines

_MAX_WRITES = 8
_TAIL_WAIT_SECONDS = 0.02


class LamportClock:
    """Counts upwards: above all it has seen and all it gave out. Its owner locks.

    Timestamps order what happened without wall clocks: whoever has seen an operation gives its next one a higher
    number (L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978).
    """

    def __init__(self) -> None:
        self._now = 0

    def observe(self, lamport_ts: int) -> None:
        """Move to at least `lamport_ts`."""
        self._now = max(self._now, lamport_ts)

    def tick(self) -> int:
        """The next timestamp.

        Raises:
            LimitExceededError: the log holds the largest timestamp there is.
        """
        if self._now >= MAX_LAMPORT_TS:
            raise LimitExceededError(
                f"lamport_ts: the log already holds {self._now}, the largest timestamp there is: an entry was "
                "appended with a timestamp far too high; find it with query(min_lamport_ts=…), and go on in a new "
                "session"
            )
        self._now += 1
        return self._now


class EncodedEntry(NamedTuple):
    """An entry that may be written: checked, with the line it becomes."""

    entry: OpEntry
    op_id: bytes
    line: bytes


def encode(entry: OpEntry, max_line_bytes: int) -> EncodedEntry:
    """Check an entry and make its line; raises as `encode_entry`."""
    line = encode_entry(entry, max_line_bytes)
    return EncodedEntry(entry, op_id_bytes(entry["op_id"]), line)


def encoded_as_it_is(line: bytes, max_line_bytes: int) -> EncodedEntry:
    """A valid line of another log: the same bytes, but for what surrounds the object."""
    line = strip_padding(line)
    check_length(line, max_line_bytes)
    entry = orjson.loads(line)
    return EncodedEntry(entry, op_id_bytes(entry["op_id"]), line)


class Writer:
    """Writes to one log through one handle. Not safe for several threads at once: its owner locks."""

    def __init__(self, log: LogFile, catch_up: CatchUp, *, sync_each: bool) -> None:
        """`sync_each`: what is written survives power loss before it is acknowledged."""
        self._log = log
        self._catch_up = catch_up
        self._sync_each = sync_each
        self._sync_error: SyncError | None = None

    def check_usable(self) -> None:
        """Refuse to go on after a failed fsync.

        Raises:
            SyncError: durability of what was written before is unknown, and can't be found out here.
        """
        if self._sync_error is not None:
            raise SyncError(
                self._sync_error.errno,
                "an earlier fsync failed, so this handle takes no more appends: open the session anew and append "
                "again what was not acknowledged",
                str(self._log.path),
            )

    def create(self) -> None:
        """Have the file open for appending, created if it is missing.

        Raises:
            AppendError: it can't be.
            SyncError: its name may not be durable; this writer is of no more use.
        """
        try:
            self._log.create()
        except SyncError as error:
            self._sync_error = error
            raise

    def sync(self) -> None:
        """Make everything written so far durable.

        Raises:
            SyncError: it may not be; this writer is of no more use.
        """
        try:
            self._log.sync()
        except SyncError as error:
            self._sync_error = error
            raise

    def append(self, batch: Sequence[EncodedEntry]) -> int:
        """Write what the log does not hold yet; returns how many that were.

        Raises:
            OpIdConflictError: an op_id is there with other content; nothing was written.
            AppendError: the system refused the write; nothing is acknowledged.
        """
        self.check_usable()
        self._catch_up.catch_up()
        looked_to = self._catch_up.end
        if len(batch) > 1 or (batch and self._catch_up.find(batch[0].op_id) is not None):
            batch = self._not_there_yet(batch)
        if batch:
            self.write(batch, looked_to)
        return len(batch)

    def write(self, fresh: Sequence[EncodedEntry], looked_to: int) -> None:
        """Write entries that the log below `looked_to` is known not to hold; it was just caught up with."""
        catch_up = self._catch_up
        # A fragment without its newline ends here: ours starts on a line of its own.
        ending = b"\n" if catch_up.tail_is_torn and self._tail_stays_torn() else b""
        self.create()
        if len(fresh) == 1 and not ending and catch_up.end == looked_to:
            entry, op_id, line = fresh[0]
            begin = self._log.append(line)
            line_checksum = checksum(line)
            noted = catch_up.note_appended(entry, op_id, begin, len(line), line_checksum)
            if noted and not self._sync_each:
                catch_up.flush_entry(entry, len(line), line_checksum)
                return
        else:
            begin = self._log.append(ending + b"".join([new.line for new in fresh])) + len(ending)
            lines = Lines(begin)
            plain = [new.line for new in fresh]
            lines.add_entries([new.entry for new in fresh], list(map(len, plain)), map(checksum, plain))
            # What was looked at in between, while a writer finished its line, may hold the same entries.
            noted = catch_up.end == looked_to and catch_up.note_appended_lines(lines)
        if not noted:
            catch_up.catch_up()
            self._write_again_what_was_glued(fresh)
        if self._sync_each:
            self.sync()
        catch_up.flush_pending()

    def _tail_stays_torn(self) -> bool:
        """Whether the last line's writer is dead. A living one's write(2) can be seen half done, but only
        while that call lasts: ending its line then would leave a blank line in a healthy log.
        """
        deadline = time.monotonic() + _TAIL_WAIT_SECONDS
        while self._catch_up.tail_is_torn and time.monotonic() < deadline:
            time.sleep(_TAIL_WAIT_SECONDS / 20)
            self._catch_up.catch_up()
        return self._catch_up.tail_is_torn

    def _write_again_what_was_glued(self, fresh: Sequence[EncodedEntry]) -> None:
        """A writer that died between our look and our write leaves a fragment in front of our line."""
        for _ in range(_MAX_WRITES):
            there = self._catch_up.find_all({new.op_id for new in fresh})
            glued = [new for new in fresh if new.op_id not in there]
            if not glued:
                return
            self._log.append(b"\n" + b"".join([new.line for new in glued]))
            self._catch_up.catch_up()
        raise AppendError(
            errno.EIO, f"{len(glued)} entries were written {_MAX_WRITES} times and are not there", str(self._log.path)
        )

    def _not_there_yet(self, batch: Sequence[EncodedEntry]) -> Sequence[EncodedEntry]:
        op_ids = {new.op_id for new in batch}
        there = self._catch_up.find_all(op_ids)
        if not there and len(op_ids) == len(batch):
            return batch
        fresh: dict[bytes, EncodedEntry] = {}
        known = []
        for new in batch:
            if new.op_id in fresh:
                _refuse_conflict(new, fresh[new.op_id].line, "earlier in the same batch")
            elif new.op_id in there:
                known.append(new)
            else:
                fresh[new.op_id] = new
        if known:
            for new, byte_offset, line in self._catch_up.with_index(
                lambda index: self._spelled_differently(index, known)
            ):
                _refuse_conflict(new, line, f"at byte {byte_offset} of {self._log.path}")
        return list(fresh.values())

    def _spelled_differently(
        self, index: Index, known: Sequence[EncodedEntry]
    ) -> list[tuple[EncodedEntry, int, bytes]]:
        """Those whose line in the log is another than their own; if the checksums agree none is read."""
        found = []
        for new in known:
            place = index.location_of(new.op_id)
            if place is not None and (place.length, place.checksum) != (len(new.line), checksum(new.line)):
                found.append((new, place.byte_offset, read_lines(self._log, [place])[0]))
        return found


def _refuse_conflict(new: EncodedEntry, there: bytes, where: str) -> None:
    if not same_content(new.line, there):
        raise OpIdConflictError(
            f"op_id: {new.entry['op_id']} is there already, {where}, with other content: an operation never "
            "changes; give the new one its own op_id"
        )
