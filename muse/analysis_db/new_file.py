"""A new SQLite database under a name: whole, or not at all."""

# ruff: noqa: PLC0415 - importing sqlite_utils takes 70 ms, and only this export needs it

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from muse.core.op_log import whole_file

if TYPE_CHECKING:
    from sqlite_utils import Database

_JOURNAL_IN_THE_WAY = "the journal of an older database: close the program that uses it, or take another name"


@contextmanager
def new_database(path: Path, *, replace: bool) -> Iterator[Database]:
    """A new database beside `path`, which takes that name if the block ends well, and then survives power loss.

    If the block fails, nothing is left. A process that is killed leaves a file whose name begins with a dot.

    Raises:
        FileExistsError: there is something at `path` that must stay.
        OSError: it could not be written, or the journal of an older database lies beside it.
    """
    from sqlite_utils import Database

    with whole_file(path, replace=replace) as aside:
        _refuse_journal(path)
        with _refusals_of_the_system(path), closing(sqlite3.connect(aside, isolation_level=None)) as connection:
            # Nobody sees the file before it is whole, so it needs no journal on disk and no flush in between.
            connection.execute("pragma journal_mode = memory")
            connection.execute("pragma synchronous = off")
            yield Database(connection, execute_plugins=False)
        _refuse_journal(path)


def _refuse_journal(path: Path) -> None:
    for ending in ("-journal", "-wal"):
        journal = path.with_name(path.name + ending)
        # SQLite would take it for the new database's own, and write pages of the old one into it.
        if os.path.lexists(journal):
            raise OSError(errno.EBUSY, _JOURNAL_IN_THE_WAY, str(journal))


@contextmanager
def _refusals_of_the_system(path: Path) -> Iterator[None]:
    """Make an OSError of what SQLite says if the system refuses to write."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_FULL:
            # Sorting takes room in the temporary folder, and SQLite does not say which of the two is full.
            raise OSError(errno.ENOSPC, "No space left for it, or in the temporary folder", str(path)) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise OSError(errno.EIO, f"SQLite can't write it: {error}", str(path)) from error
        raise
