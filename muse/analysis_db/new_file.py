"""A new SQLite database under a name: whole, or not at all.

It is written aside in the same folder and renamed. SQLite itself flushes it to the disk with the last commit
(`flush_with_next_commit`), so after power loss the name leads to the whole database or to what was there before.
The new name itself may be lost then: an export can be made again.
"""

# ruff: noqa: PLC0415 - importing sqlite_utils takes 70 ms, and only this export needs it

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

_JOURNAL_IN_THE_WAY = "the journal of an older database: close the program that uses it, or take another name"


@contextmanager
def new_database(path: Path, *, replace: bool) -> Iterator[Database]:
    """A new database beside `path`, which takes that name if the block ends well.

    If the block fails, nothing is left. A process that is killed leaves a file whose name begins with a dot.

    Raises:
        FileExistsError: there is something at `path` that must stay.
        OSError: it could not be written, or the journal of an older database lies beside it.
    """
    from sqlite_utils import Database

    _refuse_to_replace(path, replace=replace)
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with _naming(path):
            os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        with _refusals_of_the_system(path), closing(sqlite3.connect(aside, isolation_level=None)) as connection:
            # Nobody sees the file before it is whole, so it needs no journal on disk and no flush in between.
            connection.execute("pragma journal_mode = memory")
            connection.execute("pragma synchronous = off")
            yield Database(connection, execute_plugins=False)
        _refuse_to_replace(path, replace=replace)
        with _naming(path):
            aside.rename(path)
    finally:
        with suppress(OSError):
            aside.unlink()


def flush_with_next_commit(db: Database) -> None:
    """Let the next commit return only when the whole file is on the disk."""
    db.execute("pragma synchronous = full")


def _refuse_to_replace(path: Path, *, replace: bool) -> None:
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if not stat.S_ISREG(mode):
            raise FileExistsError(errno.EEXIST, "exists and is not a regular file", str(path))
    for ending in ("-journal", "-wal"):
        journal = path.with_name(path.name + ending)
        # SQLite would take it for the new database's own, and write pages of the old one into it.
        if os.path.lexists(journal):
            raise OSError(errno.EBUSY, _JOURNAL_IN_THE_WAY, str(journal))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors name the file that was asked for, not the one aside."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def _refusals_of_the_system(path: Path) -> Iterator[None]:
    """Make an OSError of what SQLite says if the system refuses to write."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise OSError(errno.EIO, f"SQLite can't write it: {error}", str(path)) from error
        raise
