"""The life of `index.db` as a file: opened, made anew beside the old one, swapped in.

A new index is built as `index.db.new`, under the lock file `index.db.building`, and takes the old
one's place under the folder lock. Whoever opens or closes `index.db` takes the folder lock as well, so
nobody meets the moments between. Connections that still have the old file open go on with it,
harmlessly: it covers what it covers, and SQLite leaves the new one's write-ahead log alone when it
closes a database that is no longer at its place (`databaseIsUnmoved` in SQLite's pager.c). They notice
by the file's inode, and open the new one.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from muse.core.old_index.index import INDEX_FAULTS, Index
from muse.core.old_index.index_build import build
from muse.core.old_index.index_evidence import inherit_evidence
from muse.core.storage import durable
from muse.core.storage.record import Row
from muse.core.storage.session_dir import INDEX_NAME

KNOWN_MIGRATIONS = ["m0001_lines_segments_presences_links"]
"""The names in migrations/migrations.py; repeated here because importing sqlite-utils takes longer
than anything else this library does, and only a new index needs it."""

_CACHE_KIB = 6000  # SQLite's own default is 2000: too small for the op_ids of a million entries
_PAGE_BYTES = 1024  # an append rewrites a page of the tail: the smaller the page, the less is written

_log = logging.getLogger(__name__)


def open_index(folder: Path) -> Index | None:
    """Open the session's `index.db`; None where there is none or it is no index of this schema.

    Raises:
        sqlite3.OperationalError, OSError: it is there but can't be opened now (locked, read-only, …).
    """
    path = folder / INDEX_NAME
    with durable.exclusive_lock(folder):
        if path.is_symlink() or not path.is_file() or path.stat().st_size == 0:
            return None
        connection = _connect(path)
        try:
            if not _has_our_schema(connection):
                _log.warning("%s: its schema is not the one of this version; it will be rebuilt", path)
                connection.close()
                return None
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
            index = Index(connection, path)
            # Reading opens SQLite's -wal and -shm by name: it has to happen while the names are ours.
            index.covered()
        except INDEX_FAULTS as error:
            connection.close()
            if isinstance(error, sqlite3.Error) and is_transient(error):
                raise
            _log.warning("%s: not a usable index (%s); it will be rebuilt", path, error)
            return None
        except BaseException:
            connection.close()
            raise
        return index


@contextmanager
def at_rest(folder: Path) -> Iterator[Index | None]:
    """The session's index to read from while nobody has it open; None where somebody has, or there is none.

    Without locks of SQLite's own and the two files beside it, which take longer to make than a short question.
    Whoever opens an index waits for the folder's lock meanwhile. A process that died with it open leaves its
    write-ahead log behind; then this gives None, and `open_index` takes care of it.

    Raises:
        sqlite3.Error, OSError: it can't be read.
    """
    path = folder / INDEX_NAME
    with durable.exclusive_lock(folder):
        if any(side.exists() for side in _with_sides(path)[1:]) or path.is_symlink() or not path.is_file():
            yield None
            return
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            yield Index(connection, None) if _has_our_schema(connection) else None
        finally:
            connection.close()


def _has_our_schema(connection: sqlite3.Connection) -> bool:
    applied = connection.execute("SELECT name FROM _sqlite_migrations ORDER BY id").fetchall()
    return [name for (name,) in applied] == KNOWN_MIGRATIONS


def open_in_memory(rows: Iterable[Row]) -> Index:
    """An index that lives as long as its handle, for where none can lie beside the log."""
    connection = _connect(None)
    try:
        # What is put aside while it is built must not need a place on disk either.
        connection.execute("PRAGMA temp_store = MEMORY")
        _migrate(connection)
        index = Index(connection, None)
        build(index, rows)
    except BaseException:
        connection.close()
        raise
    return index


def make_index(folder: Path, rows: Iterable[Row], *, same_log: bool) -> None:
    """Build an index from all rows of the log, and put it in the place of whatever is there.

    Several processes may try at once: they take turns, each swaps in a whole one. What the old one
    has seen of checkpoints is carried over and, where it is known to be of the `same_log`, what it
    has seen of lines that have changed since.

    Raises:
        sqlite3.Error, OSError: it could not be built, and the old one is untouched; or it could not be
            put into place, and there is none.
    """
    new = folder / (INDEX_NAME + ".new")
    old = folder / (INDEX_NAME + ".old")
    if (folder / INDEX_NAME).is_dir() and not (folder / INDEX_NAME).is_symlink():
        # Whoever made it, it is not ours to move away.
        raise IsADirectoryError(errno.EISDIR, "a folder is in the index's place", str(folder / INDEX_NAME))
    with _building_alone(folder):
        for file in _with_sides(new):
            file.unlink(missing_ok=True)
        try:
            # SQLite would create it readable for others at most; with the user's umask a group can share it.
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            _build_at(new, rows, lambda index: _inherit(index, folder, old, same_log=same_log))
            _sync(new)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        with durable.exclusive_lock(folder):
            _swap_in(new, folder / INDEX_NAME, old)


def _build_at(path: Path, rows: Iterable[Row], finish: Callable[[Index], None]) -> None:
    connection = _connect(path)
    try:
        index = _fill(connection, rows)
        finish(index)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    finally:
        connection.close()


def open_temporary(rows: Iterable[Row]) -> Index:
    """An index of all rows of a log in a file that has no name: it is gone with its connection, even if
    the process is killed, and takes disk instead of memory.
    """
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        return _fill(connection, rows)
    except BaseException:
        connection.close()
        raise


def _fill(connection: sqlite3.Connection, rows: Iterable[Row]) -> Index:
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    # A half-built file is thrown away, so nothing has to be able to roll it back.
    connection.execute("PRAGMA journal_mode = OFF").fetchall()
    connection.execute("PRAGMA synchronous = OFF")
    _migrate(connection)
    index = Index(connection, None)
    build(index, rows)
    return index


def _inherit(index: Index, folder: Path, old: Path, *, same_log: bool) -> None:
    # Under the lock, since leaving the old index may be SQLite's closing of its last connection.
    with durable.exclusive_lock(folder):
        # `old` is there where a process was killed while it swapped; it may be all that is left.
        for path, is_same in ((old, True), (folder / INDEX_NAME, same_log)):
            if not path.is_file() or path.is_symlink():
                continue
            try:
                inherit_evidence(index, path, same_log=is_same)
            except INDEX_FAULTS as error:
                _log.warning("%s: what this index had seen could not be carried over (%s)", path, error)


def _swap_in(new: Path, path: Path, old: Path) -> None:
    """Put `new` in the place of `path`; a crash in between leaves no index, and `old` as evidence.

    The write-ahead log must be out of the way first, or SQLite would replay it into the new file; and
    it goes with its database, as a pair that can still be read.
    """
    _rename_if_there(path, old)
    _rename_if_there(path.with_name(path.name + "-wal"), old.with_name(old.name + "-wal"))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    os.rename(new, path)
    durable.sync_folder(path.parent)
    for file in _with_sides(old):
        file.unlink(missing_ok=True)


def _rename_if_there(path: Path, to: Path) -> None:
    with suppress(FileNotFoundError):
        os.rename(path, to)


def _with_sides(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + side) for side in ("-journal", "-wal", "-shm"))]


@contextmanager
def _building_alone(folder: Path) -> Iterator[None]:
    """Keep other builders of this session's index waiting.

    The lock is on a file of its own: closing any descriptor of a database drops the POSIX locks that
    SQLite holds on it in this process.
    """
    path = folder / (INDEX_NAME + ".building")
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # While this one waited, the one before has removed the file: the lock is on nothing.
            if _is_at(path, fd):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(fd)


def _is_at(path: Path, fd: int) -> bool:
    try:
        at_path = os.stat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (at_path.st_dev, at_path.st_ino) == (mine.st_dev, mine.st_ino)


def _sync(path: Path) -> None:
    # No connection of this process is on the file yet, so closing a descriptor of it does no harm.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        durable.sync_file(fd, path)
    finally:
        os.close(fd)


def is_transient(error: sqlite3.Error) -> bool:
    """Whether the file may be fine and only the moment is bad: locked, read-only, full, no access."""
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


def _connect(path: Path | None) -> sqlite3.Connection:
    return sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=0.1,
        isolation_level=None,
        check_same_thread=False,  # the owner's lock keeps the threads apart
    )


def _migrate(connection: sqlite3.Connection) -> None:
    from sqlite_utils import Database  # noqa: PLC0415 - see KNOWN_MIGRATIONS

    _migrations().migrations.apply(Database(connection))


def _migrations() -> ModuleType:
    """The migrations module: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for path in (package / "_migrations" / "migrations.py", package.parent / "migrations" / "migrations.py"):
        spec = importlib.util.spec_from_file_location("muse_index_migrations", path)
        if path.is_file() and spec and spec.loader:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError(f"no migrations/migrations.py beside {package}: the installation is incomplete")
