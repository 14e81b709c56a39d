"""The way of a batch from entries to acknowledged lines: encoded, not doubled, written once, indexed."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from muse.core.entry.codec import check_length, checksum, encode_entry, same_content, tidy
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.errors import AppendError, OpIdConflictError, SyncError
from muse.core.old_index.index import Index
from muse.core.old_index.index_query import find
from muse.core.old_index.sidecar import Sidecar
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_lines
from muse.core.storage.scanner import entry_row, entry_rows

_MAX_WRITES = 8
_TAIL_WAIT_SECONDS = 0.02


class Encoded(NamedTuple):
    """An entry that may be written: checked, with the line it becomes."""

    entry: OpEntry
    op_id: bytes
    line: bytes


def encode(entry: OpEntry, max_line_bytes: int) -> Encoded:
    """Check an entry and make its line; raises as `encode_entry`."""
    line = encode_entry(entry, max_line_bytes)
    return Encoded(entry, op_id_bytes(entry["op_id"]), line)


def encoded_as_it_is(line: bytes, max_line_bytes: int) -> Encoded:
    """A valid line of another log: the same bytes, but for what surrounds the object."""
    line = tidy(line)
    check_length(line, max_line_bytes)
    entry = orjson.loads(line)
    return Encoded(entry, op_id_bytes(entry["op_id"]), line)


class Appender:
    """Writes to one log through one handle. Not safe for several threads at once: its owner locks."""

    def __init__(self, log: LogFile, sidecar: Sidecar, *, sync_each: bool) -> None:
        """`sync_each`: what is written survives power loss before it is acknowledged."""
        self._log = log
        self._sidecar = sidecar
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
        """Have the file open for appending, created where it is missing.

        Raises:
            AppendError: it can't be.
            SyncError: its name may not be durable; this appender is of no more use.
        """
        try:
            self._log.create()
        except SyncError as error:
            self._sync_error = error
            raise

    def sync(self) -> None:
        """Make everything written so far durable.

        Raises:
            SyncError: it may not be; this appender is of no more use.
        """
        try:
            self._log.sync()
        except SyncError as error:
            self._sync_error = error
            raise

    def append(self, batch: Sequence[Encoded]) -> int:
        """Write what the log does not hold yet; returns how many that were.

        Raises:
            OpIdConflictError: an op_id is there with other content; nothing was written.
            AppendError: the system refused the write; nothing is acknowledged.
        """
        self.check_usable()
        self._sidecar.look()
        looked_to = self._sidecar.end
        if len(batch) > 1 or (batch and self._sidecar.find(batch[0].op_id) is not None):
            batch = self._not_there_yet(batch)
        if batch:
            self.write(batch, looked_to)
        return len(batch)

    def write(self, fresh: Sequence[Encoded], looked_to: int) -> None:
        """Write entries that the log below `looked_to` is known not to hold; the sidecar has just looked."""
        # A fragment without its newline ends here: ours starts on a line of its own.
        seal = b"\n" if self._sidecar.tail_is_torn and self._tail_stays_torn() else b""
        self.create()
        begin = self._log.append(seal + b"".join([new.line for new in fresh])) + len(seal)
        if len(fresh) == 1:
            rows = [entry_row(begin, fresh[0].line, fresh[0].entry, fresh[0].op_id)]
        else:
            rows = entry_rows(begin, [new.line for new in fresh], [new.entry for new in fresh])
        # What was looked at in between, while a writer finished its line, may hold the same entries.
        if self._sidecar.end != looked_to or not self._sidecar.wrote(rows):
            self._sidecar.look()
            self._write_again_what_was_glued(fresh)
        if self._sync_each:
            self.sync()
        self._sidecar.settle()

    def _tail_stays_torn(self) -> bool:
        """Whether the last line's writer is dead. A living one's write(2) can be seen half done, but only
        while that call lasts: sealing that would leave a blank line in a healthy log.
        """
        deadline = time.monotonic() + _TAIL_WAIT_SECONDS
        while self._sidecar.tail_is_torn and time.monotonic() < deadline:
            time.sleep(_TAIL_WAIT_SECONDS / 20)
            self._sidecar.look()
        return self._sidecar.tail_is_torn

    def _write_again_what_was_glued(self, fresh: Sequence[Encoded]) -> None:
        """A writer that died between our look and our write leaves a fragment in front of our line."""
        for _ in range(_MAX_WRITES):
            there = self._sidecar.find_all([new.op_id for new in fresh])
            glued = [new for new in fresh if new.op_id not in there]
            if not glued:
                return
            self._log.append(b"\n" + b"".join([new.line for new in glued]))
            self._sidecar.look()
        raise AppendError(
            errno.EIO, f"{len(glued)} entries were written {_MAX_WRITES} times and are not there", str(self._log.path)
        )

    def _not_there_yet(self, batch: Sequence[Encoded]) -> Sequence[Encoded]:
        op_ids = {new.op_id for new in batch}
        there = self._sidecar.find_all(op_ids)
        if not there and len(op_ids) == len(batch):
            return batch
        fresh: dict[bytes, Encoded] = {}
        known = []
        for new in batch:
            if new.op_id in fresh:
                _refuse_conflict(new, fresh[new.op_id].line, "earlier in the same batch")
            elif new.op_id in there:
                known.append(new)
            else:
                fresh[new.op_id] = new
        if known:
            for new, byte_offset, line in self._sidecar.ask(lambda index: self._spelled_differently(index, known)):
                _refuse_conflict(new, line, f"at byte {byte_offset} of {self._log.path}")
        return list(fresh.values())

    def _spelled_differently(self, index: Index, known: Sequence[Encoded]) -> list[tuple[Encoded, int, bytes]]:
        """Those whose line in the log is another than their own; where the checksums agree none is read."""
        found = []
        for new in known:
            place = find(index, new.op_id)
            if place is not None and (place.length, place.checksum) != (len(new.line), checksum(new.line)):
                found.append((new, place.byte_offset, read_lines(self._log, [place])[0]))
        return found


def _refuse_conflict(new: Encoded, there: bytes, where: str) -> None:
    if not same_content(new.line, there):
        raise OpIdConflictError(
            f"op_id: {new.entry['op_id']} is there already, {where}, with other content: an operation never "
            "changes; give the new one its own op_id"
        )
