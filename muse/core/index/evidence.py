"""Evidence: whether an index is this log's, and what it has seen that a rebuild from the log alone would forget.

That is the last checkpoint, and each entry whose line is not in its place any more as it was when it was indexed. It is
never an answer, but it tells what is lost, and how much of what was committed has moved.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from muse.core.entry.codec import checksum
from muse.core.entry.filter import END
from muse.core.entry.marker import redacted_in
from muse.core.entry.model import op_id_bytes
from muse.core.errors import LockTimeoutError
from muse.core.index.blocks.segment import DamagedIndexError, location, row_checksum
from muse.core.index.file import INDEX_FAULTS, LIES, Database, open_database
from muse.core.index.guard import connect_guarded, has_our_schema, is_refused
from muse.core.index.query import Unit, unit_at, units_between
from muse.core.index.store import Index
from muse.core.storage.lines import Lines, Location
from muse.core.storage.locks import writer_to
from muse.core.storage.log_file import LogFile
from muse.core.storage.redactions import read_journal

_log = logging.getLogger(__name__)

_FEW = 1000
"""So many entries are looked up in some milliseconds."""

_REPLACED = "replaced"
"""A key that is added to a record: see `SeenCheckpoint`."""


class HeldEntry(NamedTuple):
    """An entry that the index knew, as its line was then."""

    byte_offset: int
    length: int
    """Bytes, newline included."""
    checksum: int
    """CRC-32 of the line, newline included."""
    lamport_ts: int
    op_id: str
    actor_id: str
    domain: str


class SeenCheckpoint(NamedTuple):
    """The last checkpoint that was made or read."""

    byte_offset: int
    """Up to where it covers the log."""
    record: dict[str, Any]
    replaced: int
    """How many entries were lost by then, and had others in their places: if they are more, some were lost since."""


def checkpoint_seen(connection: sqlite3.Connection) -> SeenCheckpoint | None:
    """The last checkpoint that was made or read."""
    found = connection.execute("SELECT byte_offset, record, row_checksum FROM seen_checkpoint").fetchone()
    if found is None:
        return None
    byte_offset, text, checksum = found
    if row_checksum((byte_offset, text)) != checksum:
        raise DamagedIndexError("what it has seen of a checkpoint is altered")
    record = orjson.loads(text)
    return SeenCheckpoint(byte_offset, record, record.pop(_REPLACED, 0))


def checkpoint_seen_on_disk(log: LogFile) -> SeenCheckpoint | None:
    """The same of the index beside the log, for one in memory that serves in its place; None if it can't be read."""
    with suppress(*INDEX_FAULTS, *LIES, OSError, LockTimeoutError):
        if (database := open_database(log.path.parent)) is not None:
            with closing(database):
                if is_of_session(Index(database), log):
                    return checkpoint_seen(database.connection)
    return None


def record_checkpoint(
    connection: sqlite3.Connection, byte_offset: int, record: Mapping[str, Any], replaced: int = 0
) -> None:
    """Remember a checkpoint's record, so that its file can't vanish unnoticed, and can be made again."""
    text = orjson.dumps({**record, _REPLACED: replaced} if replaced else record).decode()
    connection.execute(
        "INSERT OR REPLACE INTO seen_checkpoint VALUES (1, ?, ?, ?)",
        (byte_offset, text, row_checksum((byte_offset, text))),
    )


def note_checkpoint(
    log: LogFile, byte_offset: int, record: Mapping[str, Any], index: Index, *, replaces: bool, wait_ms: int
) -> None:
    """Remember a checkpoint that was made or read, if the index has seen no further one, or one that it `replaces`."""
    seen = checkpoint_seen(index.connection)
    # Of two at one cut the time tells: the other may have been read before this one was made.
    is_newer = seen is None or (seen.byte_offset, seen.record["created_at"]) < (byte_offset, record["created_at"])
    if is_newer or (replaces and seen is not None and seen.record != record):
        # Of many it would take too long each time; then only the digest tells that a record fits.
        replaced = replaced_below(index, log, byte_offset) if holds_few(index, byte_offset) else 0
        index.database.wait_up_to(wait_ms)
        try:
            record_checkpoint(index.connection, byte_offset, record, replaced)
        except sqlite3.OperationalError as error:  # it may only be read, or is busy, and serves as before
            _log.info("%s: the index could not note the checkpoint (%s)", index.database.path, error)


class Frozen(ExitStack):
    """What is closed when the block ends or, if a signal handler raises just before that, when this is dropped."""

    def __del__(self) -> None:
        self.close()


