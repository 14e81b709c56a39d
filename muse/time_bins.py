"""Counts of events over wall time, made in one pass without knowing the time span beforehand.

A bin's width is a power of two in milliseconds, and it begins at a multiple of its width. When there would be more
than `MAX_BINS` bins, the width doubles and neighbouring bins are merged. So each event is counted exactly once, and
memory is bounded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

MAX_BINS = 64
"""The most bins there can be. A span of more than 64 ms always has at least half as many."""


class TimeBins:
    """Counts of events by name; all names share the same bins."""

    def __init__(self) -> None:
        self.width_ms = 1
        self._lowest: int | None = None
        self._highest = 0
        self._counts: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)

    def add(self, moment: datetime, *names: Hashable) -> None:
        """Count one event under each of the names; `moment` has a time zone."""
        number = (moment - _EPOCH) // _MILLISECOND // self.width_ms
        if self._lowest is None:
            self._lowest = self._highest = number
        self._lowest, self._highest = min(self._lowest, number), max(self._highest, number)
        for name in names:
            self._counts[name][number] += 1
        while self._highest - self._lowest >= MAX_BINS:
            self._join_pairs()

    def _join_pairs(self) -> None:
        self.width_ms *= 2
        self._lowest, self._highest = (self._lowest or 0) >> 1, self._highest >> 1
        for name, counts in self._counts.items():
            joined: Counter[int] = Counter()
            for number, count in counts.items():
                joined[number >> 1] += count
            self._counts[name] = joined

    def start(self) -> datetime | None:
        """When the first bin begins, in UTC; None if nothing was counted."""
        if self._lowest is None:
            return None
        # A bin of year 1 may begin before the earliest time that datetime can hold.
        since_epoch = timedelta(milliseconds=self._lowest * self.width_ms)
        return _EPOCH + max(since_epoch, datetime.min.replace(tzinfo=UTC) - _EPOCH)

    def counts(self, name: Hashable) -> tuple[int, ...]:
        """How many events of this name fell into each bin. All names get the same bins."""
        if self._lowest is None:
            return ()
        found = self._counts.get(name, Counter())
        return tuple(found[number] for number in range(self._lowest, self._highest + 1))
