"""How many ops lie where: counts by lane, domain and Lamport bin, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from muse.report.limits import MAX_BINS, MAX_CELLS

Cell = tuple[int, int, int, int]
"""(lane, domain, bin, ops)."""


class Density:
    """Counts in bins of one width, which doubles as often as it takes to have few enough of them.

    Bin number b holds the timestamps from b * width up to (b + 1) * width, so two neighbours join exactly.
    """

    def __init__(self, lowest: int, highest: int, *, max_bins: int = MAX_BINS, max_cells: int = MAX_CELLS) -> None:
        """Bins from timestamp `lowest` to `highest`; others may be added too, and only widen the range."""
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
        # One bin for each lane and domain is as coarse as it gets.
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
