"""The full check of a session: every line, the index against the log, the checkpoint against both.

The log is read once from end to end. A fresh index is made from it in an unnamed file; it answers
what a check of causality and of duplicates must ask, and the session's own index is held against it
line by line. Nothing in the session is changed, and memory stays constant whatever the log's size.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from muse.core.checkpoint.cut import end_of_covered
from muse.core.checkpoint.record import EMPTY_DIGEST, OpLogCheckpoint, chain_digest, read_record
from muse.core.entry.codec import decode_line, same_content
from muse.core.entry.filter import END, Filter
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.errors import CheckpointError
from muse.core.index.blocks.links import UnresolvedLink, links_named_in, unpack_links, unpack_unresolved
from muse.core.index.blocks.op_id_runs import keys_of, merged_summary
from muse.core.index.blocks.segment import DamagedIndexError, Segment, Summary, as_json, pack_lines
from muse.core.index.evidence import changed_lines, inherit_checkpoint
from muse.core.index.file import INDEX_FAULTS, LIES, new_temporary, open_database
from muse.core.index.query import count, find_page, highest_lamport_ts, last_op_id, matching, units_between
from muse.core.index.rebuild import Progress, fill
from muse.core.index.store import Index
from muse.core.maintenance.findings import REMEDIES, SEVERITIES, Finding, VerifyReport
from muse.core.options import MAX_LINE_BYTES
from muse.core.paging import WHOLE_PAGE
from muse.core.storage.lines import ROLES, Lines
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_lines, read_placed_entries
from muse.core.storage.session_dir import CHECKPOINT_NAME, INDEX_NAME

_TAIL_WAIT_SECONDS = 0.2


def verify(log: LogFile, session_id: str, progress: Progress | None = None, max_findings: int = 1000) -> VerifyReport:
    """Check the session whose log this is; see `OpLog.verify`."""
    return _Check(log, session_id, max_findings).run(progress)


@dataclass
class _Check:
    """One run over one session; collects findings as it goes."""

    log: LogFile
    session_id: str
    max_findings: int
    checkpoint: OpLogCheckpoint | None = None
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Findings of each kind."""
    lines: Counter[str] = field(default_factory=Counter)
    """Lines of each kind: "entry", or what is wrong with them."""

    def run(self, progress: Progress | None) -> VerifyReport:
        # Before the log is measured: the log then holds all that a sound record can cover.
        with self._checkpoint_errors():
            self.checkpoint = self._read_record()
        size, end = self.log.size(), 0
        if size == 0:
            self._check_checkpoint(None)
        else:
            database = new_temporary()
            with closing(database.connection):
                fresh = fill(database, self.log, progress=progress)
                end = fresh.end
                self._check_lines(fresh)
                self._check_causality(fresh)
                self._check_index(fresh)
                self._check_checkpoint(fresh)
        if size > end and (torn := self._torn_bytes(size, end)):
            self._found("torn-tail", end, torn, "the last line has no newline: its writer died")
        return VerifyReport(
            session_id=self.session_id,
            log_path=str(self.log.path),
            size_bytes=size,
            lines=self.lines.total(),
            entries=self.lines["entry"],
            blank_lines=self.lines["blank"],
            findings=tuple(self.findings),
            counts=dict(self.counts),
            pending_tail_bytes=max(size - end, 0),
            checkpoint=self.checkpoint,
            damaged=not self.counts.keys() <= SEVERITIES.keys(),
        )

    def _torn_bytes(self, size: int, end: int) -> int:
        """Length of the unfinished last line; 0 if its writer turns out to be alive."""
        deadline = time.monotonic() + _TAIL_WAIT_SECONDS
        while time.monotonic() < deadline:
            # One write(2) takes a line; it can be seen half done only while that call lasts.
            if b"\n" in self.log.read(size, size + MAX_LINE_BYTES):
                return 0
            time.sleep(_TAIL_WAIT_SECONDS / 10)
        return self.log.size() - end

    def _found(self, kind: str, at: int | None, length: int | None, reason: str) -> None:
        self.counts[kind] += 1
        if len(self.findings) < self.max_findings:
            severity = SEVERITIES.get(kind, "damage")
            self.findings.append(Finding(kind, severity, at, length, reason, REMEDIES[kind]))

    # -- the log ------------------------------------------------------------------------------------

    def _check_lines(self, fresh: Index) -> None:
        for unit in units_between(fresh, 0, END):
            self.lines["entry"] += len(unit) - len(unit.problems)
            for at, (kind, reason) in unit.problems.items():
                self.lines[kind] += 1
                length = unit.length(unit.number_at(at))
                if kind == "damaged":
                    self._found("damaged-line", at, length, reason)
                elif kind == "duplicate":
                    self._check_duplicate(fresh, at, length, reason)

    def _check_duplicate(self, fresh: Index, at: int, length: int, reason: str) -> None:
        line = self.log.read(at, at + length)
        entry = decode_line(line)
        first = fresh.location_of(op_id_bytes(entry["op_id"])) if entry else None
        if first is not None and same_content(line, read_lines(self.log, [first])[0]):
            self._found("duplicate", at, length, reason)
        else:
            self._found("conflicting-duplicate", at, length, f"{reason}, with other content")

    def _check_causality(self, fresh: Index) -> None:
        start: int | None = 0
        while start is not None:
            places, start = find_page(fresh, Filter(start=start), *WHOLE_PAGE)
            for at, end, entry in read_placed_entries(self.log, places):
                for parent_op_id in entry["parent_op_ids"]:
                    self._check_parent(fresh, at, end - at, entry, parent_op_id)

    def _check_parent(self, fresh: Index, at: int, length: int, entry: OpEntry, parent_op_id: str) -> None:
        parent = fresh.location_of(op_id_bytes(parent_op_id))
        op_id, lamport_ts = entry["op_id"], entry["lamport_ts"]
        if parent is None:
            reason = f"{parent_op_id}, a parent of {op_id}, is not in the log"
            self._found("missing-parent", at, length, reason)
        elif parent.lamport_ts >= lamport_ts:
            above = f"{parent.lamport_ts}, that of its parent {parent_op_id}"
            self._found(
                "timestamp-not-above-parent", at, length, f"the timestamp {lamport_ts} of {op_id} is not above {above}"
            )

    # -- the session's own index ----------------------------------------------------------------------

    def _check_index(self, fresh: Index) -> None:
        """Hold the session's index, if there is one, against the fresh one, line by line."""
        folder = self.log.path.parent
        try:
            database = open_database(folder)
        except (*INDEX_FAULTS, OSError) as error:
            self._found("index-differs", None, None, f"it can't be opened: {error}")
            return
        if database is None:
            if (folder / INDEX_NAME).exists():
                self._found("index-differs", None, None, "it is not a usable index of this version")
            return
        with closing(database):
            try:
                for (problem,) in database.connection.execute("PRAGMA integrity_check(10)").fetchall():
                    if problem != "ok":
                        self._found("index-differs", None, None, f"SQLite finds it damaged: {problem}")
                own = Index(database)
                _check_keys_and_summaries(own)
                self._compare(own, fresh)
                # Of a checkpoint that has vanished only the session's own index can know.
                inherit_checkpoint(fresh.connection, own.connection)
            except (*INDEX_FAULTS, *LIES) as error:
                self._found("index-differs", None, None, f"it is damaged: {str(error)[:500]}")

    def _compare(self, own: Index, fresh: Index) -> None:
        size = self.log.size()
        if own.end > size:
            self._found("index-differs", size, None, f"it covers {own.end} bytes, the log has {size}")
        changed = changed_lines(own.connection)
        start = 0
        for unit in units_between(fresh, 0, own.end):
            stop = min(unit.end, own.end)
            mine, theirs = _rows(own, start, stop), _rows(fresh, start, stop)
            if _links(own, start, stop) != _links(fresh, start, stop):
                self._found("index-differs", start, stop - start, "the index links other entries here than the log")
            for at in sorted(mine.keys() | theirs.keys()):
                self._compare_line(at, mine.get(at), theirs.get(at), is_changed=at in changed)
            start = stop

    def _compare_line(self, at: int, was: _Row | None, now: _Row | None, *, is_changed: bool) -> None:
        length = now[0] if now else None
        if was is None or now is None or was[0] != now[0]:
            self._found("index-differs", at, length, "the index has other lines here than the log")
        elif was[1] != now[1]:
            self._found("line-changed", at, length, "the line is not what it was when it was indexed")
        elif was != now:
            self._found("index-differs", at, length, "the index describes another entry than the log has here")
        elif is_changed:
            self._found("line-changed", at, length, "the line is not what it was when it was indexed first")

    # -- the checkpoint -----------------------------------------------------------------------------

    def _read_record(self) -> OpLogCheckpoint | None:
        return read_record(self.log.path.with_name(CHECKPOINT_NAME), self.session_id)

    @contextmanager
    def _checkpoint_errors(self) -> Iterator[None]:
        """Report what the block finds wrong with the checkpoint, unless something was found before."""
        try:
            yield
        except CheckpointError as error:
            if not self.counts["checkpoint-damaged"]:
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
        if fresh and record and "log_digest" in record and not self.counts["checkpoint-damaged"]:
            digest = chain_digest(self.log, 0, record["byte_offset"], EMPTY_DIGEST)
            if digest != record["log_digest"]:
                reason = f"the bytes covered by the checkpoint of {record['snapshot_id']!r} are not what they were"
                self._found("checkpoint-digest", 0, record["byte_offset"], reason)
            elif not self.lines["damaged"]:
                self._check_what_is_covered(fresh, record)

    def _check_what_is_covered(self, fresh: Index, record: OpLogCheckpoint) -> None:
        """Hold what the record says of the covered lines against these, which are what they were."""
        end = record["byte_offset"]
        says = record["op_count"], record["lamport_ts"], record["last_op_id"]
        found = count(fresh, Filter(stop=end)), highest_lamport_ts(fresh, end), last_op_id(fresh, end)
        if says != found:
            reason = "says that {} entries, up to timestamp {}, the last one {}, lie below byte {}".format(*says, end)
            self._found("checkpoint-damaged", None, None, f"{reason}; there are {found[0]}, {found[1]}, {found[2]}")


