"""The full check of a session: every line, the index against the log, the checkpoint against both.

The log is read once from end to end. A fresh index is made from it in an unnamed file; it answers
what a check of causality and of duplicates must ask, and the session's own index is held against it
row by row. Nothing in the session is changed, and memory stays constant whatever the log's size.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from muse.core.checkpoint.cut import end_of_covered, refuse_missing_or_older
from muse.core.checkpoint.record import EMPTY_DIGEST, OpLogCheckpoint, chain_digest, read_record
from muse.core.entry.codec import decode_line, same_content
from muse.core.entry.filter import Filter
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.errors import CheckpointError
from muse.core.index.blocks.links import unpack_links, unpack_unresolved
from muse.core.index.blocks.op_id_runs import keys_of
from muse.core.index.blocks.segment import DamagedIndexError, locations
from muse.core.index.evidence import changed_lines
from muse.core.index.file import INDEX_FAULTS, new_temporary, open_database
from muse.core.index.query import Unit, matching
from muse.core.index.rebuild import fill
from muse.core.index.store import Index
from muse.core.maintenance.findings import REMEDIES, Finding, Severity, VerifyReport
from muse.core.options import MAX_LINE_BYTES
from muse.core.storage.lines import ROLES, Lines, Location
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_entries, read_lines
from muse.core.storage.session_dir import CHECKPOINT_NAME, INDEX_NAME

_PAGE_BYTES = 8 << 20
_TAIL_WAIT_SECONDS = 0.2


def verify(
    log: LogFile,
    session_id: str,
    progress: Callable[[int, int], None] | None = None,
    max_findings: int = 1000,
) -> VerifyReport:
    """Check the session whose log this is; see `OpLog.verify`."""
    return _Check(log, session_id, progress, max_findings).run()


def _silent(_done: int, _total: int) -> None:
    """The progress of nobody."""


class _Check:
    """One run over one session; collects findings as it goes."""

    def __init__(
        self,
        log: LogFile,
        session_id: str,
        progress: Callable[[int, int], None] | None,
        max_findings: int,
    ) -> None:
        self.log = log
        self.session_id = session_id
        self.progress = progress or _silent
        self.max_findings = max_findings
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.damaged = False
        self.lines: Counter[str] = Counter()
        self.end = 0

    def run(self) -> VerifyReport:
        # Before the log is measured: the log then holds all that a sound record can cover.
        checkpoint = self._read_record()
        size = self.log.size()
        if size == 0:
            self._hold(lambda: end_of_covered(None, self.log, checkpoint))
        else:
            database = new_temporary()
            with closing(database.connection):
                fresh = fill(database, self.log, progress=self.progress)
                self.end = fresh.end
                self._against(fresh, checkpoint)
        torn = 0 if size == self.end else self._torn_bytes(size)
        if torn:
            self._found("torn-tail", "damage", self.end, torn, "the last line has no newline: its writer died")
        return VerifyReport(
            session_id=self.session_id,
            log_path=str(self.log.path),
            size_bytes=size,
            lines=self.lines.total(),
            entries=self.lines["entry"],
            blank_lines=self.lines["blank"],
            findings=tuple(self.findings),
            counts=dict(self.counts),
            pending_tail_bytes=size - self.end,
            checkpoint=checkpoint,
            damaged=self.damaged,
        )

    def _torn_bytes(self, size: int) -> int:
        """Length of the unfinished last line; 0 where its writer turns out to be alive."""
        deadline = time.monotonic() + _TAIL_WAIT_SECONDS
        while time.monotonic() < deadline:
            # One write(2) takes a line; it can be seen half done only while that call lasts.
            if b"\n" in self.log.read(size, size + MAX_LINE_BYTES):
                return 0
            time.sleep(_TAIL_WAIT_SECONDS / 10)
        return self.log.size() - self.end

    def _found(self, kind: str, severity: Severity, at: int | None, length: int | None, reason: str) -> None:
        self.counts[kind] += 1
        self.damaged |= severity == "damage"
        if len(self.findings) < self.max_findings:
            self.findings.append(Finding(kind, severity, at, length, reason, REMEDIES[kind]))

    # -- against a fresh index ----------------------------------------------------------------------

    def _against(self, fresh: Index, checkpoint: OpLogCheckpoint | None) -> None:
        self._check_lines(fresh)
        self._check_causality(fresh)
        self._check_index(fresh, checkpoint)
        if checkpoint is None:
            return
        self._hold(lambda: end_of_covered(fresh, self.log, checkpoint))
        if "log_digest" in checkpoint and not self.counts["checkpoint-damaged"]:
            digest = chain_digest(self.log, 0, checkpoint["byte_offset"], EMPTY_DIGEST)
            if digest != checkpoint["log_digest"]:
                reason = f"the bytes covered by the checkpoint of {checkpoint['snapshot_id']!r} are not what they were"
                self._found("checkpoint-digest", "damage", 0, checkpoint["byte_offset"], reason)

    def _check_lines(self, fresh: Index) -> None:
        for unit in _units(fresh):
            self.lines["entry"] += len(unit) - len(unit.problems)
            for at, (kind, reason) in unit.problems.items():
                self.lines[kind] += 1
                length = unit.length(unit.number_at(at))
                if kind == "damaged":
                    self._found("damaged-line", "damage", at, length, reason)
                elif kind == "duplicate":
                    self._check_duplicate(fresh, at, length, reason)

    def _check_duplicate(self, fresh: Index, at: int, length: int, reason: str) -> None:
        line = self.log.read(at, at + length)
        entry = decode_line(line)
        first = fresh.location_of(op_id_bytes(entry["op_id"])) if entry else None
        if first is not None and same_content(line, read_lines(self.log, [first])[0]):
            self._found("duplicate", "note", at, length, reason)
        else:
            self._found("conflicting-duplicate", "damage", at, length, f"{reason}, with other content")

    def _check_causality(self, fresh: Index) -> None:
        # Of each unit by its lines, so that each entry's place is known.
        for unit in _units(fresh):
            for places in _paged(locations(unit, matching(unit, Filter()))):
                for place, entry in zip(places, read_entries(self.log, places), strict=True):
                    for parent_op_id in entry["parent_op_ids"]:
                        self._check_parent(fresh, place, entry, parent_op_id)

    def _check_parent(self, fresh: Index, place: Location, entry: OpEntry, parent_op_id: str) -> None:
        parent = fresh.location_of(op_id_bytes(parent_op_id))
        if parent is None:
            reason = f"{parent_op_id}, a parent of {entry['op_id']}, is not in the log"
            self._found("missing-parent", "note", place.byte_offset, place.length, reason)
        elif parent.lamport_ts >= entry["lamport_ts"]:
            reason = (
                f"the timestamp {entry['lamport_ts']} of {entry['op_id']} is not above {parent.lamport_ts}, that of "
                f"its parent {parent_op_id}"
            )
            self._found("timestamp-not-above-parent", "note", place.byte_offset, place.length, reason)

    # -- the session's own index ----------------------------------------------------------------------

    def _check_index(self, fresh: Index, checkpoint: OpLogCheckpoint | None) -> None:
        """Hold the session's index, if there is one, against the fresh one, line by line."""
        folder = self.log.path.parent
        try:
            database = open_database(folder)
        except (*INDEX_FAULTS, OSError) as error:
            self._found("index-differs", "index", None, None, f"it can't be opened: {error}")
            return
        if database is None:
            if (folder / INDEX_NAME).exists():
                self._found("index-differs", "index", None, None, "it is not a usable index of this version")
            return
        with closing(database):
            try:
                for (problem,) in database.connection.execute("PRAGMA integrity_check(10)").fetchall():
                    if problem != "ok":
                        self._found("index-differs", "index", None, None, f"SQLite finds it damaged: {problem}")
                own = Index(database)
                _check_keys_and_links(own)
                self._compare(own, fresh)
                self._check_seen(own, checkpoint)
            except INDEX_FAULTS as error:
                self._found("index-differs", "index", None, None, f"it is damaged: {error}")

    def _compare(self, own: Index, fresh: Index) -> None:
        size = self.log.size()
        if own.end > size:
            reason = f"it covers {own.end} bytes, the log has {size}"
            self._found("index-differs", "index", size, None, reason)
        covered = min(own.end, self.end)
        mine, theirs = _rows(own, covered), _rows(fresh, covered)
        changed = changed_lines(own.connection)
        for at, was, now in _side_by_side(mine, theirs):
            if was != now:
                self._differs(at, was, now)
            elif at in changed and now is not None:
                reason = "the line is not what it was when it was indexed first"
                self._found("line-changed", "damage", at, now[0], reason)

    def _differs(self, at: int, was: _Row | None, now: _Row | None) -> None:
        if was is None or now is None or was[0] != now[0]:
            length = now[0] if now else None
            self._found("index-differs", "index", at, length, "the index has other lines here than the log")
        elif was[1] != now[1]:
            self._found("line-changed", "damage", at, now[0], "the line is not what it was when it was indexed")
        else:
            self._found("index-differs", "index", at, now[0], "the index describes another entry than the log has here")

    # -- the checkpoint -----------------------------------------------------------------------------

    @property
    def _record_path(self) -> Path:
        return self.log.path.parent / CHECKPOINT_NAME

    def _read_record(self) -> OpLogCheckpoint | None:
        try:
            return read_record(self._record_path, self.session_id)
        except CheckpointError as error:
            self._found("checkpoint-damaged", "damage", None, None, str(error))
            return None

    def _hold(self, check: Callable[[], object]) -> None:
        """Report what `check` says against the record, once."""
        try:
            check()
        except CheckpointError as error:
            if not self.counts["checkpoint-damaged"]:
                self._found("checkpoint-damaged", "damage", None, None, str(error))

    def _check_seen(self, own: Index, checkpoint: OpLogCheckpoint | None) -> None:
        """The fresh index can't know of a checkpoint that has vanished; the session's own does."""
        try:
            refuse_missing_or_older(own, self._record_path, checkpoint)
        except CheckpointError as error:
            # Another process may have made one since the record was read.
            if not self.counts["checkpoint-damaged"] and self._read_record() == checkpoint:
                self._found("checkpoint-damaged", "damage", None, None, str(error))


