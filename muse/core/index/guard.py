"""Opening an index that somebody may have made to do harm: nothing in it is run, and no file beside it is believed.

What its rows say is not judged here: that is left to their checksums, to the log, and to `verify` (docs/trust.md).
"""

from __future__ import annotations

import importlib.util
import os
import re
import sqlite3
import stat
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType

from muse.core.storage.descriptor import open_descriptor

KNOWN_MIGRATIONS = ["m0001_tail_segments_origin_runs_evidence"]
"""The names in migrations/migrations.py; repeated here because importing sqlite-utils takes longer
than anything else this library does, and only a new index needs it."""


_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_MAX_VALUE_BYTES = 256 << 20  # of one value or row: a segment of names of 128 kB takes so much
_MAX_STEPS = 100_000  # of SQLite, in each statement by which it is found out if an index is ours: some 5 ms


def connect(path: Path | None, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection to a database that is trusted, or in memory. In an `immutable` one SQLite heeds nobody else."""
    name = ":memory:" if path is None else f"{path.absolute().as_uri()}?immutable=1" if immutable else path
    return sqlite3.connect(
        name,
        uri=immutable,
        timeout=0.5,
        isolation_level=None,
        check_same_thread=False,  # the owner's lock keeps the threads apart
    )


def open_guarded(path: Path, *, immutable: bool = False) -> sqlite3.Connection | None:
    """A connection to an index that may be hostile; None if its schema is not ours, word for word."""
    try:
        return _open(path, immutable=immutable)
    except sqlite3.DatabaseError as error:
        if not is_refused(error):
            raise
        # A signal handler may have raised while SQLite asked what it may do, which SQLite takes for a no.
        return _open(path, immutable=immutable)


def is_refused(error: Exception) -> bool:
    """Whether SQLite was not allowed to do something: a schema wants it, or a signal came in between."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH


def _open(path: Path, *, immutable: bool) -> sqlite3.Connection | None:
    connection = connect_guarded(path, immutable=immutable)
    try:
        if has_our_schema(connection):
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def connect_guarded(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection to any database; statements of more than some milliseconds fail, until its schema is found ours.

    Nothing that stands in a schema is ever run: no view, trigger or function, also if it is put there later.
    """
    connection = connect(path, immutable=immutable)
    try:
        # Before the authorizer is there: a signal handler that raises in it would make SQLite refuse these.
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
        connection.set_authorizer(_refuse_what_a_schema_does)
        # A tree whose pages share their children has rows without end.
        connection.set_progress_handler(lambda: True, _MAX_STEPS)
    except BaseException:
        connection.close()
        raise
    return connection


# Kept answers run no line of Python. What a signal handler raises in one is lost, and SQLite takes it for a no.
@lru_cache(maxsize=1024)
def _refuse_what_a_schema_does(
    _action: int, _one: str | None, _two: str | None, _base: str | None, by: str | None
) -> int:
    return sqlite3.SQLITE_OK if by is None else sqlite3.SQLITE_DENY


def has_our_schema(connection: sqlite3.Connection) -> bool:
    """Whether its schema is ours, word for word; then its statements may take as long as they need."""
    ours = _statements()
    found = connection.execute(
        "SELECT sql FROM sqlite_master UNION ALL SELECT name FROM _sqlite_migrations LIMIT 30"
    ).fetchall()
    others = [text for (text,) in found if text not in ours]
    made, names = others[: len(_OF_MIGRATIONS)], others[len(_OF_MIGRATIONS) :]
    if (
        len(found) - len(others) != len(ours)
        or names != KNOWN_MIGRATIONS
        or not all(map(re.fullmatch, _OF_MIGRATIONS, made))
    ):
        return False
    connection.set_progress_handler(None, 0)
    return True


_OF_MIGRATIONS = (
    r'CREATE TABLE "_sqlite_migrations" \([\w\s",]*\)',
    r'CREATE UNIQUE INDEX "idx__sqlite_migrations_\w+"\s+ON "_sqlite_migrations" \([\w\s",]*\)',
)
"""The words of what sqlite-utils makes for itself: names and types alone."""


@cache
def _statements() -> frozenset[str]:
    schema = beside_package("schema.sql").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^CREATE .*?(?=;$)", schema, re.MULTILINE | re.DOTALL))


def beside_package(name: str) -> Path:
    """A file of migrations/: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for path in (package / "_migrations" / name, package.parent / "migrations" / name):
        if path.is_file():
            return path
    raise FileNotFoundError(f"no migrations/{name} beside {package}: the installation is incomplete")


def migrations_module() -> ModuleType:
    """migrations/migrations.py, loaded by its path."""
    path = beside_package("migrations.py")
    spec = importlib.util.spec_from_file_location("muse_index_migrations", path)
    assert spec  # noqa: S101 - the name ends with .py
    assert spec.loader  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_safe(path: Path) -> bool:
    """Whether a database and what lies beside it are regular files: SQLite would wait for whoever writes to a FIFO.

    Nor may a journal name another file, that of a transaction over several databases: SQLite would remove that file,
    wherever it lies. No journal of ours does.
    """
    modes = {file: mode for file in with_sides(path) if (mode := _mode_of(file)) is not None}
    if path not in modes or not all(map(stat.S_ISREG, modes.values())):
        return False
    journal = path.with_name(path.name + "-journal")
    try:
        return journal not in modes or not _ends_with_name(journal)
    except FileNotFoundError:
        # Whoever was writing has ended.
        return True


def _mode_of(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def _ends_with_name(journal: Path) -> bool:
    with open_descriptor(journal, os.O_RDONLY | os.O_NOFOLLOW) as file:
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), 8, max(size - 8, 0)) == _JOURNAL_MAGIC


def with_sides(path: Path) -> list[Path]:
    """A database and the files that SQLite makes beside it."""
    return [path, *(path.with_name(path.name + side) for side in ("-journal", "-wal", "-shm"))]