_Row = tuple[Any, ...]
"""What an index knows of a line: length, checksum, and what is in it."""


def _rows(index: Index, start: int, stop: int) -> dict[int, _Row]:
    """What an index knows of the lines that begin at the bytes [start, stop), by byte offset."""
    found: dict[int, _Row] = {}
    for unit in units_between(index, start, stop):
        lines = unit if isinstance(unit, Lines) else unit.lines()
        lengths = map(lines.length, range(len(lines)))
        names = [getattr(lines, role) for role in ROLES]
        columns = zip(lines.offsets, lengths, lines.checksums, lines.lamport_ts, lines.op_ids, *names, strict=True)
        rows = islice(columns, lines.number_at(start), lines.number_at(stop))
        found.update((at, (*row, at in lines.problems)) for at, *row in rows)
    return found


def _links(index: Index, start: int, stop: int) -> set[UnresolvedLink]:
    """What an index knows of the parents of the lines that begin at the bytes [start, stop)."""
    found: list[UnresolvedLink] = []
    for unit in units_between(index, start, stop):
        if isinstance(unit, Lines):
            found += links_named_in(unit)
        else:
            packed = unit.first_offset, unit.links, unit.end - unit.first_offset
            found += unpack_unresolved(*packed)
            found += [(child, _op_id_at(index, parent)) for child, parent in unpack_links(*packed)]
    return {link for link in found if start <= link[0] < stop}