_Row = tuple[Any, ...]
"""What an index knows of a line: length, checksum, and what is in it."""


def _units(index: Index) -> Iterator[Unit]:
    yield from map(index.segment, index.segment_numbers())
    yield index.tail


def _rows(index: Index, stop: int) -> Iterator[tuple[int, _Row]]:
    """(byte offset, row) of each line before byte `stop`."""
    for unit in _units(index):
        lines = unit if isinstance(unit, Lines) else unit.lines()
        lengths = map(lines.length, range(len(lines)))
        names = [getattr(lines, role) for role in ROLES]
        for at, *row in zip(
            lines.offsets, lengths, lines.checksums, lines.lamport_ts, lines.op_ids, *names, strict=True
        ):
            if at >= stop:
                return
            yield at, (*row, at in lines.problems)


def _side_by_side(
    mine: Iterator[tuple[int, _Row]], theirs: Iterator[tuple[int, _Row]]
) -> Iterator[tuple[int, _Row | None, _Row | None]]:
    """The rows of two indexes by byte offset; None if one of them has no line there."""
    one, other = next(mine, None), next(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            yield one[0], one[1], None  # type: ignore[index]  # one of them is not None
            one = next(mine, None)
        elif one is None or other[0] < one[0]:
            yield other[0], None, other[1]
            other = next(theirs, None)
        else:
            yield one[0], one[1], other[1]
            one, other = next(mine, None), next(theirs, None)


def _check_keys_and_links(index: Index) -> None:
    """Check that each op_id can be found, and that all links can be unpacked.

    Raises:
        DamagedIndexError: it is not so.
    """
    for run in index.runs:
        keys: set[int] = set()
        for number in range(run.first_segment, run.end_segment):
            segment = index.segment(number)
            op_ids = b"".join(segment.op_id(line) for line in matching(segment, Filter()))
            keys.update(keys_of(op_ids, number))
            unpack_links(segment.first_offset, segment.links)
            unpack_unresolved(segment.first_offset, segment.links)
        if keys != set(run.all_keys()):
            raise DamagedIndexError(f"op_ids of the segments from {run.first_segment} on can't be found")


def _paged(places: list[Location]) -> Iterator[list[Location]]:
    """Places of at most some megabytes, or one."""
    page: list[Location] = []
    for place in places:
        if page and place.end - page[0].byte_offset > _PAGE_BYTES:
            yield page
            page = []
        page.append(place)
    if page:
        yield page
