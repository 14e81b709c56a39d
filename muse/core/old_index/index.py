"""The sidecar index: where each line of the log lies, and what it takes to find it by seeking.

The index is fed rows and never opens the log, so it can't become a second truth. Invariant: it knows
every line of the bytes [0, n) of one log and none after; n is read off its last row, and each
transaction moves n on. Nothing else says how far it reaches, so nothing can disagree with the rows.

Two tables hold the rows, `line` and, for the newest few thousand, `tail`: an append dirties a page
or two of the small one. When the tail is long enough it is folded into `line` and summarised as one
segment: its range of bytes, of timestamps, and how often each name occurs in it. A question about
one actor then visits only the segments in which that actor occurs, and a count adds up the summaries.
`op_ref` leads from an op_id to its folded line, `link` from a folded line to the lines that name it as a parent.
"""

from __future__ import annotations

import logging
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

from muse.core.old_index.index_links import Loose, link_lines, seal, split_op_ids, unseal
from muse.core.old_index.index_segment import refer, summarise
from muse.core.storage import durable
from muse.core.storage.record import DamagedIndexError, Row, integer, op_id_of, op_numbers, places_of

SEGMENT_LINES = 2048
"""How long the tail grows before it is folded."""

WAL_CHECKPOINT_BYTES = 32 << 20
"""How large SQLite's write-ahead log grows before its pages are copied into the database."""

MAX_REMEMBERED_NAMES = 100_000
"""How many names keep their numbers in memory; beyond it they are asked for again."""

LONG_BATCH_LINES = SEGMENT_LINES // 4
"""How many lines, fed at once, are folded right away with the tail before them."""

_log = logging.getLogger(__name__)


_COVERED = """
    coalesce((SELECT byte_offset + length FROM tail ORDER BY byte_offset DESC LIMIT 1),
             (SELECT byte_offset + length FROM line ORDER BY byte_offset DESC LIMIT 1), 0)
"""
LINE_COLUMNS = "byte_offset, length, checksum, lamport_ts, op_high, op_low, actor, domain, intent, reservation"
ALL_LINES = f"(SELECT {LINE_COLUMNS} FROM {{schema}}.line UNION ALL SELECT {LINE_COLUMNS} FROM {{schema}}.tail)"
_INSERT_LINE = f"INSERT INTO line ({LINE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_TAIL = f"INSERT INTO tail ({LINE_COLUMNS}, parents) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
# The condition keeps the prefix whole without a transaction of several statements: a row that does not follow the
# last one has no length, and is ignored. (INSERT … SELECT … WHERE would go through a temporary table, as it reads
# from the table it writes to.)
_INSERT_NEXT = (
    f"INSERT OR IGNORE INTO tail ({LINE_COLUMNS}, parents) "
    f"VALUES (?1, iif(?1 = {_COVERED}, ?2, NULL), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
)


_Names = dict[str | None, int | None]
_names_of = itemgetter(5, 6, 7, 8)

