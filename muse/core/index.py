"""The sidecar index: where each line of the log lies, and what it takes to find it by seeking.

The index is fed rows and never opens the log, so it can't become a second truth. Invariant: it knows
every line of the bytes [0, n) of one log and none after; n is read off its last row, and each
transaction moves n on. Nothing else says how far it reaches, so nothing can disagree with the rows.

Two tables hold the rows, `line` and, for the newest few thousand, `tail`: an append dirties a page
or two of the small one. When the tail is long enough it is folded into `line` and summarised as one
segment: its range of bytes, of timestamps, and how often each name occurs in it. A question about
one actor then visits only the segments in which that actor occurs, and a count adds up the summaries.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from muse.core import durable

SEGMENT_LINES = 2048
"""How long the tail grows before it is folded."""

WAL_CHECKPOINT_BYTES = 16 << 20
"""How large SQLite's write-ahead log grows before its pages are copied into the database."""

MAX_REMEMBERED_NAMES = 100_000
"""How many names keep their numbers in memory; beyond it they are asked for again."""

ROLES = ("actor", "domain", "intent", "reservation")

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One line of the log, as the index knows it. For a line that is no entry, `problem` says why."""

    byte_offset: int
    length: int
    """Bytes, newline included."""
    checksum: int
    """CRC-32 of the line, newline included."""
    lamport_ts: int | None = None
    op_id: bytes | None = None
    """The 16 bytes of the UUID."""
    actor: str | None = None
    domain: str | None = None
    intent: str | None = None
    reservation: str | None = None
    problem: tuple[str, str] | None = None
    """(kind, reason), kind being "blank", "damaged" or "duplicate"."""

    @property
    def end(self) -> int:
        """The byte offset after the line."""
        return self.byte_offset + self.length


# Sums with a different weight for each column and place: cheap inside SQLite, and changed by any single
# row that is missing, moved or altered. The remainders keep a sum of any length within 64 bits.
LINES_DIGEST = """
    coalesce(sum((checksum + 3 * length + 5 * (coalesce(lamport_ts, 0) % 2147483647) + 7 * coalesce(actor, 0)
                  + 11 * coalesce(domain, 0) + 13 * coalesce(intent, 0) + 17 * coalesce(reservation, 0)
                  + 19 * (op_id IS NOT NULL)) % 2147483647 * (1 + byte_offset % 1000003)), 0)
"""
SEGMENT_DIGEST = """
    ((first_offset % 2147483647 + 3 * (end_offset % 2147483647) + 5 * entries + 7 * intents + 11 * reservations
      + 13 * (coalesce(min_lamport_ts, 0) % 2147483647) + 17 * (coalesce(max_lamport_ts, 0) % 2147483647)
      + 19 * (lines_digest % 2147483647)) % 2147483647)
"""

_COVERED = """
    coalesce((SELECT byte_offset + length FROM tail ORDER BY byte_offset DESC LIMIT 1),
             (SELECT byte_offset + length FROM line ORDER BY byte_offset DESC LIMIT 1), 0)
