"""The engine as a contender: what `others/` do in their way, done with an OpLog and its defaults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.built import SESSION
from benchmarks.compare import Work
from muse.core.op_log import OpEntry, OpLog


@contextmanager
def appending(repo: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Append one entry after the other; the first, which makes the files, is not part of the work."""
    first, *rest = entries
    with OpLog(repo, SESSION) as log:
        log.append(first)
        yield lambda: append_each(log, rest)


def append_each(log: OpLog, entries: Sequence[OpEntry]) -> None:
    """Append one entry after the other."""
    for entry in entries:
        log.append(entry)


@contextmanager
def batching(repo: Path, batches: Sequence[Sequence[OpEntry]]) -> Iterator[Work]:
    """Append one batch after the other; the first is not part of the work."""
    first, *rest = batches
    with OpLog(repo, SESSION) as log:
        log.append_many(first)
        yield lambda: append_each_batch(log, rest)


def append_each_batch(log: OpLog, batches: Sequence[Sequence[OpEntry]]) -> None:
    """Append one batch after the other."""
    for batch in batches:
        log.append_many(batch)