def inherit(new: Index, path: Path, log: LogFile, wait_ms: int, frozen: Frozen) -> None:
    """Take over what the index at `path` has seen, as far as it can be read; nothing that is wrong with it is raised.

    Args:
        new: the index that takes its place, filled from the log.
        path: a database that no other connection of this process has open.
        log: the log of the new one.
        wait_ms: how long to wait while another connection writes.
        frozen: until it is closed nobody writes to the old one: what it saw after this would be forgotten.

    Raises:
        LockTimeoutError: another connection is writing to it, for longer than `wait_ms`.
    """
    try:
        try:
            _inherit(new, path, log, wait_ms, frozen)
        except sqlite3.DatabaseError as error:
            if not is_refused(error):
                raise
            # A signal handler may have raised while SQLite asked what it may do, which SQLite takes for a no.
            # The second try must not wait for what the first one holds.
            frozen.close()
            _inherit(new, path, log, wait_ms, frozen)
    except (*INDEX_FAULTS, *LIES) as error:
        _log.warning("%s: what this index had seen could not be carried over, or not all of it (%s)", path, error)


def _inherit(new: Index, path: Path, log: LogFile, wait_ms: int, frozen: Frozen) -> None:
    connection = connect_guarded(path)
    # Not a close of ours, which could be interrupted half-way, and leave the folder locked.
    frozen.callback(connection.close)
    database = Database(connection, None)
    database.wait_up_to(wait_ms)
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        # One that can't be written to can still be read. But what somebody is writing would be forgotten.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise LockTimeoutError(
                f"{path}: {writer_to(path)} writes to it; waited {wait_ms / 1000:.1f} seconds: let it go on, or end it"
            ) from None
    if not has_our_schema(connection):
        raise DamagedIndexError("it is of another version")
    # Before the index as a whole: what is not evidence may be damaged.
    if database.session == log.path.parent.name:
        _inherit_tables(new, connection, log)
    if is_of_session(old := Index(database), log):
        _inherit_tables(new, connection, log)
        record_held(new.connection, without_secrets(missing_entries(old, new), new, log))


def _inherit_tables(new: Index, old: sqlite3.Connection, log: LogFile) -> None:
    inherit_checkpoint(new.connection, old)
    record_held(new.connection, without_secrets(held_entries(old), new, log))


def is_of_session(index: Index, log: LogFile) -> bool:
    """Whether an index is of the session whose log this is: made for it or, if its folder was renamed, of this log.

    Else it was copied from another session, and what it has seen says nothing about this one.
    """
    return index.database.session == log.path.parent.name or fits(index, log)


def inherit_checkpoint(new: sqlite3.Connection, old: sqlite3.Connection) -> None:
    """Take over the checkpoint that `old` has seen."""
    seen, known = checkpoint_seen(old), checkpoint_seen(new)
    if seen is not None and (known is None or known.byte_offset < seen.byte_offset):
        record_checkpoint(new, *seen)


def record_held(connection: sqlite3.Connection, entries: Iterable[HeldEntry]) -> None:
    """Remember entries that the log no longer has in their places as they were."""
    connection.executemany(
        "INSERT OR IGNORE INTO held_entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((*entry, row_checksum(tuple(entry))) for entry in entries),
    )


def held_entries(connection: sqlite3.Connection, stop: int = END) -> Iterator[HeldEntry]:
    """What `record_held` has remembered of entries that began before byte `stop`, by byte offset.

    Some of it may be back in the log by now.
    """
    before = (-1, 0, 0)
    asked = "SELECT * FROM held_entry WHERE byte_offset < ? ORDER BY byte_offset, length, checksum"
    for *row, found in connection.execute(asked, (stop,)):
        # In their order, or pages come again and again.
        if row_checksum(row) != found or (key := tuple(row[:3])) <= before:
            raise DamagedIndexError("what it has seen of lost entries is altered")
        before = key
        yield HeldEntry(*row)


def missing_entries(old: Index, new: Index) -> Iterator[HeldEntry]:
    """The entries of `old` that are not where they were in `new`, filled from the log."""
    for unit in units_between(old, 0, old.end):
        there, here = _spans_of(unit), _spans(new, unit.start, unit.end)
        # Mostly nothing is missing, and lists are compared quickly.
        if there != here:
            lines = unit if isinstance(unit, Lines) else unit.lines()
            known = set(here)
            for number, op_id in enumerate(lines.op_ids):
                if op_id and there[number] not in known:
                    yield _held(lines, number)