def _op_id_at(index: Index, at: int) -> bytes:
    unit = index.tail if at >= index.folded_end else index.segment(index.number_at(at))
    return unit.op_id(unit.number_at(at))


def _check_keys_and_summaries(index: Index) -> None:
    """Check that each op_id can be found, and that what is summed up of lines, links and segments is right.

    Raises:
        DamagedIndexError: it is not, or a block is altered.
    """
    for run in index.runs:
        keys: set[int] = set()
        summaries: list[Summary] = []
        for number in range(run.first_segment, run.end_segment):
            segment = index.segment(number)
            op_ids = b"".join(segment.op_id(line) for line in matching(segment, Filter()))
            keys.update(keys_of(op_ids, number))
            summaries.append(segment.summary)
            if segment.summary != _summed_up(index, segment):
                raise DamagedIndexError(f"what it sums up of segment {number} is wrong")
        if run.is_filtered:
            run.filter.load()
        if keys != set(run.all_keys()):
            raise DamagedIndexError(f"op_ids of the segments from {run.first_segment} on can't be found")
        if run.summary != merged_summary(summaries):
            raise DamagedIndexError(f"what it sums up of the segments from {run.first_segment} on is wrong")


def _summed_up(index: Index, segment: Segment) -> Summary:
    packed = segment.first_offset, segment.links, segment.end - segment.first_offset
    parents = {index.number_at(parent) for _, parent in unpack_links(*packed)}
    before = index.summary(segment.number - 1) if segment.number > 1 else None
    return pack_lines(segment.lines()).summary._replace(
        entries_before=before.entries_before + before.entries if before else 0,
        parent_segments=as_json(sorted(parents)),
        unresolved_links=len(unpack_unresolved(*packed)),
    )
