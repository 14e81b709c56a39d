"""Redaction: the one sanctioned change below the end of the log. It gets a secret out, and changes nothing else.

The `domain_op` of an operation is overwritten by a marker of the same length, in every line that has its op_id, also in
those that repeat it. What is left of it in damaged lines and in a torn tail is overwritten too. Offsets, order, op_ids,
links and cuts stay. These are the steps, under the lock on the log that keeps checkpoints and other redactions away:

1. The lines are found, and the digest is computed that the log below the checkpoint has afterwards.
2. redacting.json: what is to stand where, and who wants it and why. From here on it will be done, whoever dies.
3. The bytes are overwritten, and synced.
4. checkpoint.json gets its new digest, if the old one was right. accepted.json names the lines as they are now.
5. The index is made anew. Evidence of what stood there is not carried over: a line that holds a marker is not lost.
6. redacted.json: who, when and why. This is what tells others that something has changed.
7. redacting.json is removed.

Steps 3 to 7 can be done again at any time. A process that opens an index, makes a checkpoint or verifies finishes them
if it finds redacting.json and nobody at work. Appends go on meanwhile; a copy that has arrived in between is found in
another round. A reader that meets a line while it is overwritten, or an older index, sees that its checksum is not the
expected one, finds that something was redacted, and tries again with another index (index/catch_up).
"""

from __future__ import annotations

import logging
import re
import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from typing import Any

from muse.core.checkpoint.covered import remember_record
from muse.core.checkpoint.record import EMPTY_DIGEST, OpLogCheckpoint, chain_digest, read_record, write_record
from muse.core.entry.codec import checksum
from muse.core.entry.marker import MAX_TEXT, Redaction, marker, rank, redacted_in, span_of_operation
from muse.core.entry.model import op_id_bytes, parse_op_id
from muse.core.entry.validation import check_name
from muse.core.errors import CheckpointError, InvalidArgumentError, LogReplacedError, UnknownOpError
from muse.core.index.file import INDEX_FAULTS
from muse.core.index.rebuild import replace_index
from muse.core.maintenance.repair import MOST_BYTES_WITHIN, entries_within
from muse.core.storage import durable
from muse.core.storage.accepted import forget_changed
from muse.core.storage.locks import exclusive_lock
from muse.core.storage.log_file import LogFile
from muse.core.storage.redactions import BLANK, Change, Journal, add_redacted, read_journal
from muse.core.storage.scanner import scan
from muse.core.storage.session_dir import CHECKPOINT_NAME, INDEX_NAME, REDACTING_NAME

_log = logging.getLogger(__name__)

_WAIT_SECONDS = 8.0
_INDEX_WAIT_SECONDS = 5.0
_TAIL_WAIT_SECONDS = 0.02
_AT_ONCE = 1000
"""How many lines are overwritten at once, so that the journal does not get too large."""
_OP_ID_BYTES = 36

# They may overlap: in a damaged line half an op_id can stand in front of one.
_op_ids = re.compile(rb"(?=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))")
# And another entry may follow right after half a list.
_parents = re.compile(rb'"parent_op_ids"\s*:\s*\[[\s",0-9a-f-]*')


@dataclass(frozen=True)
class RedactReport:
    """What a redaction did."""

    redacted: tuple[str, ...]
    """The op_ids of which something was overwritten."""
    already: tuple[str, ...]
    """Those that were redacted before, or had nothing in them: nothing was done."""
    lines: int
    """How many lines of the log were overwritten; more than there are operations if some were there twice."""
    by: str
    """Who has redacted them."""
    at: str
    """When, ISO 8601."""
    why: str
    """Why."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return asdict(self)


def redact_by(log: LogFile, session_id: str, op_ids: Sequence[str], by: str, why: str) -> RedactReport:
    """Redact operations in somebody's name; see `OpLog.redact`."""
    for name, text in (("by", by), ("why", why)):
        check_name(name, text)
        if not 0 < len(text) <= MAX_TEXT:
            raise InvalidArgumentError(f"{name}: must have 1 to {MAX_TEXT} characters, not {len(text)}")
    if unknown := [op_id for op_id in op_ids if parse_op_id(op_id) is None or not log.size()]:
        raise UnknownOpError(f"{log.path}: has no operation {unknown[0]!r}: nothing was redacted")
    said = Redaction(by, datetime.now(UTC).isoformat(timespec="seconds"), why)
    wanted = dict.fromkeys(op_ids, said)
    done, lines = redact(log, session_id, wanted) if wanted else (set(), 0)
    redacted, already = (tuple(op_id for op_id in wanted if (op_id in done) is is_done) for is_done in (True, False))
    return RedactReport(redacted, already, lines, *said)


