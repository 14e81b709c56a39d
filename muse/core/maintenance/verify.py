"""The full check of a session: every line, the index against the log, the checkpoint against both.

The log is read once from end to end. A fresh index is made from it in an unnamed file; it answers
what a check of causality and of duplicates must ask, and the session's own index is held against it
row by row. Nothing in the session is changed, and memory stays constant whatever the log's size.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from muse.core.checkpoint.record import (
    EMPTY_DIGEST,
    OpLogCheckpoint,
    chain_digest,
    fit,
    fit_without_log,
    read_record,
    refuse_missing_or_older,
)
from muse.core.entry.codec import decode_line, same_content
from muse.core.entry.model import op_id_bytes
from muse.core.errors import CheckpointError
from muse.core.maintenance.findings import REMEDIES, Finding, Severity, VerifyReport
from muse.core.old_index.index import ALL_LINES, INDEX_FAULTS, Index
from muse.core.old_index.index_check import check_links, check_op_refs, check_row
from muse.core.old_index.index_file import open_index, open_temporary
from muse.core.old_index.index_graph import check_packed_links
from muse.core.old_index.index_query import find, next_page
from muse.core.old_index.index_question import Filter
from muse.core.options import MAX_LINE_BYTES
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_entries, read_lines
from muse.core.storage.record import DamagedIndexError, Row
from muse.core.storage.scanner import scan_rows
from muse.core.storage.session_dir import CHECKPOINT_NAME, INDEX_NAME

_PAGE_ROWS = 2048
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
            self._hold(lambda: fit_without_log(self._record_path, self.session_id, checkpoint))
        else:
            with closing(open_temporary(self._scanned(size))) as fresh:
                self._against(fresh, checkpoint)
        torn = 0 if size == self.end else self._torn_bytes(size)
        if torn:
            self._found("torn-tail", "damage", self.end, torn, "the last line has no newline: its writer died")
        return VerifyReport(
            session_id=self.session_id,
            log_path=str(self.log.path),
            size_bytes=size,
            lines=self.lines.total(),
            entries=self.lines["entry"] - self.counts["duplicate"] - self.counts["conflicting-duplicate"],
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

    def _scanned(self, size: int) -> Iterator[Row]:
        for number, row in enumerate(scan_rows(self.log, 0, size)):
            if number % _PAGE_ROWS == 0:
                self.progress(row.byte_offset, size)
            kind, reason = row.problem or ("entry", "")
            self.lines[kind] += 1
            if kind == "damaged":
                self._found("damaged-line", "damage", row.byte_offset, row.length, reason)
            self.end = row.end
            yield row
        self.progress(size, size)

    # -- against a fresh index ----------------------------------------------------------------------

    def _against(self, fresh: Index, checkpoint: OpLogCheckpoint | None) -> None:
        self._check_duplicates(fresh)
        self._check_causality(fresh)
        self._check_index(fresh, checkpoint)
        if checkpoint is None:
            return
        self._hold(
            lambda: fit(
                fresh,
                log=self.log,
                end=self.end,
                path=self._record_path,
                session_id=self.session_id,
                record=checkpoint,
            )
        )
        if "log_digest" in checkpoint and not self.counts["checkpoint-damaged"]:
            digest = chain_digest(self.log, 0, checkpoint["byte_offset"], EMPTY_DIGEST)
            if digest != checkpoint["log_digest"]:
                reason = f"the bytes covered by the checkpoint of {checkpoint['snapshot_id']!r} are not what they were"
                self._found("checkpoint-digest", "damage", 0, checkpoint["byte_offset"], reason)

    def _check_duplicates(self, fresh: Index) -> None:
        position = -1
        while rows := fresh.connection.execute(
            "SELECT byte_offset, length, reason FROM non_entry JOIN line USING (byte_offset) "
            "WHERE kind = 'duplicate' AND byte_offset > ? ORDER BY byte_offset LIMIT ?",
            (position, _PAGE_ROWS),
        ).fetchall():
            for byte_offset, length, reason in rows:
                position = byte_offset
                line = self.log.read(byte_offset, byte_offset + length)
                entry = decode_line(line)
                first = find(fresh, op_id_bytes(entry["op_id"])) if entry else None
                if first is not None and same_content(line, read_lines(self.log, [first])[0]):
                    self._found("duplicate", "note", byte_offset, length, reason)
                else:
                    self._found(
                        "conflicting-duplicate",
                        "damage",
                        byte_offset,
                        length,
                        f"{reason}, with other content",
                    )

    def _check_causality(self, fresh: Index) -> None:
        wanted: Filter | None = Filter(stop=self.end)
        while wanted is not None:
            page = next_page(fresh, wanted, _PAGE_ROWS, 8 << 20)
            for row, entry in zip(page.places, read_entries(self.log, page.places), strict=True):
                for parent_op_id in entry["parent_op_ids"]:
                    parent = find(fresh, op_id_bytes(parent_op_id))
                    if parent is None:
                        self._found(
                            "missing-parent",
                            "note",
                            row.byte_offset,
                            row.length,
                            f"{parent_op_id}, a parent of {entry['op_id']}, is not in the log",
                        )
                    elif (parent.lamport_ts or 0) >= entry["lamport_ts"]:
                        self._found(
                            "timestamp-not-above-parent",
                            "note",
                            row.byte_offset,
                            row.length,
                            f"the timestamp {entry['lamport_ts']} of {entry['op_id']} is not above "
                            f"{parent.lamport_ts}, that of its parent "
                            f"{parent_op_id}",
                        )
            wanted = None if page.resume_at is None else Filter(start=page.resume_at, stop=self.end)

    # -- the session's own index ----------------------------------------------------------------------

    def _check_index(self, fresh: Index, checkpoint: OpLogCheckpoint | None) -> None:
        """Hold the session's index, where there is one, against the fresh one, row by row."""
        folder = self.log.path.parent
        try:
            own = open_index(folder)
        except (*INDEX_FAULTS, OSError) as error:
            self._found("index-differs", "index", None, None, f"it can't be opened: {error}")
            return
        if own is None:
            if (folder / INDEX_NAME).exists():
                self._found("index-differs", "index", None, None, "it is not a usable index of this version")
            return
        with closing(own):
            try:
                check_op_refs(own)
                check_links(own)
                check_packed_links(own)
                fresh.connection.execute("ATTACH ? AS own", (str(own.path),))
                try:
                    # Others may index and fold while this goes on.
                    with fresh.snapshot():
                        self._compare(own, fresh.connection)
                finally:
                    fresh.connection.execute("DETACH own")
                self._check_seen(own, checkpoint)
            except INDEX_FAULTS as error:
                self._found("index-differs", "index", None, None, f"it is damaged: {error}")

    def _compare(self, own: Index, both: sqlite3.Connection) -> None:
        """Compare the schemas `own` and `main` (the fresh one) of the connection `both`."""
        for (problem,) in both.execute("PRAGMA own.integrity_check(10)"):
            if problem != "ok":
                self._found("index-differs", "index", None, None, f"SQLite finds it damaged: {problem}")
        # Through this connection: the other one may have seen more by now.
        covered = both.execute(
            f"SELECT coalesce(max(byte_offset + length), 0) FROM {ALL_LINES.format(schema='own')}"
        ).fetchone()[0]
        size = self.log.size()
        if covered > size:
            reason = f"it covers {covered} bytes, the log has {size}"
            self._found("index-differs", "index", size, None, reason)
        # Names are numbered in each index by itself, so they are compared as text.
        columns = "byte_offset, length, checksum, lamport_ts, op_high, op_low" + "".join(
            f", (SELECT text FROM {{schema}}.name WHERE id = {role})"
            for role in ("actor", "domain", "intent", "reservation")
        )
        rows = f"SELECT {columns} FROM {ALL_LINES} WHERE byte_offset < :covered"
        mine, theirs = (rows.format(schema=schema) for schema in ("own", "main"))
        differing = both.execute(
            f"SELECT byte_offset FROM ({mine} EXCEPT {theirs}) UNION "
            f"SELECT byte_offset FROM ({theirs} EXCEPT {mine}) ORDER BY byte_offset",
            {"covered": min(covered, self.end)},
        )
        for (byte_offset,) in differing:
            self._differs(own, both, byte_offset)
        for byte_offset, length in both.execute(
            "SELECT byte_offset, length FROM own.altered JOIN main.line USING (byte_offset) ORDER BY byte_offset"
        ):
            self._found(
                "line-changed",
                "damage",
                byte_offset,
                length,
                "the line is not what it was when it was indexed first",
            )

    def _differs(self, own: Index, both: sqlite3.Connection, byte_offset: int) -> None:
        def row(schema: str) -> tuple[int, int] | None:
            found = both.execute(
                f"SELECT length, checksum FROM {ALL_LINES.format(schema=schema)} WHERE byte_offset = ?", (byte_offset,)
            ).fetchone()
            return (found[0], found[1]) if found else None

        was, now = row("own"), row("main")
        if was is None or now is None or was[0] != now[0]:
            length = now[0] if now else None
            self._found("index-differs", "index", byte_offset, length, "the index has other lines here than the log")
        elif was[1] != now[1] and self._is_sound(own, byte_offset):
            self._found(
                "line-changed",
                "damage",
                byte_offset,
                now[0],
                "the line is not what it was when it was indexed",
            )
        else:
            self._found(
                "index-differs",
                "index",
                byte_offset,
                now[0],
                "the index describes another entry than the log has here",
            )

    def _is_sound(self, own: Index, byte_offset: int) -> bool:
        """Whether it must be the line that has changed, and not the index's row of it."""
        try:
            check_row(own, byte_offset)
        except DamagedIndexError:
            return False
        return True

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