"""
_INSERT = "INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
# The condition keeps the prefix whole without a transaction of several statements.
_INSERT_NEXT = f"INSERT INTO tail SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE ? = {_COVERED}"


class IndexMismatchError(Exception):
    """The rows fed do not continue what the index holds: it belongs to other bytes. Rebuild it."""


class Index:
    """One connection to one index file, or to one in memory (`path` None).

    Not safe for several threads at once: its owner locks. Several processes may each have one on
    the same file. Methods let `sqlite3.Error` through; the owner decides what it means.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        """Take over an open connection whose schema is known to be right."""
        self.connection = connection
        self.path = path
        self._inode = path.stat().st_ino if path else 0
        self._names: dict[str, int] = {}
        self._new_names: dict[str, int] = {}
        self._patience_ms = -1
        self.summaries_are_checked = False
        self.checked_segments: set[int] = set()
        self._tail_lines = self._scalar("SELECT count(*) FROM tail")

    def close(self) -> None:
        """Close the connection; whoever closes last copies SQLite's write-ahead log into the file."""
        self.connection.close()

    def is_current(self) -> bool:
        """Whether the file this connection has open is still the one beside the log."""
        if self.path is None:
            return True
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    # -- what it covers ---------------------------------------------------------------------------

    def covered(self) -> int:
        """n, where the index knows the bytes [0, n) of the log."""
        return self._scalar(f"SELECT {_COVERED}")

    def boundary_rows(self) -> list[Row]:
        """The first and the last row, by which the index is held against its log."""
        found = [
            self.connection.execute(
                f"SELECT * FROM (SELECT * FROM line UNION ALL SELECT * FROM tail) ORDER BY byte_offset {order} LIMIT 1"
            ).fetchone()
            for order in ("ASC", "DESC")
        ]
        return [Row(*values[:5]) for values in found if values]

    # -- feeding ----------------------------------------------------------------------------------

    def extend(self, rows: Sequence[Row]) -> bool:
        """Add the rows that are new; True when the index now reaches the end of the last one.

        `rows` are consecutive lines. False means that the index ends before the first of them: feed
        it what is missing. Rows that are known already are passed over, since another process may
        have fed them.

        Raises:
            IndexMismatchError: the index ends in the middle of one of the rows.
        """
        if len(rows) > 1:
            # Mostly the others have indexed their lines themselves by now, and one's own is left.
            known = self.covered()
            rows = [row for row in rows if row.byte_offset >= known] or rows[-1:]
        if len(rows) == 1 and self._append_next(rows[0]):
            return True
        with self.transaction():
            covered = self.covered()
            if covered < rows[0].byte_offset:
                return False
            new = [row for row in rows if row.byte_offset >= covered]
            if covered < rows[-1].end and (not new or new[0].byte_offset != covered):
                raise IndexMismatchError(f"the index ends at byte {covered}, inside a line of the log")
            self._feed(new)
        self._maybe_wal_checkpoint()
        return True

    def _append_next(self, row: Row) -> bool:
        """The short way for the usual case: one entry, right after the last, all names known."""
        if row.op_id is None or self._tail_lines >= SEGMENT_LINES:
            return False
        names = self._names
        try:
            values = (
                *row[:5],
                names[row.actor],  # type: ignore[index]  # an entry has an actor and a domain
                names[row.domain],  # type: ignore[index]
                None if row.intent is None else names[row.intent],
                None if row.reservation is None else names[row.reservation],
                row.byte_offset,
            )
        except KeyError:
            return False
        if self.connection.execute(_INSERT_NEXT, values).rowcount != 1:
            return False
        self._tail_lines += 1
        return True

    def _feed(self, rows: Sequence[Row]) -> None:
        names = self._ids_of(rows)
        for start in range(0, len(rows), SEGMENT_LINES):
            piece = rows[start : start + SEGMENT_LINES]
            self._insert("tail", piece, names)
            self._tail_lines += len(piece)
            if self._tail_lines >= SEGMENT_LINES:
                # Other processes feed and fold the same tail, so now it is counted.
                self._tail_lines = self._scalar("SELECT count(*) FROM tail")
            if self._tail_lines >= SEGMENT_LINES:
                self._fold()

    def _insert(self, table: str, rows: Sequence[Row], names: dict[str | None, int | None]) -> None:
        self.connection.executemany(
            _INSERT.format(table=table),
            [
                (*row[:5], names[row.actor], names[row.domain], names[row.intent], names[row.reservation])
                for row in rows
            ],
        )
        if problems := [(row.byte_offset, *row.problem) for row in rows if row.problem]:
            self.connection.executemany("INSERT INTO non_entry VALUES (?, ?, ?)", problems)

    def _ids_of(self, rows: Iterable[Row]) -> dict[str | None, int | None]:
        """The number of each name in `rows`, new ones given one. Call inside a transaction."""
        ids: dict[str | None, int | None] = {None: None}
        for name in {name for row in rows for name in row[5:9] if name is not None}:
            known = self._names.get(name)
            if known is None:
                self.connection.execute("INSERT OR IGNORE INTO name (text) VALUES (?)", (name,))
                known = self._scalar("SELECT id FROM name WHERE text = ?", name)
                self._new_names[name] = known
            ids[name] = known
        return ids

    def _fold(self) -> None:
        first = self._scalar("SELECT min(byte_offset) FROM tail")
        end = self.covered()
        self.connection.execute("INSERT INTO line SELECT * FROM tail")
        self.connection.execute("DELETE FROM tail")
        self._summarise(first, end)
        self._tail_lines = 0

    def _summarise(self, first: int, end: int) -> None:
        """Record the lines of [first, end) as one segment; it must follow the last one."""
        span = {"first": first, "end": end}
        self.connection.execute(
            f"""
            INSERT INTO segment
            SELECT :first, :end, count(op_id), count(intent), count(reservation),
                   min(lamport_ts), max(lamport_ts), {LINES_DIGEST}, NULL
            FROM line WHERE byte_offset >= :first AND byte_offset < :end
            """,
            span,
        )
        self.connection.execute(f"UPDATE segment SET digest = {SEGMENT_DIGEST} WHERE first_offset = :first", span)
        for role in ROLES:
            self.connection.execute(
                f"""
                INSERT INTO presence
                SELECT '{role}', {role}, :first, count(*) FROM line
                WHERE byte_offset >= :first AND byte_offset < :end AND {role} IS NOT NULL GROUP BY {role}
                """,
                span,
            )

    # -- building anew ------------------------------------------------------------------------------

    def build(self, rows: Iterable[Row]) -> None:
        """Fill this new, empty index with all rows of a log, without asking for each op_id if it is
        there already: duplicates are found afterwards, by one walk over the finished op_id index.

        Memory stays constant; the tail is left empty.
        """
        segments: list[tuple[int, int]] = []
        with self.transaction():
            self.connection.execute("DROP INDEX line_by_op_id")
            for piece in _pieces(rows):
                self._insert("line", piece, self._ids_of(piece))
                segments.append((piece[0].byte_offset, piece[-1].end))
            self.connection.execute("CREATE INDEX line_by_op_id ON line (substr(op_id, 1, 4)) WHERE op_id IS NOT NULL")
            self._demote_duplicates()
            for first, end in segments:
                self._summarise(first, end)
        self._tail_lines = 0

    def _demote_duplicates(self) -> None:
        """Of several lines with one op_id only the first stays an entry."""
        shared = self.connection.execute(
            "SELECT substr(op_id, 1, 4) FROM line WHERE op_id IS NOT NULL "
            "GROUP BY substr(op_id, 1, 4) HAVING count(*) > 1"
        ).fetchall()
        for (prefix,) in shared:
            first_of: dict[bytes, int] = {}
            for op_id, byte_offset in self.connection.execute(
                "SELECT op_id, byte_offset FROM line WHERE substr(op_id, 1, 4) = ? AND op_id IS NOT NULL "
                "ORDER BY byte_offset",
                (prefix,),
            ).fetchall():
                first = first_of.setdefault(op_id, byte_offset)
                if first != byte_offset:
                    self._demote(byte_offset, op_id, first)

    def _demote(self, byte_offset: int, op_id: bytes, first: int) -> None:
        self.connection.execute(
            "UPDATE line SET lamport_ts = NULL, op_id = NULL, actor = NULL, domain = NULL, "
            "intent = NULL, reservation = NULL WHERE byte_offset = ?",
            (byte_offset,),
        )
        self.connection.execute("INSERT INTO non_entry VALUES (?, ?, ?)", (byte_offset, *duplicate_of(op_id, first)))

    # -- looking up ---------------------------------------------------------------------------------

    def find(self, op_id: bytes) -> Row | None:
        """Where the entry with this op_id lies."""
        for table, narrow in (("line", "substr(op_id, 1, 4) = :prefix AND"), ("tail", "")):
            found = self.connection.execute(
                f"SELECT byte_offset, length, checksum, lamport_ts, op_id FROM {table} WHERE {narrow} op_id = :op_id",
                {"op_id": op_id, "prefix": op_id[:4]},
            ).fetchone()
            if found:
                return Row(*found)
        return None

    def folded_at(self, op_id: bytes) -> int | None:
        """The byte offset of the entry with this op_id, unless it is in the tail."""
        found = self.connection.execute(
            "SELECT byte_offset FROM line WHERE substr(op_id, 1, 4) = ? AND op_id = ?", (op_id[:4], op_id)
        ).fetchone()
        return found[0] if found else None

    def tail_op_ids(self) -> dict[bytes, int]:
        """op_id and byte offset of the entries that are not folded yet."""
        return dict(self.connection.execute("SELECT op_id, byte_offset FROM tail WHERE op_id IS NOT NULL"))

    # -- evidence: what a rebuild from the log alone would forget -----------------------------------

    def checkpoint_seen(self) -> tuple[int, str] | None:
        """(byte offset, snapshot id) of the last checkpoint made: evidence, never an answer."""
        found = self.connection.execute("SELECT byte_offset, snapshot_id FROM checkpoint_seen").fetchone()
        return (found[0], found[1]) if found else None

    def see_checkpoint(self, byte_offset: int, snapshot_id: str) -> None:
        """Remember that a checkpoint was made, so that its file can't vanish unnoticed."""
        self.connection.execute("INSERT OR REPLACE INTO checkpoint_seen VALUES (1, ?, ?)", (byte_offset, snapshot_id))

    def inherit_evidence(self, old: Path, *, same_log: bool) -> None:
        """Take over what the index at `old` has seen: the checkpoint and, if it is of the same log,
        the first checksum of each line that has changed since.
        """
        self.connection.execute("ATTACH ? AS old", (str(old),))
        self.connection.execute("INSERT INTO checkpoint_seen SELECT * FROM old.checkpoint_seen")
        if same_log:
            self.connection.execute("INSERT INTO altered SELECT * FROM old.altered")
            for table in ("line", "tail"):
                self.connection.execute(
                    f"""
                    INSERT OR IGNORE INTO altered SELECT was.byte_offset, was.checksum
                    FROM old.{table} AS was JOIN main.line AS now USING (byte_offset)
                    WHERE was.length = now.length AND was.checksum != now.checksum
                    """
                )
        self.connection.execute("DETACH old")

    # -- transactions ---------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A write transaction: all of it or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            # A number given to a name in here belongs to nobody now.
            self._new_names.clear()
            # On a full disk SQLite has rolled back by itself.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        if len(self._names) > MAX_REMEMBERED_NAMES:
            self._names.clear()
        self._names.update(self._new_names)
        self._new_names.clear()

    def wait_up_to(self, milliseconds: int) -> None:
        """How long the next statements wait while another connection writes, before they fail."""
        if milliseconds != self._patience_ms:
            self.connection.execute(f"PRAGMA busy_timeout = {milliseconds}").fetchall()
            self._patience_ms = milliseconds

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A read transaction: every statement in it sees the same moment."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("COMMIT")

    def _maybe_wal_checkpoint(self) -> None:
        """Copy SQLite's write-ahead log into the database when it has grown large.

        SQLite 3.7.0 to 3.51.2 can corrupt a database in which two connections do this at the same
        moment, so it is done under the folder's lock, and not at all where somebody holds it.
        """
        if self.path is None:
            return
        try:
            if self.path.with_name(self.path.name + "-wal").stat().st_size < WAL_CHECKPOINT_BYTES:
                return
        except FileNotFoundError:
            return
        with durable.try_exclusive_lock(self.path.parent) as mine:
            if mine:
                self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                _log.debug("%s: WAL checkpoint done", self.path)

    def _scalar(self, statement: str, *values: object) -> int:
        return int(self.connection.execute(statement, values).fetchone()[0])


def duplicate_of(op_id: bytes, first: int) -> tuple[str, str]:
    """The problem of a line whose op_id stands already in the line at byte `first`."""
    return ("duplicate", f"the op_id {uuid.UUID(bytes=op_id)} stands already at byte {first}")


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    piece: list[Row] = []
    for row in rows:
        piece.append(row)
        if len(piece) == SEGMENT_LINES:
            yield piece
            piece = []
    if piece:
        yield piece