def without_secrets(entries: Iterable[HeldEntry], new: Index, log: LogFile) -> Iterator[HeldEntry]:
    """The same, without the checksum of what was redacted since: it would tell a short secret.

    One whose line was overwritten in its place is not gone. Of one that is elsewhere by now the place is remembered.
    What is being redacted, and is in damaged lines alone, has no checksum from now on.
    """
    journal = read_journal(log.path.parent)
    for entry, place in placed(new, entries):
        if place is None:
            yield entry._replace(checksum=0) if journal and entry.op_id in journal.redactions else entry
        elif not is_redacted(log, place):
            yield entry
        elif place.byte_offset != entry.byte_offset:
            yield entry._replace(length=place.length, checksum=place.checksum)


def is_redacted(log: LogFile, place: Location) -> bool:
    """Whether the line at a place holds the marker of a redaction."""
    line = log.read(place.byte_offset, place.end)
    return checksum(line) == place.checksum and redacted_in(line) is not None


def is_as_it_was(entry: HeldEntry, place: Location | None) -> bool:
    """Whether what lies at the place where the log has the operation now is the very line that it was."""
    return place is not None and (place.length, place.checksum) == (entry.length, entry.checksum)


def placed(index: Index, entries: Iterable[HeldEntry]) -> Iterator[tuple[HeldEntry, Location | None]]:
    """Each entry, and where the log has its operation now. What only moved, and its neighbours too, is soon found."""
    unit: Unit = Lines(0)
    number = 0
    for entry in entries:
        op_id = op_id_bytes(entry.op_id)
        if number < len(unit) and unit.op_id(number) == op_id:
            place: Location | None = location(unit, number)
        elif (place := index.location_of(op_id)) is not None:
            unit = unit_at(index, place.byte_offset)
            number = unit.number_at(place.byte_offset)
        yield entry, place
        number += place is not None


def holds_few(index: Index, stop: int) -> bool:
    """Whether what is remembered of entries that began before byte `stop` is soon gone through."""
    return next(islice(held_entries(index.connection, stop), _FEW, None), None) is None


def replaced_below(index: Index, log: LogFile, end: int) -> int:
    """How many entries are gone from below byte `end`, and another one lies where they were, wherever that was."""
    replaced: set[str] = set()
    damaged: set[str] = set()
    for entry, place in placed(index, held_entries(index.connection, end)):
        if place is None or place.byte_offset >= end:
            (replaced if _has_another(index, log, entry) else damaged).add(entry.op_id)
    return len(replaced - damaged)


def altered_below(index: Index, log: LogFile, end: int) -> int:
    """How many entries below byte `end` are others with an altered op_id, while the others lie below it once more."""
    altered = 0
    for entry, place in placed(index, held_entries(index.connection, end)):
        if place is not None and place.byte_offset < end:
            there = _op_ids_over(index, entry)
            altered += bool(there) and there != [entry.op_id] and not _has_another(index, log, entry)
    return altered


def _has_another(index: Index, log: LogFile, held: HeldEntry) -> bool:
    """Whether an entry lies where this one was, and is not this one with another op_id."""
    line = log.read(held.byte_offset, held.byte_offset + held.length)
    return any(
        checksum(line.replace(op_id.encode(), held.op_id.encode(), 1)) != held.checksum
        for op_id in _op_ids_over(index, held)
    )


def _op_ids_over(index: Index, held: HeldEntry) -> list[str]:
    """The op_ids of the entries that lie now where this one was, or in a part of that."""
    start, stop = held.byte_offset, held.byte_offset + held.length
    found: list[str] = []
    for unit in units_between(index, start, stop):
        first = max(unit.number_at(start + 1) - 1, 0) if start < unit.end else len(unit)
        op_ids = [unit.op_id(number) for number in range(first, unit.number_at(stop))]
        found += [str(uuid.UUID(bytes=op_id)) for op_id in op_ids if any(op_id)]
    return found


def _held(lines: Lines, number: int) -> HeldEntry:
    return HeldEntry(
        lines.offsets[number],
        lines.length(number),
        lines.checksums[number],
        lines.lamport_ts[number],
        str(uuid.UUID(bytes=lines.op_ids[number])),
        lines.actor[number],
        lines.domain[number],
    )


_Span = tuple[int, int, int]
"""Where a line begins and ends, and its checksum."""


def _spans_of(unit: Unit) -> list[_Span]:
    starts = [unit.first_offset + at for at in unit.offsets]
    return list(zip(starts, [*starts[1:], unit.end], unit.checksums, strict=True)) if starts else []


def _spans(index: Index, start: int, stop: int) -> list[_Span]:
    """The lines of an index that begin at the bytes [start, stop)."""
    spans: list[_Span] = []
    for unit in units_between(index, start, stop):
        low, high = unit.number_at(start), unit.number_at(stop)
        spans += _spans_of(unit)[low:high]
    return spans


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
                "index will be rebuilt from the log: run verify",
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
