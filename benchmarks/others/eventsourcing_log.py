"""eventsourcing on SQLite: its application recorder, given the serialised entry as the event's state.

An application of that library would put its mapper and transcoder in front of this, which only adds
to its time. The library leaves SQLite's synchronous at FULL, a flush of the disk for each commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from benchmarks.compare import Work
from benchmarks.others.optional import needed
from muse.core.op_log import OpEntry


class _Log:
    """One sequence of stored events."""

    def __init__(self, folder: Path, synchronous: str) -> None:
        persistence = needed("eventsourcing.persistence")
        folder.mkdir(parents=True)
        self._factory = persistence.InfrastructureFactory.construct(
            {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "events.db")}
        )
        self.recorder = self._factory.application_recorder()
        # One thread gets the same pooled connection again and again, so this holds for all that follows.
        with self._factory.datastore.get_connection(commit=True) as connection:
            connection.cursor().execute(f"PRAGMA synchronous = {synchronous}")
        self._event = persistence.StoredEvent
        self._versions = count(1)
        self._originator = uuid4()

    def event(self, entry: OpEntry) -> Any:
        """The entry as the next stored event."""
        return self._event(self._originator, next(self._versions), entry["domain"], orjson.dumps(entry))

    def close(self) -> None:
        """Close its connections."""
        self._factory.close()


@contextmanager
def appending(folder: Path, entries: Sequence[OpEntry], *, synchronous: str = "FULL") -> Iterator[Work]:
    """Insert one event after the other, one commit each."""
    first, *rest = entries
    with closing(_Log(folder, synchronous)) as log:

        def work() -> None:
            for entry in rest:
                log.recorder.insert_events([log.event(entry)])

        log.recorder.insert_events([log.event(first)])
        yield work


@contextmanager
def batching(folder: Path, batches: Sequence[Sequence[OpEntry]], *, synchronous: str = "FULL") -> Iterator[Work]:
    """Insert one batch of events after the other, one commit each."""
    first, *rest = batches
    with closing(_Log(folder, synchronous)) as log:

        def insert(batch: Sequence[OpEntry]) -> None:
            log.recorder.insert_events([log.event(entry) for entry in batch])

        def work() -> None:
            for batch in rest:
                insert(batch)

        insert(first)
        yield work
