"""Counts of ops by lane, domain and bin of Lamport timestamps, in limited memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from muse.report.limits import MAX_BINS, MAX_CELLS

Cell = tuple[int, int, int, int]
"""(lane, domain, bin, ops)."""


class Density:
    """Counts in bins of equal width. The width doubles whenever there are too many counts.

    Bin b holds the timestamps from b * width to (b + 1) * width - 1. So a bin of double width is exactly two old bins.
    """

    def __init__(self, lowest: int, highest: int, *, max_bins: int = MAX_BINS, max_cells: int = MAX_CELLS) -> None:
        """Choose the width for timestamps from `lowest` to `highest`. Timestamps outside can be added too."""
        self._max_cells = max_cells
        self._shift = 0
        while (highest >> self._shift) - (lowest >> self._shift) >= max_bins:
            self._shift += 1
        self._counts: Counter[tuple[int, int, int]] = Counter()

    @property
    def width(self) -> int:
        """How many timestamps a bin holds."""
        return 1 << self._shift

    def add(self, lane: int, domain: int, lamport_ts: int) -> None:
        """Count one op."""
        self._counts[lane, domain, lamport_ts >> self._shift] += 1
        while len(self._counts) > self._max_cells and self._can_join():
            self._double()

    def _can_join(self) -> bool:
        # With one bin for each lane and domain, doubling the width would not help any more.
        return any(number > 0 for _, _, number in self._counts)

    def _double(self) -> None:
        self._shift += 1
        joined: Counter[tuple[int, int, int]] = Counter()
        for (lane, domain, number), ops in self._counts.items():
            joined[lane, domain, number >> 1] += ops
        self._counts = joined

    def cells(self) -> Iterator[Cell]:
        """Every count, ordered by lane, domain and bin."""
        for (lane, domain, number), ops in sorted(self._counts.items()):
            yield lane, domain, number, ops
