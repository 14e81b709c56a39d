"""The sweeps over index.db: each question of `questions` is the first one that a handle asks of a damaged index.

The index is small but has everything: segments in many pages, runs of three sizes, one of them with pages behind a
filter, a tail with a duplicate, links, blank and damaged lines, a changed line, a checkpoint, and inner pages in every
large table.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from functools import cache
from itertools import permutations
from pathlib import Path

from muse.core.op_log import OpLog
from tests import making, plain_scan, small_index
from tests.reliability import questions, row_faults
from tests.reliability.inner_pages import inner_pages
from tests.reliability.material import Material, make, quick_folder
from tests.reliability.sweeping import FINE, Sweep, must

SEGMENT_LINES = 16
LONG_BATCH = 15
_EVERY_BIT_OF_EACH = 13


@cache
def material() -> Material:
    """The session whose index is damaged."""
    return make(340, SEGMENT_LINES, long_batch=LONG_BATCH, tail=14, changed_line=True)


class _IndexSweep(Sweep):
    """Damage by question."""

    def __init__(self) -> None:
        self.material = material()
        scanned = plain_scan.scan(self.material.log)
        self.situation = questions.Situation(
            scanned.entries, self.material.covered, len(self.material.log) - len(scanned.tail)
        )
        self.page_bytes = int.from_bytes(self.material.index[16:18], "big")
        self.pages = len(self.material.index) // self.page_bytes
        self.names = list(questions.QUESTIONS)
        self.expected = {name: expected(self.situation) for name, (_, expected) in questions.QUESTIONS.items()}

    def damage(self, number: int) -> tuple[bytes, str]:
        """The damaged index, and what was done to it."""
        raise NotImplementedError

    def question(self, number: int) -> str:
        """The question that a case asks."""
        return self.names[number % len(self.names)]

    def attempt(self, number: int, repo: Path) -> str:
        """Ask one question; in every few cases ask another handle what the first one left behind."""
        index, where = self.damage(number)
        name = self.question(number)
        path = self.material.put(repo, index_db=index)
        with small_index.segments_of(SEGMENT_LINES, long_batch=LONG_BATCH):
            with OpLog(repo, "s") as log:
                answer = questions.QUESTIONS[name][0](log, self.situation)
                must(answer == self.expected[name], f"{where}: the answer to {name!r} is not the plain scan's")
            if number % 5 == 0:
                with OpLog(repo, "s") as log:
                    making.assert_same_as_scan(log, path)
        return FINE

    def flipped(self, byte: int, bit: int) -> tuple[bytes, str]:
        """The index with one bit flipped."""
        index = bytearray(self.material.index)
        index[byte] ^= 1 << bit
        return bytes(index), f"bit {bit} of byte {byte}, {self.named_page(byte // self.page_bytes)}"

    def named_page(self, page: int) -> str:
        """The number of a page (from 0) and the table that it belongs to."""
        return f"page {page} ({_table_of_page().get(page, '?')})"


@cache
def _table_of_page() -> dict[int, str]:
    """Which table or index each page (from 0) belongs to, if SQLite can tell."""
    with quick_folder() as name:
        path = material().put(Path(name)).with_name("index.db")
        with closing(sqlite3.connect(path)) as connection:
            try:
                return dict(connection.execute("SELECT pageno - 1, name FROM dbstat"))
            except sqlite3.OperationalError:
                return {}


class IndexBits(_IndexSweep):
    """A bit of every byte, then every bit of each thirteenth byte; each time another question."""

    stride = 1733

    def __len__(self) -> int:
        size = len(self.material.index)
        return size + 8 * len(range(0, size, _EVERY_BIT_OF_EACH))

    def question(self, number: int) -> str:
        """Drawn, since a question that comes round regularly would always meet the same bytes of a row."""
        return random.Random(number).choice(self.names)

    def damage(self, number: int) -> tuple[bytes, str]:
        """Flip."""
        size = len(self.material.index)
        if number < size:
            return self.flipped(number, random.Random(number).randrange(8))
        byte, bit = divmod(number - size, 8)
        return self.flipped(_EVERY_BIT_OF_EACH * byte, bit)


class _ByQuestion(_IndexSweep):
    """So many kinds of damage, each with every question."""

    kinds: int

    def __len__(self) -> int:
        return self.kinds * len(self.names)

    def damage(self, number: int) -> tuple[bytes, str]:
        """The damage of the case."""
        return self.damage_of(number // len(self.names))

    def damage_of(self, kind: int) -> tuple[bytes, str]:
        """One kind of damage."""
        raise NotImplementedError


class IndexPages(_ByQuestion):
    """Every page replaced: by zeros, random bytes, its neighbours, the same page of other indexes of the log."""

    stride = 389
    contents = ("zeros", "random", "half", "the page before", "the page after", "the older index", "the other index")

    def __init__(self) -> None:
        super().__init__()
        self.kinds = self.pages * len(self.contents)

    def damage_of(self, kind: int) -> tuple[bytes, str]:
        """Overwrite a page."""
        page, content = divmod(kind, len(self.contents))
        start, end = page * self.page_bytes, (page + 1) * self.page_bytes
        index = self.material.index
        new = {
            "zeros": bytes(self.page_bytes),
            "random": random.Random(page).randbytes(self.page_bytes),
            "half": index[start : start + self.page_bytes // 2],
            "the page before": index[start - self.page_bytes : start],
            "the page after": index[end : end + self.page_bytes],
            "the older index": self.material.older_index[start:end],
            "the other index": self.material.other_index[start:end],
        }[self.contents[content]]
        where = f"{self.named_page(page)} <- {self.contents[content]}"
        return index[:start] + new.ljust(self.page_bytes, b"\0") + index[end:], where


class IndexTruncations(_ByQuestion):
    """index.db cut at every page, and in the middle of every page."""

    stride = 127

    def __init__(self) -> None:
        super().__init__()
        self.kinds = 2 * self.pages

    def damage_of(self, kind: int) -> tuple[bytes, str]:
        """Cut."""
        size = kind * self.page_bytes // 2
        return self.material.index[:size], f"cut to {size} bytes"


class IndexInnerPages(_ByQuestion):
    """Every bit that means something in the inner pages of SQLite's trees flipped; and their children swapped.

    Such a bit can hide rows without an error of SQLite's.
    """

    stride = 853

    def __init__(self) -> None:
        super().__init__()
        self.inner = inner_pages(self.material.index)
        self.bits = [(at, bit) for page in self.inner for at in page.places for bit in range(8)]
        self.swaps = [(page.table, one, two) for page in self.inner for one, two in permutations(page.child_places, 2)]
        self.kinds = len(self.bits) + len(self.swaps)

    def damage_of(self, kind: int) -> tuple[bytes, str]:
        """Flip a bit, or give an inner page one child twice and another one not at all."""
        if kind < len(self.bits):
            return self.flipped(*self.bits[kind])
        table, one, two = self.swaps[kind - len(self.bits)]
        index = bytearray(self.material.index)
        index[one : one + 4] = index[two : two + 4]
        return bytes(index), f"an inner page of {table}: the child at byte {one} replaced by that at {two}"


class IndexRows(_ByQuestion):
    """Rows that are stale, swapped, altered, missing or doubled, by SQL."""

    stride = 853

    def __init__(self) -> None:
        super().__init__()
        self.faults = row_faults.all_faults(self.material)
        self.kinds = len(self.faults)
        self._last = (-1, b"")

    def damage_of(self, kind: int) -> tuple[bytes, str]:
        """Run the SQL."""
        where, fault = self.faults[kind]
        if self._last[0] != kind:
            self._last = kind, row_faults.damaged(self.material, fault)
        return self._last[1], where
