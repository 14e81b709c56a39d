"""`index.db` as a file: opened, transactions on it, closed, and a new one put in its place.

A new index is built as `index.db.new`, under the lock file `index.db.building`, and takes the old one's place under
the folder's lock. Opening or closing `index.db` takes the folder's lock as well, so nobody meets the moments between:
in WAL mode SQLite opens the files beside a database, by their names, at its first statement and never again.
Connections that still have the old file open go on with it, harmlessly: it covers what it covers, and SQLite leaves
the new one's write-ahead log alone when it closes a database that is no longer at its place (`databaseIsUnmoved` in
SQLite's pager.c). They notice by the file's inode, and open the new one.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from muse.core.errors import LockTimeoutError
from muse.core.index.blocks.op_id_keys import OpIdHash, random_hash
from muse.core.index.blocks.segment import DamagedIndexError, row_checksum
from muse.core.index.guard import connect, is_safe, migrations_module, open_guarded, with_sides
from muse.core.storage import durable
from muse.core.storage.descriptor import open_descriptor
from muse.core.storage.locks import exclusive_lock, lock_file
from muse.core.storage.session_dir import INDEX_NAME, LOG_NAME

INDEX_FAULTS = (sqlite3.Error, DamagedIndexError, UnicodeDecodeError)
"""What a damaged index file raises; the last if even SQLite's message quotes damaged text."""

LIES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, struct.error)
"""What else an index raises whose rows hold anything at all under the right checksums."""

_CACHE_KIB = 6000  # SQLite's own default is 2000: too small to hold the pages of a busy tail and of a fold
_PAGE_BYTES = 1024  # an append rewrites a page of the tail: the smaller the page, the less is written

_LOCK_WAIT_SECONDS = 0.5  # whoever has the folder's lock keeps it for some milliseconds
_CLOSE_WAIT_SECONDS = 0.1
_HELD_WAL = 4  # times the size at which it is copied: by then a reader of ours would have been done
_SYNC_SECONDS = 5  # a new index is large, and a busy disk takes so long

_log = logging.getLogger(__name__)


class Database:
    """One connection to one index file, or to one in memory (`path` None)."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        """Take over an open connection whose schema is known to be right."""
        self.connection = connection
        self.path = path
        self._inode = path.stat().st_ino if path else 0
        self._has_warned = False
        self.wait_ms = -1
        self.is_usable = True
        """False after a transaction has failed half-way: what was read through it may be ahead of the file."""
        self.wal_is_held = False
        """Whether SQLite's write-ahead log has grown far, because somebody has long been reading what is in it."""

    @cached_property
    def op_id_hash(self) -> OpIdHash:
        """How op_ids are hashed in this index.

        Raises:
            DamagedIndexError: its factor is missing or altered.
        """
        return OpIdHash(int(self._origin[1], 16))

    @property
    def session(self) -> str:
        """The folder of the session that it was made for; "" if it is in no session's folder.

        Raises:
            DamagedIndexError: it is missing or altered.
        """
        return self._origin[0]

    @cached_property
    def _origin(self) -> tuple[str, str]:
        found = self.connection.execute("SELECT session, factor, row_checksum FROM origin").fetchone()
        if found is None or row_checksum(found[:2]) != found[2] or not re.fullmatch("[0-9a-f]{32}", str(found[1])):
            raise DamagedIndexError("the session or the factor by which it hashes op_ids is missing or altered")
        return str(found[0]), str(found[1])

    def is_current(self) -> bool:
        """Whether the file that this connection has open is still the one beside the log."""
        if self.path is None:
            return True
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A write transaction: all of it or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self.is_usable = False
            # On a full disk SQLite has rolled back by itself.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

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

    def wait_up_to(self, milliseconds: int) -> None:
        """How long the next statements wait while another connection writes, before they fail."""
        if milliseconds != self.wait_ms:
            self.connection.execute(f"PRAGMA busy_timeout = {milliseconds}").fetchall()
            self.wait_ms = milliseconds

    def maybe_wal_checkpoint(self, size_bytes: int) -> None:
        """Copy SQLite's write-ahead log into the database when it has grown to `size_bytes`; warn if that is in vain.

        SQLite 3.7.0 to 3.51.2 can corrupt a database in which two connections do this at the same moment, so it is
        done under the folder's lock, and not at all while somebody else holds it.
        """
        if self.path is None:
            return
        wal = self.path.with_name(self.path.name + "-wal")
        try:
            size = wal.stat().st_size
        except FileNotFoundError:
            return
        if size < size_bytes:
            self.wal_is_held = False
            return
        with suppress(LockTimeoutError), exclusive_lock(self.path.parent, 0):
            _, pages, copied = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            _log.debug("%s: WAL checkpoint done, %d of %d pages", self.path, copied, pages)
            self.wal_is_held = copied < pages and size >= _HELD_WAL * size_bytes
        if self.wal_is_held and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s: has grown to %d bytes, as another program has been reading the index all the time; it is emptied "
                "when that program ends its transaction, and grows more slowly until then",
                wal,
                size,
            )

    def close(self) -> None:
        """Close the connection; the last one to close copies SQLite's write-ahead log into the file.

        SQLite does that after it has looked if the file is still at its place, and then removes the write-ahead log
        by name. Under the folder's lock nobody swaps in a new index in between. If that can't be had, somebody was
        stopped while he had it, and will hardly go on at this very moment.
        """
        self.is_usable = False
        try:
            if self.path is not None:
                with suppress(OSError), exclusive_lock(self.path.parent, _CLOSE_WAIT_SECONDS):
                    self.connection.close()
        finally:
            # If the folder is gone there is nothing to keep apart.
            self.connection.close()

    def leave_to_parent(self) -> None:
        """In a forked child: never touch this connection. SQLite takes the parent's locks on the file for its own, so
        no other connection of this process may be opened on it either.
        """
        _left_to_parent.append(self)


