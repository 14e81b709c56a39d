"""Targets of the tests' own: in memory, and in SQLite. And the git repositories that they are compared with."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock

from muse.commit import CommitBatch, CommitMovedError, Committed
from tests import children


class MemoryTarget:
    """Commits in a list."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._commits: dict[str, list[Committed]] = {}
        self._lines: dict[str, bytes] = {}

    def latest(self, session_id: str) -> Committed | None:
        """The newest commit of a session."""
        with self._lock:
            return self._commits.get(session_id, [None])[-1]

    def commit(self, batch: CommitBatch) -> Committed:
        """Append it to the list, if its parent is the last one there."""
        made = batch.committed_as(uuid.uuid4().hex)
        with self._lock:
            known = self._commits.setdefault(batch.session_id, [])
            if (known[-1] if known else None) != batch.parent:
                raise CommitMovedError("another commit is the newest by now")
            self._lines[made.commit_id] = batch.lines
            known.append(made)
        return made

    def commits(self, session_id: str) -> Sequence[Committed]:
        """All commits of a session, the first one first."""
        return list(self._commits.get(session_id, ()))

    def lines(self, commits: Iterable[Committed]) -> Iterator[bytes]:
        """The lines of some commits."""
        return (self._lines[each.commit_id] for each in commits)


class SqliteTarget:
    """Commits in a table; UNIQUE keeps two from having one parent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._connect()) as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS commits (id INTEGER PRIMARY KEY, session TEXT, parent INTEGER, record TEXT,"
                " deltas TEXT, lines BLOB, UNIQUE (session, parent))"
            )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, timeout=60)

    def latest(self, session_id: str) -> Committed | None:
        """The newest commit of a session."""
        found = self.commits(session_id)
        return found[-1] if found else None

    def commit(self, batch: CommitBatch) -> Committed:
        """Insert a row."""
        # Not NULL for the first one: to SQLite no NULL is like another.
        parent = int(batch.parent.commit_id) if batch.parent else 0
        record = json.dumps(batch.committed_as("").to_record())
        deltas = json.dumps(batch.deltas)
        with closing(self._connect()) as db:
            try:
                done = db.execute(
                    "INSERT INTO commits (session, parent, record, deltas, lines) VALUES (?, ?, ?, ?, ?)",
                    (batch.session_id, parent, record, deltas, batch.lines),
                )
            except sqlite3.IntegrityError:
                raise CommitMovedError("another commit has that parent") from None
            return batch.committed_as(str(done.lastrowid))

    def commits(self, session_id: str) -> Sequence[Committed]:
        """All commits of a session, the first one first."""
        with closing(self._connect()) as db:
            rows = db.execute("SELECT id, record FROM commits WHERE session = ? ORDER BY id", (session_id,)).fetchall()
        return [Committed.from_record(str(commit_id), json.loads(record)) for commit_id, record in rows]

    def lines(self, commits: Iterable[Committed]) -> Iterator[bytes]:
        """The lines of some commits."""
        with closing(self._connect()) as db:
            for each in commits:
                (lines,) = db.execute("SELECT lines FROM commits WHERE id = ?", (int(each.commit_id),)).fetchone()
                yield bytes(lines)


def git(folder: Path, *arguments: str) -> str:
    """What git prints; an error fails the test."""
    person = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org")
    done = children.run(["git", "-C", folder, *person, *arguments])
    assert done.returncode == 0, done.stderr.decode()
    text: str = done.stdout.decode()
    return text


def new_repository(folder: Path, *options: str) -> Path:
    """A new git repository at `folder`, in which no git goes to work by itself."""
    if not folder.exists():
        folder.mkdir(parents=True)
        git(folder, "init", "-q", *options)
        git(folder, "config", "gc.autoDetach", "false")
    return folder
