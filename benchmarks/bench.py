"""One run: how large everything is, where it lies, and the sessions it has built so far."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.built import Built, build, multiply

TAIL = 1000
"""How many entries the tail replay is about."""


@dataclass(frozen=True)
class Size:
    """How many operations the figures are about."""

    big: int
    """Entries of a large session."""
    middle: int
    """Entries of the session that is read as a whole."""
    appends: int
    """Single appends in a round: enough to see the index fold its tail and copy its WAL back."""
    slow_appends: int
    """The same for what takes hundreds of microseconds each."""
    batches: int
    """Batches of 1,000 in a round."""
    sessions: int
    """Sessions of 1,000 entries in a repository."""
    listed_sessions: int
    """The same where a command lists them."""
    chain: int
    """Entries of the session whose causal links are walked, each the child of the one before."""


SIZES = {
    "small": Size(20_000, 5_000, 2_048, 200, 5, 20, 40, 5_000),
    "full": Size(1_000_000, 100_000, 20_000, 1_000, 20, 1_000, 2_000, 259_778),
}


@dataclass
class Bench:
    """What every figure is given. Sessions are built when they are first asked for, and kept."""

    folder: Path
    size: Size
    rounds: int
    """Rounds of a figure whose round takes a second or so."""
    say: Callable[[str], None]
    """Reports progress."""
    _built: dict[int, Built] = field(default_factory=dict)
    _repositories: dict[int, Path] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def many_rounds(self) -> int:
        """Rounds of a figure whose round takes milliseconds."""
        return 5 * self.rounds

    @property
    def few_rounds(self) -> int:
        """Rounds of a figure whose round takes many seconds."""
        return max(3, self.rounds // 2)

    def session(self, ops: int) -> Built:
        """The session of so many entries. It stays as it was built: copy it to change it."""
        if ops not in self._built:
            self.say(f"building a session of {ops:,} entries")
            self._built[ops] = build(self.folder / f"session-of-{ops}", ops, self.pending_of(ops))
        return self._built[ops]

    @staticmethod
    def pending_of(ops: int) -> list[int]:
        """After how many entries from the end the cuts of a session are: the tail, 2 %, and half."""
        return [pending for pending in (TAIL, ops // 50, ops // 2) if pending <= ops]

    def repository(self, sessions: int) -> Path:
        """A repository of so many sessions of 1,000 entries, half of them pending."""
        if sessions not in self._repositories:
            template = self.session(1000)
            self.say(f"building {sessions:,} sessions")
            repo = self._repositories[sessions] = self.folder / f"{sessions}-sessions"
            multiply(template, repo, sessions, pending=500)
        return self._repositories[sessions]

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """A path where nothing is yet; what is made there is removed afterwards."""
        path = self.folder / f"fresh-{next(self._numbers)}"
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def copy(self, ops: int) -> Iterator[Built]:
        """A copy of the session of so many entries."""
        original = self.session(ops)
        with self.fresh() as repo:
            yield original.copied_to(repo)