INDEX_FAULTS = (sqlite3.Error, DamagedIndexError, UnicodeDecodeError)
"""What a damaged index file raises; the last where even SQLite's message quotes damaged text."""


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
        self._names: dict[str | None, int | None] = {None: None}
        self._new_names: dict[str | None, int | None] = {}
        self._patience_ms = -1
        # What index_check has found sound already, through this connection.
        self.segments_are_checked = False
        self.checked_roles: set[str] = set()
        self.op_refs_are_checked = False
        self.links_are_checked = False
        self.checked_segments: set[int] = set()
        self._tail_lines = self._scalar("SELECT count(*) FROM tail")

    def close(self) -> None:
        """Close the connection; whoever closes last copies SQLite's write-ahead log into the file.

        SQLite does that after it has looked whether the file is still at its place, and then removes
        the write-ahead log by name. Under the folder lock nobody swaps in a new index in between.
        """
        if self.path is None:
            self.connection.close()
            return
        with suppress(OSError), durable.exclusive_lock(self.path.parent):
            self.connection.close()
        # Where the folder is gone there is nothing to keep apart.
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

    def boundary_rows(self) -> tuple[list[Row], list[Row]]:
        """The first two rows and the last two, by which the index is held against its log; without names."""
        first, last = (
            self.connection.execute(
                f"SELECT * FROM {ALL_LINES.format(schema='main')} ORDER BY byte_offset {order} LIMIT 2"
            ).fetchall()
            for order in ("ASC", "DESC")
        )
        return [_row_without_names(values) for values in first], [_row_without_names(values) for values in last]

    # -- feeding ----------------------------------------------------------------------------------

    def extend(self, rows: Sequence[Row]) -> bool:
        """Add the rows that are new; True when the index now reaches the end of the last one.

        `rows` are consecutive lines. False means that the index ends before the first of them: feed
        it what is missing. Rows that are known already are passed over, since another process may
        have fed them.

        Raises:
            DamagedIndexError: the index ends in the middle of one of the rows.
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
                raise DamagedIndexError(f"the index ends at byte {covered}, inside a line of the log")
            self._feed(new)
        self._maybe_wal_checkpoint()
        return True

    def _append_next(self, row: Row) -> bool:
        """The short way for the usual case: one entry, right after the last, all names known.

        False where it is another case, and nothing was done.
        """
        if row.problem or self._tail_lines >= SEGMENT_LINES:
            return False
        try:
            values = _values(row, self._names)
        except KeyError:
            return False
        parents = seal(row.byte_offset, row.parents)
        if self.connection.execute(_INSERT_NEXT, (*values, parents)).rowcount != 1:
            return False
        self._tail_lines += 1
        return True

    def _feed(self, rows: Sequence[Row]) -> None:
        names = self.numbers_of(rows)
        if len(rows) >= LONG_BATCH_LINES or self._tail_lines + len(rows) >= SEGMENT_LINES:
            # Other processes feed and fold the same tail, so now it is counted.
            self._tail_lines = self._scalar("SELECT count(*) FROM tail")
        while rows:
            room = max(SEGMENT_LINES - self._tail_lines, 0)
            piece, rows = rows[:room], rows[room:]
            if len(piece) == room or len(piece) >= LONG_BATCH_LINES:
                self._fold(piece, names)
            else:
                self._insert_into_tail(piece, names)
                self._tail_lines += len(piece)

    def insert_lines(self, rows: Sequence[Row], names: _Names) -> None:
        """Add rows to `line`; the caller knows that they follow the last, and folds. Call inside a transaction."""
        if rows:
            self.connection.executemany(_INSERT_LINE, _all_values(rows, names))
            self._insert_problems(rows)

    def _insert_into_tail(self, rows: Sequence[Row], names: _Names) -> None:
        if rows:
            sealed = [seal(row.byte_offset, row.parents) for row in rows]
            values = ((*row, parents) for row, parents in zip(_all_values(rows, names), sealed, strict=True))
            self.connection.executemany(_INSERT_TAIL, values)
            self._insert_problems(rows)

    def _insert_problems(self, rows: Sequence[Row]) -> None:
        if problems := [(row.byte_offset, *row.problem) for row in rows if row.problem]:
            self.connection.executemany("INSERT INTO non_entry VALUES (?, ?, ?)", problems)

    def numbers_of(self, rows: Iterable[Row]) -> _Names:
        """The number of each name in `rows`, new ones given one. Call inside a transaction."""
        ids: _Names = {None: None}
        # In the order in which they arrive, so that two indexes of one log are alike.
        for name in dict.fromkeys(chain.from_iterable(map(_names_of, rows))):
            if name is None:
                continue
            known = self._names.get(name)
            if known is None:
                self.connection.execute("INSERT OR IGNORE INTO name (text) VALUES (?)", (name,))
                known = self.number_of(name)
                if known is None:
                    raise DamagedIndexError(f"the name {name[:60]!r} can't be found after it was added")
                self._new_names[name] = known
            ids[name] = known
        return ids

    def number_of(self, name: str) -> int | None:
        """The number of a name, as SQLite's index of names and the table both have it; None where neither does.

        Raises:
            DamagedIndexError: they contradict each other.
        """
        found = self.connection.execute("SELECT id FROM name WHERE text = ?", (name,)).fetchone()
        if found is None:
            if self.connection.execute("SELECT id FROM name NOT INDEXED WHERE text = ?", (name,)).fetchone():
                raise DamagedIndexError(f"the name {name[:60]!r} is missing from its index")
            return None
        number = integer(found)
        if self.connection.execute("SELECT text FROM name WHERE id = ?", (number,)).fetchone() != (name,):
            raise DamagedIndexError(f"the name {name[:60]!r} is not the one of number {number}")
        return number

    def _fold(self, rows: Sequence[Row], names: _Names) -> None:
        """Make one segment of the tail and of `rows`, which follow it."""
        first, digest = self.connection.execute("SELECT min(byte_offset), sum(digest) FROM tail").fetchone()
        wanted = [*self.tail_links(), *loose_links(rows)]
        if first is None:
            first = rows[0].byte_offset
        else:
            self.connection.execute(f"INSERT INTO line ({LINE_COLUMNS}) SELECT {LINE_COLUMNS} FROM tail")
            # What is folded gets a digest that says it is right, so it has to be.
            if digest != self._scalar("SELECT sum(digest_now) FROM tail"):
                raise DamagedIndexError("rows of the tail are altered")
            self.connection.execute("DELETE FROM tail")
        self.insert_lines(rows, names)
        end = self.covered()
        refer(self.connection, first, end)
        segments = [at for (at,) in self.connection.execute("SELECT first_offset FROM segment ORDER BY first_offset")]
        links_digest = link_lines(self.connection, first, end, wanted, [*segments, first])
        summarise(self.connection, first, end, links_digest)
        self._tail_lines = 0

    def tail_links(self) -> Iterator[Loose]:
        """What the entries of the tail name as their parents, in arrival order."""
        found = self.connection.execute(
            "SELECT byte_offset, parents FROM tail WHERE parents IS NOT NULL ORDER BY byte_offset"
        )
        for child, parents in found:
            for parent in unseal(child, parents):
                yield child, parent

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
        """A read transaction: every statement in it sees the same moment. One may stand in another."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self._end_snapshot()

    def _end_snapshot(self) -> None:
        # After some errors SQLite has ended it by itself.
        if self.connection.in_transaction:
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
        return integer(self.connection.execute(statement, values).fetchone())


