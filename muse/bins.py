"""Counts in bins of equal width, made in one pass over numbers whose range is not known beforehand.

A bin's width is a power of two, and it begins at a multiple of its width. When there would be too many bins or counts,
the width doubles and neighbouring bins are merged. So each number is counted exactly once, and memory is bounded.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class Bins(Generic[Name]):
    """Counts by name; all names share the same bins."""

    def __init__(self, most_bins: int, most_counts: int = 1 << 62) -> None:
        """Keep at most so many bins, and as long as bins can be joined, so many counts that are not 0."""
        self.width = 1
        self._most_bins, self._most_counts = most_bins, most_counts
        # The numbers of the first and the last bin that hold something; bin b begins at b * width.
        self._ends: tuple[int, int] | None = None
        self._counts: defaultdict[Name, Counter[int]] = defaultdict(Counter)
        self._held = 0

    def add(self, number: int, *names: Name) -> None:
        """Count a number once under each of the names."""
        place = number // self.width
        if self._ends is None or not self._ends[0] <= place <= self._ends[1]:
            first, last = self._ends or (place, place)
            self._ends = min(first, place), max(last, place)
        for name in names:
            counts = self._counts[name]
            self._held += place not in counts
            counts[place] += 1
        while self._are_too_many():
            self._join_pairs()

    def _are_too_many(self) -> bool:
        first, last = self._ends or (0, 0)
        # Neither one bin nor those on both sides of 0 can be joined any more.
        can_join = first < last and (first, last) != (-1, 0)
        return last - first >= self._most_bins or (can_join and self._held > self._most_counts)

    def _join_pairs(self) -> None:
        first, last = self._ends or (0, 0)
        self.width, self._ends, self._held = 2 * self.width, (first >> 1, last >> 1), 0
        for name, counts in self._counts.items():
            joined: Counter[int] = Counter()
            for place, count in counts.items():
                joined[place >> 1] += count
            self._counts[name] = joined
            self._held += len(joined)

    def start(self) -> int | None:
        """The lowest number that the first bin can hold; None if nothing was counted."""
        return self._ends and self._ends[0] * self.width

    def counts(self, name: Name) -> tuple[int, ...]:
        """How many numbers of this name fell into each bin. All names get the same bins."""
        if self._ends is None:
            return ()
        found = self._counts.get(name, Counter())
        return tuple(found[place] for place in range(self._ends[0], self._ends[1] + 1))

    def runs(self) -> Iterator[tuple[Name, list[tuple[int, int]]]]:
        """Each name with (number of the bin, count) of every bin that is not empty, in order."""
        for name, counts in self._counts.items():
            yield name, sorted(counts.items())
