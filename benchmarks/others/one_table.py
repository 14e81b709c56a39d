"""One SQLite table that holds the payload and answers the same lookups, with no log beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import orjson

from benchmarks.compare import Work
from muse.core.op_log import OpEntry

_INSERT = "INSERT OR IGNORE INTO op (op_id, actor_id, domain, lamport_ts, payload) VALUES (?, ?, ?, ?, ?)"


def _table(folder: Path) -> sqlite3.Connection:
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / "ops.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.executescript(
        """
        CREATE TABLE op (
            number     INTEGER PRIMARY KEY,
            op_id      TEXT NOT NULL UNIQUE,
            actor_id   TEXT NOT NULL,
            domain     TEXT NOT NULL,
            lamport_ts INTEGER NOT NULL,
            payload    BLOB NOT NULL
        );
        CREATE INDEX op_by_actor ON op (actor_id);
        CREATE INDEX op_by_domain ON op (domain);
        CREATE INDEX op_by_lamport_ts ON op (lamport_ts);
        """
    )
    return connection


def _row(entry: OpEntry) -> tuple[str, str, str, int, bytes]:
    return (entry["op_id"], entry["actor_id"], entry["domain"], entry["lamport_ts"], orjson.dumps(entry))


@contextmanager
def appending(folder: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Insert one entry after the other, one commit each."""
    first, *rest = entries
    with closing(_table(folder)) as connection:

        def work() -> None:
            for entry in rest:
                connection.execute(_INSERT, _row(entry))

        connection.execute(_INSERT, _row(first))
        yield work


@contextmanager
def batching(
    folder: Path, batches: Sequence[Sequence[OpEntry]], *, check: Callable[[OpEntry], None] | None = None
) -> Iterator[Work]:
    """Insert one batch after the other, one commit each; all entries of a batch are checked before it, if at all."""
    first, *rest = batches
    with closing(_table(folder)) as connection:

        def insert(batch: Sequence[OpEntry]) -> None:
            if check:
                for entry in batch:
                    check(entry)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, map(_row, batch))
            connection.execute("COMMIT")

        def work() -> None:
            for batch in rest:
                insert(batch)

        insert(first)
        yield work