def loose_links(rows: Iterable[Row]) -> Iterator[Loose]:
    """What some lines name as their parents, in the order of the lines."""
    return ((row.byte_offset, parent) for row in rows if row.parents for parent in split_op_ids(row.parents))


def _values(row: Row, names: _Names) -> tuple[int | None, ...]:
    """What is stored of a row; a `KeyError` where a name has no number yet."""
    byte_offset, length, checksum, lamport_ts, op_id, actor, domain, intent, reservation, _, _ = row
    high, low = op_numbers(op_id)
    actor_number, domain_number = names[actor], names[domain]
    intent_number, reservation_number = names[intent], names[reservation]
    return (
        byte_offset,
        length,
        checksum,
        lamport_ts,
        high,
        low,
        actor_number,
        domain_number,
        intent_number,
        reservation_number,
    )


def _all_values(rows: Sequence[Row], names: _Names) -> Iterable[tuple[int | None, ...]]:
    """`_values` of each; where all are entries column by column, which takes a third of the time."""
    byte_offsets, lengths, checksums, lamport_ts, op_ids, *roles, _, _ = zip(*rows, strict=True)
    if None in op_ids:
        return [_values(row, names) for row in rows]
    halves = struct.unpack(f">{2 * len(rows)}q", b"".join(op_ids))
    numbers = [map(names.__getitem__, role) for role in roles]
    return zip(byte_offsets, lengths, checksums, lamport_ts, halves[::2], halves[1::2], *numbers, strict=True)


def _row_without_names(values: tuple[Any, ...]) -> Row:
    return Row(*places_of([values[:4]])[0], op_id_of(values[4], values[5]))