def redact(log: LogFile, session_id: str, wanted: Mapping[str, Redaction]) -> tuple[set[str], int]:
    """Redact operations; when this returns it survives power loss.

    Args:
        log: the log; the handle's index is closed.
        session_id: its session.
        wanted: who redacts, when and why, by op_id. Of an operation that was redacted before the earlier stays.

    Returns:
        (the op_ids of which something was overwritten, how many lines were).

    Raises:
        UnknownOpError: the log has none of one of them; nothing was done.
        LockTimeoutError: another process makes a checkpoint or redacts, and does not end.
        OSError, sqlite3.Error: it could not be finished; the next process to open the session goes on with it.
    """
    finder = _Finder(log, wanted)
    done: set[str] = set()
    lines = 0
    before: list[tuple[set[str], Change]] = []
    with exclusive_lock(log.path, _WAIT_SECONDS):
        finish(log, session_id)
        # Not before: a line that another process is just overwriting would be taken for a damaged one.
        finder.find()
        if unknown := sorted(wanted.keys() - finder.found):
            raise UnknownOpError(f"{log.path}: has no operation {unknown[0]}: nothing was redacted")
        while changes := list(islice(finder.changes(), _AT_ONCE)):
            if changes == before:
                raise LogReplacedError(f"{log.path}: its lines change while they are redacted: run verify")
            before = changes
            named = set[str]().union(*(op_ids for op_ids, _ in changes))
            said = {op_id: finder.said[op_id] for op_id in wanted if op_id in named}
            each = tuple(change for _, change in changes)
            Journal(said, each, _checkpoint_after(log, session_id, each)).write(log.path.parent)
            finish(log, session_id)
            done |= named
            lines += len(changes)
            finder.find()
    return done, lines


def finish(log: LogFile, session_id: str) -> None:
    """Do what redacting.json says, if it is there; the log's lock is held.

    Raises:
        OSError, sqlite3.Error: it could not be done, or not all of it; the next one does it again.
    """
    folder = log.path.parent
    if (journal := read_journal(folder)) is None:
        return
    log.size()
    changes = [change for change in journal.changes if change.fits(log)]
    durable.overwrite(log.path, chain.from_iterable(change.pieces() for change in changes))
    if gone := set(journal.changes).difference(changes):
        _log.warning("%s: lines that were to be redacted are not there any more: redact again, and verify", log.path)
    # What lay above it may have been lost with the power.
    if journal.checkpoint and not any(change.line < journal.checkpoint[0] for change in gone):
        _renew_digest(log, session_id, *journal.checkpoint)
    forget_changed(folder, journal.redactions, dict(_known_as(log, change) for change in changes))
    try:
        replace_index(log, partial(remember_record, log, session_id), _INDEX_WAIT_SECONDS)
    except (*INDEX_FAULTS, OSError) as error:
        if (folder / INDEX_NAME).is_file():
            raise
        _log.warning("%s: has no index, and none could be made (%s)", log.path, error)
    add_redacted(folder, journal.redactions)
    durable.remove_file(folder / REDACTING_NAME)


def _known_as(log: LogFile, change: Change) -> tuple[str, str]:
    """By what accepted.json knows a line, without its checksum and with it."""
    place = f"{change.line}+{change.length}:"
    return place, f"{place}{checksum(log.read(change.line, change.line + change.length)):08x}"


# -- the checkpoint -------------------------------------------------------------------------------------------


def _checkpoint_after(log: LogFile, session_id: str, changes: Sequence[Change]) -> tuple[int, str] | None:
    """Up to where checkpoint.json covers the log, and the digest it is to have; None if it is to stay as it is."""
    record = _record(log, session_id)
    first = min(change.line for change in changes)
    if record is None or "log_digest" not in record or record["byte_offset"] <= first:
        return None
    end, before = record["byte_offset"], chain_digest(log, 0, first, EMPTY_DIGEST)
    # What differs already is damage, and stays so.
    if chain_digest(log, first, end, before) != record["log_digest"]:
        return None
    return end, chain_digest(_Changed(log, changes), first, end, before)


