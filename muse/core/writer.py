"""Write path: encode, drop duplicates, append in one write, index."""

from __future__ import annotations

import errno
import time
import uuid
from collections.abc import Collection, Mapping
from functools import partial
from itertools import accumulate

import orjson

from muse.core.batch import Batch, Refuse, raise_it
from muse.core.clock import LamportClock
from muse.core.entry.codec import (
    checksum,
    encode_entry,
    same_content,
    same_operation,
    strip_padding,
)
from muse.core.entry.marker import Redaction, may_hold_marker, rank, redacted_in, redacted_line, stands_for
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.errors import (
    AppendError,
    LimitExceededError,
    MuseError,
    OpIdConflictError,
    SyncError,
)
from muse.core.index.catch_up import CatchUp
from muse.core.index.query import places_at
from muse.core.index.store import Index
from muse.core.options import MAX_LINE_BYTES, MAX_WRITE_BYTES
from muse.core.storage.lines import Lines
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import StaleLocationError, read_placed_lines
from muse.core.storage.redactions import redacted_here

_MAX_WRITES = 8
_TAIL_WAIT_SECONDS = 0.02

_Known = dict[bytes, tuple[int, bytes]]
"""By op_id, the byte offset and the line of entries that are in the log already."""


class Writer:
    """Writes to one log through one handle. Not safe for several threads at once: its owner locks."""

    def __init__(self, log: LogFile, catch_up: CatchUp, clock: LamportClock, *, sync_each: bool) -> None:
        """`sync_each`: what is written survives power loss before it is acknowledged."""
        self._log = log
        self._catch_up = catch_up
        self._clock = clock
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

    def sync(self) -> None:
        """Make durable all that has arrived in the log, and its name; it is created if it is missing.

        Raises:
            AppendError: it can't be created.
            SyncError: it may not be durable; this writer is of no more use.
        """
        try:
            self._log.sync()
        except SyncError as error:
            self._sync_error = error
            raise

    def append_entry(self, entry: OpEntry, line: bytes) -> bool:
        """Write one entry, if the log does not hold it yet.

        Raises:
            OpIdConflictError: its op_id is there with other content; nothing was written.
            AppendError: the system refused the write; it is not acknowledged.
        """
        catch_up = self._catch_up
        if self._sync_error is not None:
            self.check_usable()
        catch_up.catch_up()
        op_id = op_id_bytes(entry["op_id"])
        if catch_up.find(op_id) is not None:
            return self.append(Batch.of_lines((line,), len(line))) == 1
        if entry["lamport_ts"] > self._clock.now + self._clock.max_jump:
            raise self._clock.refusal(op_id, entry["lamport_ts"])
        self.write_entry(entry, op_id, line)
        return True

    def record(self, entry: OpEntry, max_line_bytes: int) -> OpEntry:
        """Write an entry with the next timestamp, if the log does not hold its op_id yet; the entry of the log.

        Raises as `append_entry`, but an entry that differs only in when it was made, or was redacted, is the same.
        """
        # Checked first: what is not valid has no op_id that could be looked for.
        encode_entry(entry, max_line_bytes)
        op_id = op_id_bytes(entry["op_id"])
        known = self._read_known([op_id]) if self._catch_up.find(op_id) is not None else {}
        if not known:
            entry["lamport_ts"] = self._clock.tick()
            try:
                self.write_entry(entry, op_id, encode_entry(entry, max_line_bytes))
            except OpIdConflictError:
                # Somebody has recorded it at the same moment; if only the time is another, his counts for both.
                return self.record(entry, max_line_bytes)
            return entry
        byte_offset, line = known[op_id]
        there: OpEntry = orjson.loads(strip_padding(line))
        if redacted_in(line) is None and not same_operation(entry, there):
            raise _conflict(op_id, f"at byte {byte_offset} of {self._log.path}")
        self._secure_known(known)
        return there

    def write_entry(self, entry: OpEntry, op_id: bytes, line: bytes) -> None:
        """Write one entry that the log is known not to hold; it was just caught up with."""
        catch_up = self._catch_up
        try:
            if catch_up.size > catch_up.end:
                # Somebody is writing, or died in the middle: the way for what is not usual.
                self.write(Batch.of_lines((line,), len(line)))
                return
            begin = self._append(line)
            if not catch_up.index_entry(entry, op_id, begin, len(line), checksum(line)):
                self._look_for({op_id: line}, begin, raise_it)
            if self._sync_each:
                self.sync()
        except MuseError as error:
            # `record` has made it, and nobody else knows it yet.
            error.entries = (entry,)
            raise

    def append(self, batch: Batch, refuse: Refuse = raise_it) -> int:
        """Write what the log does not hold yet; returns how many that were.

        Raises:
            OpIdConflictError: an op_id is there with other content; nothing was written, unless it was written at the
                same moment.
            LimitExceededError: they are too many for one write, or a timestamp is too high; nothing was written.
            AppendError: the system refused the write; nothing is acknowledged.
        """
        self.check_usable()
        self._catch_up.catch_up()
        # In their order: what was written together is quickly found together.
        distinct = dict.fromkeys(batch.columns.op_ids)
        indexed = self._catch_up.find_all(distinct)
        known: _Known = {}
        jumps = max(batch.columns.lamport_ts, default=0) > self._clock.now + self._clock.max_jump
        if indexed or len(distinct) < len(batch) or jumps:
            batch, known = self._split(batch, indexed, refuse)
        refused = self.write(batch, refuse) if batch else 0
        if known:
            self._secure_known(known)
        return len(batch) - refused

    def write(self, batch: Batch, refuse: Refuse = raise_it) -> int:
        """Write entries that the log is known not to hold, as it was just caught up with.

        Returns how many do not count, since somebody else has written other contents at the same moment.
        """
        catch_up = self._catch_up
        looked_to = catch_up.end
        # A fragment without its newline ends here: ours starts on a line of its own.
        ending = b"\n" if catch_up.tail_is_torn and self._tail_stays_torn() else b""
        begin = self._append(ending + batch.data if ending else batch.data) + len(ending)
        lines = Lines(begin)
        lines.add_entries(batch.columns, batch.lengths, batch.checksums)
        # What was looked at in between, while a writer finished its line, may hold the same entries.
        refused = 0
        if catch_up.end != looked_to or not catch_up.index_lines(lines):
            refused = self._look_for(dict(zip(batch.columns.op_ids, batch.lines(), strict=True)), begin, refuse)
        if self._sync_each:
            self.sync()
        return refused

    def _append(self, data: bytes | bytearray) -> int:
        # One byte is left for a newline in front, should it have to be written again.
        if len(data) >= MAX_WRITE_BYTES:
            raise LimitExceededError(
                f"the batch takes {len(data)} bytes, and one write takes less than {MAX_WRITE_BYTES}: nothing was "
                "written; append it in parts"
            )
        try:
            return self._log.append(data)
        except SyncError as error:
            self._sync_error = error
            raise

    def _tail_stays_torn(self) -> bool:
        """Whether the last line's writer is dead. A living one's write(2) can be seen half done, but only
        while that call lasts: ending its line then would leave a blank line in a healthy log.
        """
        deadline = time.monotonic() + _TAIL_WAIT_SECONDS
        while self._catch_up.tail_is_torn and time.monotonic() < deadline:
            time.sleep(_TAIL_WAIT_SECONDS / 20)
            self._catch_up.catch_up()
        return self._catch_up.tail_is_torn

    def _look_for(self, lines: Mapping[bytes, bytes], begin: int, refuse: Refuse) -> int:
        """Make sure that what was written from byte `begin` on is there and counts, and index it; how many do not.

        A writer that died between our look and our write leaves a fragment in front of our first line: then that line
        is written again. One that is alive may have written the same op_ids before us, with other contents.
        """
        written_at: dict[bytes, int] = {}
        glued = list(lines)
        for _ in range(_MAX_WRITES):
            lengths = [len(lines[op_id]) for op_id in glued]
            written_at.update(zip(glued, accumulate(lengths[:-1], initial=begin), strict=True))
            self._catch_up.catch_up()
            there = self._catch_up.find_all(lines.keys())
            glued = [op_id for op_id in lines if op_id not in there]
            if not glued:
                self._catch_up.flush_pending()
                later = {op_id: line for op_id, line in lines.items() if there[op_id] != written_at[op_id]}
                return self._refuse_later(later, refuse) if later else 0
            begin = 1 + self._log.append(b"\n" + b"".join([lines[op_id] for op_id in glued]))
        raise AppendError(
            errno.EIO, f"{len(glued)} entries were written {_MAX_WRITES} times and are not there", str(self._log.path)
        )

    def _refuse_later(self, lines: Mapping[bytes, bytes], refuse: Refuse) -> int:
        """Refuse what was written just now, but stands after a line with the same op_id and other content."""
        refused = 0
        for op_id, (byte_offset, there) in self._read_known(lines).items():
            if not stands_for(there, lines[op_id]):
                refused += 1
                where = f"at byte {byte_offset} of {self._log.path}, first (this one stands later, and does not count)"
                refuse(op_id, _conflict(op_id, where))
        return refused

    def _split(self, batch: Batch, indexed: Collection[bytes], refuse: Refuse) -> tuple[Batch, _Known]:
        """What is to be written of a batch, and what of it is there already."""
        lines: dict[bytes, bytes] = {}
        for op_id, line in zip(batch.columns.op_ids, batch.lines(), strict=True):
            if not same_content(line, lines.setdefault(op_id, line)):
                refuse(op_id, _conflict(op_id, "earlier in the same batch"))
        known = self._read_known(indexed) if indexed else {}
        for op_id, (byte_offset, there) in known.items():
            if not stands_for(there, lines.pop(op_id)):
                refuse(op_id, _conflict(op_id, f"at byte {byte_offset} of {self._log.path}"))
        highest = self._clock.now + self._clock.max_jump
        for op_id, lamport_ts in zip(batch.columns.op_ids, batch.columns.lamport_ts, strict=True):
            if lamport_ts > highest and lines.pop(op_id, b""):
                refuse(op_id, self._clock.refusal(op_id, lamport_ts))
        return Batch.of_lines(lines.values(), MAX_LINE_BYTES), known

    def take_redactions(self, batch: Batch, found: dict[str, Redaction]) -> Batch:
        """Note, by op_id, which operations are redacted in a batch of another log, and not here; the rest of it.

        In the rest what was redacted here is redacted: its line may have been lost since.
        """
        own = redacted_here(self._log.path.parent)
        if not own and not may_hold_marker(batch.data):
            return batch
        each = [
            (op_id, redacted_line(line, own[op_id]) if op_id in own and redacted_in(line) is None else line)
            for op_id, line in zip(batch.columns.op_ids, batch.lines(), strict=True)
        ]
        said: dict[bytes, Redaction] = {}
        for op_id, line in each:
            if (marked := redacted_in(line)) is not None:
                said[op_id] = min(marked, said.get(op_id, marked), key=rank)
        self._catch_up.catch_up()
        known = self._read_known(there) if (there := self._catch_up.find_all(said)) else {}
        for op_id, (_, line) in known.items():
            if (before := redacted_in(line)) is None or rank(said[op_id]) < rank(before):
                found[str(uuid.UUID(bytes=op_id))] = said[op_id]
        stays = [line for op_id, line in each if op_id not in known and redacted_in(line) == said.get(op_id)]
        return Batch.of_lines(stays, MAX_LINE_BYTES)

    def _secure_known(self, known: _Known) -> None:
        """Make durable what was there already, whoever wrote it, if this writer has to before it acknowledges it."""
        if not self._sync_each:
            return
        lost = [(at, line) for at, line in known.values() if self._log.may_be_lost(at)]
        if lost:
            # In front a newline, as the last line may be torn. It counts as a repeated line when it is caught up with.
            self._append(b"\n" + b"".join([line for _, line in lost]))
        if lost or not self._log.is_synced(max(at for at, _ in known.values())):
            self.sync()
        if lost:
            self._log.note_written_again([at for at, _ in lost])

    def _read_known(self, op_ids: Collection[bytes]) -> _Known:
        """The lines of the entries with these op_ids, as far as the log still has them as they were indexed.

        What it has no longer, the index does not know any longer either: it is made anew.
        """
        return self._catch_up.with_index(partial(self._lines_of, op_ids))

    def _lines_of(self, op_ids: Collection[bytes], index: Index) -> _Known:
        there = index.offsets_of(op_ids)
        ordered = sorted(there, key=there.__getitem__)
        placed = read_placed_lines(self._log, places_at(index, [there[op_id] for op_id in ordered]))
        found: _Known = {}
        end_before = 0
        for op_id, (at, end, line) in zip(ordered, placed, strict=True):
            # A damaged newline joins a line to the one before: then it is no line by itself any more.
            if at != end_before and self._log.read(at - 1, at) != b"\n":
                raise StaleLocationError(f"no line begins at byte {at} any more: run verify")
            found[op_id] = at, line
            end_before = end
        return found


def _conflict(op_id: bytes, where: str) -> OpIdConflictError:
    return OpIdConflictError(
        f"op_id: {uuid.UUID(bytes=op_id)} is there already, {where}, with other content: an operation never changes; "
        "give the new one its own op_id"
    )
