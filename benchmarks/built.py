"""Sessions made once with `append_many`, and copies of them for figures that change what they measure."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from benchmarks.entries import session_entries
from muse.core.op_log import Cut, OpLog

SESSION = "bench"
BATCH = 1000


@dataclass(frozen=True)
class Built:
    """One session in a repository of its own."""

    repo: Path
    ops: int
    cuts: dict[int, Cut]
    """Cuts by how many entries arrived after them."""

    @property
    def folder(self) -> Path:
        """The session's folder."""
        return self.repo / ".muse" / "op_log" / SESSION

    @property
    def log_path(self) -> Path:
        """Its `ops.jsonl`."""
        return self.folder / "ops.jsonl"

    @contextmanager
    def opened(self) -> Iterator[OpLog]:
        """A handle that is at work already: its index is open and it has looked at the log."""
        with OpLog(self.repo, SESSION) as log:
            log.next_lamport_ts()
            yield log

    def copied_to(self, repo: Path) -> Built:
        """The same session in another repository."""
        shutil.copytree(self.repo, repo)
        return replace(self, repo=repo)

    def checkpoint(self, pending: int) -> None:
        """Make a checkpoint that leaves so many entries pending."""
        with self.opened() as log:
            log.checkpoint("snapshot", upto=self.cuts[pending])


def build(repo: Path, ops: int, pending: Iterable[int]) -> Built:
    """A session of `ops` entries, with the cuts after which so many entries are `pending`."""
    entries = session_entries(ops)
    cuts = {}
    with OpLog(repo, SESSION) as log:
        left = ops
        for stop in sorted({*pending, 0}, reverse=True):
            while left > stop:
                left -= log.append_many(islice(entries, min(BATCH, left - stop)))
            cuts[left] = log.cut()
    return Built(repo, ops, cuts)


def multiply(template: Built, repo: Path, sessions: int, pending: int) -> None:
    """A repository of many sessions like one, each with a checkpoint that leaves so many `pending`."""
    cut = template.cuts[pending]
    for number in range(sessions):
        session_id = f"session-{number:05}"
        with OpLog(repo, session_id) as log:
            shutil.copytree(template.folder, log.folder)
            log.checkpoint("snapshot", upto=replace(cut, session_id=session_id))