class _Changed:
    """The bytes of a log as they will be."""

    def __init__(self, log: LogFile, changes: Sequence[Change]) -> None:
        self._log = log
        self._changes = sorted(changes, key=lambda change: change.line)
        self._ends = [change.line + change.length for change in self._changes]

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop)."""
        found = bytearray(self._log.read(start, stop))
        for change in self._changes[bisect_right(self._ends, start) :]:
            if change.line >= stop:
                break
            for at, data in change.pieces():
                if (low := max(at, start)) < (high := min(at + len(data), stop)):
                    found[low - start : high - start] = data[low - at : high - at]
        return bytes(found)


def _renew_digest(log: LogFile, session_id: str, end: int, digest: str) -> None:
    record = _record(log, session_id)
    if record is not None and record.get("byte_offset") == end and record.get("log_digest") != digest:
        write_record(log.path.with_name(CHECKPOINT_NAME), {**record, "log_digest": digest})


def _record(log: LogFile, session_id: str) -> OpLogCheckpoint | None:
    """What checkpoint.json says; None if it can't be used."""
    with suppress(CheckpointError):
        return read_record(log.path.with_name(CHECKPOINT_NAME), session_id)
    return None


# -- where it is ----------------------------------------------------------------------------------------------


class _Finder:
    """Finds what a log holds of some operations, and what is to be overwritten of it."""

    def __init__(self, log: LogFile, wanted: Mapping[str, Redaction]) -> None:
        self._log = log
        self._by_bytes = {op_id_bytes(op_id): op_id for op_id in wanted}
        self._at = 0
        self._entries: dict[tuple[int, int], str] = {}
        self._damaged: dict[tuple[int, int], set[str]] = {}
        self.said = dict(wanted)
        """What is to be said of each: that of the earliest redaction."""

    @property
    def found(self) -> set[str]:
        """Of which operations there is something."""
        return set(self._entries.values()).union(*self._damaged.values())

    def find(self) -> None:
        """Look at what has arrived since. A line that nobody has ended is ended, as the next append would."""
        if self._look():
            time.sleep(_TAIL_WAIT_SECONDS)
            if self._look():
                # If its writer is alive after all, this waits for him: bytes that he acknowledges are not overwritten.
                self._log.append(b"\n")
                self._look()

    def _look(self) -> bool:
        """Look at the lines that have arrived since; whether another one follows that is not ended yet."""
        size = self._log.size()
        for lines in scan(self._log, self._at, size):
            self._at = lines.end
            for number, op_id in enumerate(lines.op_ids):
                if op_id in self._by_bytes:
                    self._note_entry(lines.offsets[number], lines.length(number), self._by_bytes[op_id])
            for at, (kind, _) in lines.problems.items():
                if kind == "damaged":
                    self._look_into(at, lines.length(lines.number_at(at)))
        return self._at < size

    def _note_entry(self, at: int, length: int, op_id: str) -> None:
        self._entries[at, length] = op_id
        if (before := redacted_in(self._log.read(at, at + length))) is not None:
            self.said[op_id] = min(before, self.said[op_id], key=rank)

    def _look_into(self, at: int, length: int) -> None:
        """Note which of the operations a damaged line names, not only as parents."""
        named: set[str] = set()
        for start in range(at, at + length, MOST_BYTES_WITHIN):
            data = self._log.read(start, min(start + MOST_BYTES_WITHIN + _OP_ID_BYTES, at + length))
            named.update(found.decode() for found in _op_ids.findall(_parents.sub(b"", data)))
        if named := named & self.said.keys():
            self._damaged[at, length] = named

    def changes(self) -> Iterator[tuple[set[str], Change]]:
        """What is still to be overwritten, line by line, each with the op_ids that it is of."""
        for (at, length), op_id in self._entries.items():
            line = self._log.read(at, at + length)
            start, end = span_of_operation(line)
            data = marker(self.said[op_id], end - start)
            if data != line[start:end]:
                yield {op_id}, Change.of(line, at, [(start, end)], data)
        for (at, length), named in self._damaged.items():
            line = self._log.read(at, at + length)
            if spans := list(_to_blank(line, named)):
                yield named, Change.of(line, at, spans)


def _to_blank(line: bytes, named: set[str]) -> Iterator[tuple[int, int]]:
    """Where a damaged line holds something else than whole entries of other operations."""
    end = len(line) - 1
    within = entries_within(line) if len(line) <= MOST_BYTES_WITHIN else ()
    stays = [(at, at + len(body) - 1) for at, entry, body in within if entry["op_id"] not in named]
    begin = 0
    for start, stop in [*stays, (end, end)]:
        if line[begin:start].strip(BLANK):
            yield begin, start
        begin = stop
