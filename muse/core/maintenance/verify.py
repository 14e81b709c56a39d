"""The full check of a session: every line, the index against the log, the checkpoint against both.

The log is read once from end to end. A fresh index is made from it in an unnamed file; it answers
what a check of causality and of duplicates must ask, and the session's own index is held against it
line by line. Nothing in the session is changed, and memory stays constant whatever the log's size.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress

from muse.core.checkpoint.covered import end_of_covered
from muse.core.checkpoint.record import EMPTY_DIGEST, OpLogCheckpoint, chain_digest, read_record
from muse.core.entry.codec import checksum, decode_line, same_operation
from muse.core.entry.filter import END, Filter
from muse.core.entry.marker import Redaction, may_hold_marker, redaction_of, stands_for
from muse.core.entry.marker import is_redacted as has_marker
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.errors import CheckpointError, DamagedAcceptanceError
from muse.core.history.contradictions import contradictions
from muse.core.index.evidence import (
    HeldEntry,
    SeenCheckpoint,
    checkpoint_seen,
    held_entries,
    inherit_checkpoint,
    is_as_it_was,
    is_of_session,
    is_redacted,
    missing_entries,
    placed,
    record_held,
)
from muse.core.index.file import INDEX_FAULTS, LIES, Database, new_temporary, open_database
from muse.core.index.query import count, find_page, highest_lamport_ts, last_op_id, units_between
from muse.core.index.rebuild import Progress, fill
from muse.core.index.store import Index
from muse.core.maintenance.findings import Findings, LostOperation, VerifyReport
from muse.core.maintenance.index_check import check_keys_and_summaries, link_alike, rows_between
from muse.core.maintenance.repair import MOST_BYTES_WITHIN, entries_within
from muse.core.options import MAX_LINE_BYTES
from muse.core.paging import WHOLE_PAGE
from muse.core.storage.accepted import read_accepted
from muse.core.storage.lines import Location
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import StaleLocationError, read_entries, read_lines, read_placed_lines
from muse.core.storage.redactions import BLANK, redacted_here, redacted_since, state_of
from muse.core.storage.session_dir import CHECKPOINT_NAME, INDEX_NAME

_ATTEMPTS = 4
_TAIL_WAIT_SECONDS = 0.2
_INDEX_WAIT_SECONDS = 3.0
"""Longer than whoever only reads: without the index nobody can tell what is lost."""


def verify(
    log: LogFile,
    session_id: str,
    finish_redaction: Callable[[], None],
    progress: Progress | None = None,
    max_findings: int | None = 1000,
) -> VerifyReport:
    """Check the session whose log this is; see `OpLog.verify`. A redaction that was cut off is finished first."""
    for _ in range(_ATTEMPTS - 1):
        finish_redaction()
        before = state_of(log.path.parent)
        check = _Check(log, session_id, max_findings)
        # A line may be altered between two looks at it, an index be replaced by a new one, an operation be redacted.
        with suppress(StaleLocationError):
            report = check.run(progress)
            if not check.is_index_replaced and not redacted_since(log.path.parent, before):
                return report
    finish_redaction()
    return _Check(log, session_id, max_findings).run(progress)


class _Check:
    """One run over one session; collects findings as it goes."""

    def __init__(self, log: LogFile, session_id: str, max_findings: int | None) -> None:
        self.log = log
        self.session_id = session_id
        self.folder = log.path.parent
        self.checkpoint: OpLogCheckpoint | None = None
        self.lines: Counter[str] = Counter()
        """Lines of each kind: "entry", or what is wrong with them."""
        try:
            accepted, problem = read_accepted(self.folder), None
        except (DamagedAcceptanceError, OSError) as error:
            accepted, problem = {}, str(error)
        self.redacted = redacted_here(self.folder)
        self.findings = Findings(max_findings, accepted)
        self._found = self.findings.add
        if problem is not None:
            self._found("accepted-damaged", None, None, problem)
        self.lost: list[HeldEntry] = []
        """What is gone or altered, by byte offset."""
        self.returned: dict[int, int] = {}
        """By the byte offset where an entry was: where the same line is now."""
        self.is_index_replaced = False
        """Whether the session's index could not be read to the end, because there is another in its place by now."""
        self.first_change = END
        """Where the first line was that is not what it was when it was indexed."""

    def run(self, progress: Progress | None) -> VerifyReport:
        # Before the log is measured: the log then holds all that the index knows and a sound record can cover.
        database = self._open_own()
        # No ExitStack: its frames would keep an interrupt, and what that keeps, until garbage is collected.
        with nullcontext() if database is None else closing(database):
            own = None if database is None else self._read_own(database)
            with self._checkpoint_errors():
                self.checkpoint = self._read_record()
            size, end = self.log.size(), 0
            if size == 0 and own is None:
                self._check_checkpoint(None)
            else:
                end = self._check_all(own, progress)
        if size > end and (torn := self._torn_bytes(size, end)) and not self._is_lost(end, torn):
            self._found("torn-tail", end, torn, "the last line has no newline: its writer died")
        return VerifyReport(
            session_id=self.session_id,
            log_path=str(self.log.path),
            size_bytes=size,
            lines=self.lines.total(),
            entries=self.lines["entry"],
            blank_lines=self.lines["blank"],
            findings=tuple(self.findings.listed()),
            counts=dict(self.findings.counts),
            pending_tail_bytes=max(size - end, 0),
            checkpoint=self.checkpoint,
            damaged=self.findings.damaged,
        )

    def _check_all(self, own: Index | None, progress: Progress | None) -> int:
        """Check what there is; the byte offset after the last line."""
        temporary = new_temporary()
        with closing(temporary.connection):
            fresh = fill(temporary, self.log, progress=progress)
            if own is not None:
                self._check_index(own, fresh)
            self._check_lines(fresh)
            for contradiction in contradictions(fresh):
                self._found(*contradiction)
            self._check_redactions(fresh)
            self._check_checkpoint(fresh)
            return fresh.end

    def _torn_bytes(self, size: int, end: int) -> int:
        """Length of the unfinished last line; 0 if its writer turns out to be alive."""
        deadline = time.monotonic() + _TAIL_WAIT_SECONDS
        while time.monotonic() < deadline:
            # One write(2) takes a line; it can be seen half done only while that call lasts.
            if b"\n" in self.log.read(size, size + MAX_LINE_BYTES):
                return 0
            time.sleep(_TAIL_WAIT_SECONDS / 10)
        return self.log.size() - end

    def _is_lost(self, at: int, length: int) -> bool:
        """Whether what is lost was at this place, so that it has its finding already."""
        after = bisect_left(self.lost, at + length, key=lambda entry: entry.byte_offset)
        return after > 0 and self.lost[after - 1].byte_offset + self.lost[after - 1].length > at

    # -- the log ------------------------------------------------------------------------------------

    def _check_lines(self, fresh: Index) -> None:
        for unit in units_between(fresh, 0, END):
            self.lines["entry"] += len(unit) - len(unit.problems)
            for at, (kind, reason) in unit.problems.items():
                self.lines[kind] += 1
                number = unit.number_at(at)
                length = unit.length(number)
                if kind == "damaged" and not self._is_lost(at, length):
                    back = self.returned.get(at)
                    is_back = back is not None or self._is_all_there(fresh, at, length)
                    what = f"{reason}; what it held is elsewhere in the log again" if is_back else reason
                    member = f"{at}+{length}:{unit.checksums[number]:08x}"
                    self._found("damaged-line", at, length, what, member=member, is_harmless=is_back)
                    if back is not None:
                        self.first_change = min(self.first_change, at)
                elif kind == "duplicate":
                    self._check_duplicate(fresh, at, length, reason)

    def _is_all_there(self, fresh: Index, at: int, length: int) -> bool:
        """Whether a damaged line is nothing but entries glued together, and the log has each of them elsewhere.

        What a redaction has blanked is nothing.
        """
        if length > MOST_BYTES_WITHIN:
            return False
        data = self.log.read(at, at + length).rstrip(b"\n")
        held = [(fresh.location_of(op_id_bytes(entry["op_id"])), line) for _, entry, line in entries_within(data)]
        rest = data
        for _, line in held:
            rest = rest.replace(line[:-1], b"", 1)
        return not rest.strip(BLANK) and all(
            place and stands_for(read_lines(self.log, [place])[0], line) for place, line in held
        )

    def _check_duplicate(self, fresh: Index, at: int, length: int, reason: str) -> None:
        line = self.log.read(at, at + length)
        entry = decode_line(line)
        first = fresh.location_of(op_id_bytes(entry["op_id"])) if entry else None
        there = None if first is None else decode_line(read_lines(self.log, [first])[0])
        # Two processes that were given one message have recorded it at two times: the same operation.
        if entry and there and (same_operation(entry, there) or all(map(self._redaction_of, (entry, there)))):
            self._found("duplicate", at, length, reason)
        else:
            member = f"{at}+{length}:{checksum(line):08x}"
            self._found("conflicting-duplicate", at, length, f"{reason}, with other content", member=member)

    def _check_redactions(self, fresh: Index) -> None:
        # By its bytes alone a short operation that was redacted can't be told from an empty one.
        known = set(fresh.offsets_of(self.redacted.keys()).values())
        start: int | None = 0
        while start is not None:
            places, start = find_page(fresh, Filter(start=start), *WHOLE_PAGE)
            for at, end, line in read_placed_lines(self.log, places):
                if at in known or may_hold_marker(line):
                    entry = decode_line(line)
                    if entry and (said := self._redaction_of(entry)) is not None:
                        by = f"by {said.by or '?'}, {said.at or '?'}: {said.why or '?'}"
                        self._found("redacted", at, end - at, f"{entry['op_id']} was redacted {by}")

    def _redaction_of(self, entry: OpEntry) -> Redaction | None:
        """Who has redacted an entry, when and why; of a short operation only redacted.json tells."""
        said = self.redacted.get(op_id_bytes(entry["op_id"]))
        return (said or redaction_of(entry["domain_op"])) if has_marker(entry) else None

    # -- the session's own index ----------------------------------------------------------------------

    def _open_own(self) -> Database | None:
        """The session's index, if there is one that can be opened."""
        try:
            database = open_database(self.folder, _INDEX_WAIT_SECONDS)
            if database is None and (self.folder / INDEX_NAME).exists():
                self._found("index-differs", None, None, "it is not a usable index of this version")
        except FileNotFoundError:
            return None
        except (*INDEX_FAULTS, *LIES, OSError) as error:
            self._found("index-differs", None, None, f"it can't be opened: {error}")
            return None
        return database

    def _read_own(self, database: Database) -> Index | None:
        try:
            return Index(database)
        except (*INDEX_FAULTS, *LIES, OSError) as error:
            self._found("index-differs", None, None, f"it can't be read: {error}")
            return None

    def _check_index(self, own: Index, fresh: Index) -> None:
        """Hold the session's index against the fresh one, line by line, and list what only it knows of."""
        try:
            if not is_of_session(own, self.log):
                self._found("index-differs", None, None, f"it was made for the session in {own.database.session!r}")
                return
            # Of a checkpoint that has vanished only the session's own index can know.
            inherit_checkpoint(fresh.connection, own.connection)
            self._check_what_was_held(own, fresh)
            for (problem,) in own.connection.execute("PRAGMA integrity_check(10)").fetchall():
                if problem != "ok":
                    self._found("index-differs", None, None, f"SQLite finds it damaged: {problem}")
            with own.database.snapshot():
                # Of one moment: others go on merging runs.
                check_keys_and_summaries(Index(own.database))
            self._compare(own, fresh)
        except (*INDEX_FAULTS, *LIES) as error:
            self.is_index_replaced = not own.database.is_current()
            self._found("index-differs", None, None, f"it is damaged: {str(error)[:500]}")

    def _check_what_was_held(self, own: Index, fresh: Index) -> None:
        seen = checkpoint_seen(own.connection)
        if self.checkpoint and seen and self.checkpoint.get("byte_offset", -1) >= seen.byte_offset:
            # The file is the newer one, or as new.
            seen = seen._replace(byte_offset=self.checkpoint["byte_offset"], record={**self.checkpoint})
        try:
            # The fresh one is asked about the checkpoint then, and knows what any other would.
            record_held(fresh.connection, held_entries(own.connection))
            record_held(fresh.connection, missing_entries(own, fresh))
        except (*INDEX_FAULTS, *LIES):
            self._report_what_was_held(fresh, seen)  # as far as it can be read
            raise
        self._report_what_was_held(fresh, seen)

    def _report_what_was_held(self, fresh: Index, seen: SeenCheckpoint | None) -> None:
        known: set[tuple[str, int]] = set()
        for entry, place in placed(fresh, held_entries(fresh.connection)):
            if place is not None and (is_as_it_was(entry, place) or is_redacted(self.log, place)):
                self.returned[entry.byte_offset] = place.byte_offset
            elif (entry.op_id, entry.checksum) not in known:
                known.add((entry.op_id, entry.checksum))
                self.lost.append(entry)
                self.first_change = min(self.first_change, entry.byte_offset)
                self._report_lost(entry, place, seen, fresh)

    def _report_lost(self, entry: HeldEntry, now: Location | None, seen: SeenCheckpoint | None, fresh: Index) -> None:
        at, length, op_id = entry.byte_offset, entry.length, entry.op_id
        member = f"{op_id}:{entry.checksum:08x}"
        if now is not None:
            where = "" if now.byte_offset == at else f"; what the log has of it now is at byte {now.byte_offset}"
            reason = f"the line of {op_id} is not what it was when it was indexed{where}"
            self._found("line-changed", at, length, reason, member=member)
            return
        snapshot_id = seen.record["snapshot_id"] if seen and at < seen.byte_offset else None
        reason = f"{op_id} of {entry.actor_id}, timestamp {entry.lamport_ts}, was in the log and is not there any more"
        if self.findings.would_list("operation-lost", at):
            reason += self._told_since(fresh, at)
        operation = LostOperation(
            op_id, entry.actor_id, entry.lamport_ts, entry.domain, at, length, entry.checksum, snapshot_id
        )
        self._found("operation-lost", at, length, reason, member=member, operation=operation)

    def _told_since(self, fresh: Index, at: int) -> str:
        """From when the last entry is that the log still has before a place: what was there came after it."""
        before = read_entries(self.log, find_page(fresh, Filter(stop=at), 1, 1, reverse=True).places)
        return f"; it came after {before[0]['created_at'][:40]}" if before else ""

    def _compare(self, own: Index, fresh: Index) -> None:
        """Hold what both know of the same lines against each other; what is lost has its finding already."""
        lost = {entry.byte_offset for entry in self.lost}
        start = 0
        for unit in units_between(fresh, 0, own.end):
            stop = min(unit.end, own.end)
            mine, theirs = rows_between(own, start, stop), rows_between(fresh, start, stop)
            if not lost and not link_alike(own, fresh, start, stop):
                self._found("index-differs", start, stop - start, "the index links other entries here than the log")
            differ = [
                at for at in sorted(mine.keys() | theirs.keys()) if at not in lost and mine.get(at) != theirs.get(at)
            ]
            if differ:
                is_moved = any((mine.get(at) or (0,))[:2] != (theirs.get(at) or (0,))[:2] for at in differ)
                what = (
                    "has other lines here than the log" if is_moved else "describes another entry than the log has here"
                )
                end = max(at + max(rows[at][0] for rows in (mine, theirs) if at in rows) for at in differ)
                self._found("index-differs", differ[0], min(end, stop) - differ[0], f"the index {what}")
            start = stop
        if own.end > fresh.end and not lost:
            self._found("index-differs", fresh.end, None, f"it covers {own.end} bytes, the log has {fresh.end}")

    # -- the checkpoint -----------------------------------------------------------------------------

    def _read_record(self) -> OpLogCheckpoint | None:
        return read_record(self.log.path.with_name(CHECKPOINT_NAME), self.session_id)

    @contextmanager
    def _checkpoint_errors(self) -> Iterator[None]:
        """Report what the block finds wrong with the checkpoint, unless something was found before."""
        try:
            yield
        except CheckpointError as error:
            if not self.findings.counts["checkpoint-damaged"]:
                self._found("checkpoint-damaged", None, None, str(error))

    def _check_checkpoint(self, fresh: Index | None) -> None:
        record = self.checkpoint
        with self._checkpoint_errors():
            try:
                end_of_covered(fresh, self.log, record)
            except CheckpointError:
                # Another process may have made one since the record was read.
                if self._read_record() == record:
                    raise
        if fresh and record and "log_digest" in record and not self.findings.counts["checkpoint-damaged"]:
            end = record["byte_offset"]
            digest = chain_digest(self.log, 0, end, EMPTY_DIGEST)
            if digest == record["log_digest"]:
                if not self.lines["damaged"]:
                    self._check_what_is_covered(fresh, record)
            elif self.first_change >= end:  # what has changed below has its finding already
                reason = f"the bytes covered by the checkpoint of {record['snapshot_id']!r} are not what they were"
                self._found("checkpoint-digest", 0, end, reason, member=digest)

    def _check_what_is_covered(self, fresh: Index, record: OpLogCheckpoint) -> None:
        """Hold what the record says of the covered lines against these, which are what they were."""
        end = record["byte_offset"]
        says = record["op_count"], record["lamport_ts"], record["last_op_id"]
        found = count(fresh, Filter(stop=end)), highest_lamport_ts(fresh, end), last_op_id(fresh, end)
        if says != found:
            reason = "says that {} entries, up to timestamp {}, the last one {}, lie below byte {}".format(*says, end)
            self._found("checkpoint-damaged", None, None, f"{reason}; there are {found[0]}, {found[1]}, {found[2]}")
