"""pycrdt-store: each entry is pushed into the array of a shared document, and the update is stored.

The stores work with asyncio and open their files themselves. What that takes at the start is part of
the time, which is why there are enough entries to make it small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from benchmarks.compare import Work
from benchmarks.others.optional import needed
from muse.core.op_log import OpEntry


@contextmanager
def appending_to_file(folder: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Write each update to a FileYStore."""
    store = needed("pycrdt.store").FileYStore(str(folder / "ops.y"))
    folder.mkdir(parents=True)
    yield lambda: asyncio.run(_write(store, entries[1:]))


@contextmanager
def appending_to_sqlite(folder: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Write each update to a SQLiteYStore."""
    store = needed("pycrdt.store").SQLiteYStore("ops")
    store.db_path = str(folder / "ops.db")
    folder.mkdir(parents=True)
    yield lambda: asyncio.run(_write(store, entries[1:]))


async def _write(store: Any, entries: Sequence[OpEntry]) -> None:
    pycrdt = needed("pycrdt")
    document = pycrdt.Doc()
    ops = document.get("ops", type=pycrdt.Array)
    updates: list[bytes] = []
    subscription = document.observe(lambda event: updates.append(event.update))
    async with store:
        for entry in entries:
            ops.append(orjson.dumps(entry).decode())
            await store.write(updates.pop())
    document.unobserve(subscription)