_left_to_parent: list[Database] = []


# -- opening --------------------------------------------------------------------------------------------------


def open_database(folder: Path, wait_seconds: float = _LOCK_WAIT_SECONDS) -> Database | None:
    """Open the session's `index.db`; None if there is none, or it is not an index of this schema.

    While another one is put into its place, that is waited for.

    Raises:
        sqlite3.OperationalError, OSError: it is there but can't be opened now (locked, read-only, …).
    """
    path = folder / INDEX_NAME
    with exclusive_lock(folder, wait_seconds):
        if any(database.path == path and database.is_current() for database in _left_to_parent):
            raise OSError(errno.EBUSY, "was in use when this process was forked", str(path))
        if not is_safe(path) or not path.stat().st_size:
            return None
        connection = None
        try:
            # Reading opens SQLite's -wal and -shm by name: it has to happen while the names are ours.
            connection = open_guarded(path, immutable=_can_only_be_read(path))
            if connection is None:
                _log.warning("%s: its schema is not the one of this version; it will be rebuilt", path)
                return None
            # The last lets a WAL that was copied start small, or it would be copied again and again.
            for pragma in (
                *("wal_autocheckpoint = 0", "synchronous = NORMAL", f"cache_size = {-_CACHE_KIB}"),
                *("journal_size_limit = 0", "journal_mode = WAL"),
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            return Database(connection, path)
        except INDEX_FAULTS as error:
            if connection:
                connection.close()
            if isinstance(error, sqlite3.Error) and is_transient(error):
                raise
            _log.warning("%s: not a usable index (%s); it will be rebuilt", path, error)
            return None
        except BaseException:
            if connection:
                connection.close()
            raise


def _can_only_be_read(path: Path) -> bool:
    """Whether no files can be made beside it, as SQLite needs them to see who else is there, and none is there."""
    return not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()


def is_transient(error: sqlite3.Error) -> bool:
    """Whether the file may be fine, and it is only a bad moment: locked, read-only, full, no access."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_IOERR_SHORT_READ:  # the file was cut
        return False
    return code & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
    )


# -- making ---------------------------------------------------------------------------------------------------


def new_in_memory() -> Database:
    """An empty index that lives as long as its handle, for a log beside which none can lie."""
    connection = connect(None)
    # What is put aside while it is built must not need a place on disk either.
    connection.execute("PRAGMA temp_store = MEMORY")
    return _with_schema(connection, "")


def new_temporary() -> Database:
    """An empty index in a file that has no name: it is gone with its connection, even if the process is killed."""
    return _unprotected(sqlite3.connect("", isolation_level=None, check_same_thread=False), "")


@contextmanager
def replacing(folder: Path, stuck_seconds: float) -> Iterator[tuple[Database, list[Path], Callable[[float], None]]]:
    """An empty index to fill, which takes the place of the session's when the block ends well.

    Several processes may try at once: they take turns, and each puts a whole one into place. Given with it are the
    files in which older indexes may lie, for what they have seen; the first is left of a process that was killed
    while it did this. The function that comes last is to be called now and then: the others wait as long as it is
    (see `lock_file`).

    Raises:
        LockTimeoutError: another process holds the turn and has given no sign of life for `stuck_seconds`.
        sqlite3.Error, OSError: it could not be built, and the old one is as it was; or it could not be put into
            place, and there is none.
    """
    path, new, old = (folder / (INDEX_NAME + end) for end in ("", ".new", ".old"))
    if path.is_dir() and not path.is_symlink():
        # It was not made by us, and is not ours to move away.
        raise IsADirectoryError(errno.EISDIR, "a folder is in the index's place", str(path))
    with lock_file(folder / (INDEX_NAME + ".building"), stuck_seconds) as sign_of_life:
        _remove(new)
        if not os.path.lexists(path):
            # A process was killed while it swapped: what SQLite had beside the old one is needed to read it.
            _move_sides(path, old)
        try:
            # SQLite gives the files that it makes beside it the same rights.
            with open_descriptor(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
                durable.take_rights(file.fileno(), folder / LOG_NAME)
            database = _unprotected(connect(new), folder.name)
            try:
                yield database, [each for each in (old, path) if is_safe(each)], sign_of_life
                # Of all modes the only one in which no file beside it is ever opened later than with it.
                database.connection.execute("PRAGMA journal_mode = WAL").fetchall()
            finally:
                database.connection.close()
            sign_of_life(_SYNC_SECONDS)
            _sync(new)
        except BaseException:
            _remove(new)
            raise
        with exclusive_lock(folder, _LOCK_WAIT_SECONDS):
            _swap_in(new, path, old)
        # What follows takes the disk its time, and nobody has to wait for it.
        durable.sync_folder(folder)
        # Whatever somebody has put there, the new one is in its place.
        with suppress(OSError):
            _remove(old)


def _unprotected(connection: sqlite3.Connection, session: str) -> Database:
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        # A half-built file is thrown away, so nothing has to be able to roll it back.
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
        connection.execute("PRAGMA synchronous = OFF")
    except BaseException:
        connection.close()
        raise
    return _with_schema(connection, session)


def _with_schema(connection: sqlite3.Connection, session: str) -> Database:
    from sqlite_utils import Database as SqliteUtilsDatabase  # noqa: PLC0415 - see guard.KNOWN_MIGRATIONS

    try:
        migrations_module().migrations.apply(SqliteUtilsDatabase(connection))
        row = (session, random_hash().digits)
        connection.execute("INSERT INTO origin VALUES (1, ?, ?, ?)", (*row, row_checksum(row)))
    except BaseException:
        connection.close()
        raise
    return Database(connection, None)


def _swap_in(new: Path, path: Path, old: Path) -> None:
    """Put `new` in the place of `path`; a crash in between leaves no index, and `old` as evidence.

    The old one's journal or write-ahead log must be out of the way first, or SQLite would replay it into the new file;
    it goes with its database, as a pair that can still be read.
    """
    if os.path.lexists(path):
        # What was left of another time has been taken over by it. Its write-ahead log must not look like this one's.
        _remove(old)
    _rename_if_there(path, old)
    _move_sides(path, old)
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    os.rename(new, path)


def _remove(path: Path) -> None:
    for file in with_sides(path):
        file.unlink(missing_ok=True)


def _move_sides(path: Path, old: Path) -> None:
    for side in ("-journal", "-wal"):
        _rename_if_there(path.with_name(path.name + side), old.with_name(old.name + side))


def _rename_if_there(path: Path, to: Path) -> None:
    with suppress(FileNotFoundError):
        os.rename(path, to)


def _sync(path: Path) -> None:
    # No connection of this process is on the file yet, so closing a descriptor of it does no harm.
    with open_descriptor(path, os.O_RDONLY) as file:
        durable.sync_file(file.fileno(), path)
