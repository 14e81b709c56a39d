"""diskcache's Deque, a list on SQLite: one transaction for each entry, WAL and synchronous NORMAL by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import orjson

from benchmarks.compare import Work
from benchmarks.others.optional import needed
from muse.core.op_log import OpEntry


@contextmanager
def appending(folder: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Append one serialised entry after the other."""
    first, *rest = entries
    deque = needed("diskcache").Deque(directory=str(folder))
    with closing(deque.cache):

        def work() -> None:
            for entry in rest:
                deque.append(orjson.dumps(entry))

        deque.append(orjson.dumps(first))
        yield work
