"""Putting operations in causal order: each behind all its parents, ties by a given total order.

Kahn's algorithm, fed in total order ("Topological sorting of large networks", 1962). An operation whose parents have
all been given is given at once; any other is held back until the last of them has been. What is then still held
depends on something that is missing, or on itself through others, which only wrong data does.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence


def causal_order(
    total_order: Iterable[int], parents_of: Callable[[int], Sequence[int]], is_incomplete: Container[int]
) -> Iterator[tuple[int, bool]]:
    """Every operation and whether all that it depends on is there, those of which that is true first.

    Args:
        total_order: the operations, each once.
        parents_of: the parents of one that are there.
        is_incomplete: those with parents that are missing.

    Yields:
        (operation, complete): first all complete ones, each behind its parents. Then the others, as if what is
        missing had come before them. At the very end, in total order, what depends on itself, and what depends on
        such.
    """
    held = _Held(parents_of)
    for rank, operation in enumerate(total_order):
        for ready in held.take(rank, operation, postponed=operation in is_incomplete):
            yield ready, True
    for ready in held.release_postponed():
        yield ready, False
    for left in held.rest():
        yield left, False


class _Held:
    """What has been given, and what waits for what."""

    def __init__(self, parents_of: Callable[[int], Sequence[int]]) -> None:
        self._parents_of = parents_of
        self._given: set[int] = set()
        self._waits_for: dict[int, int] = {}
        self._waiting: defaultdict[int, list[int]] = defaultdict(list)
        self._rank: dict[int, int] = {}
        self._postponed: list[int] = []

    def take(self, rank: int, operation: int, *, postponed: bool) -> Iterator[int]:
        """Take the next one in total order; gives what may be given now."""
        missing = {parent for parent in self._parents_of(operation) if parent not in self._given}
        if not missing and not postponed:
            return self._give([(rank, operation)])
        self._rank[operation] = rank
        self._waits_for[operation] = len(missing) + postponed
        for parent in missing:
            self._waiting[parent].append(operation)
        if postponed:
            self._postponed.append(operation)
        return iter(())

    def release_postponed(self) -> Iterator[int]:
        """No longer wait for what is missing."""
        return self._give(list(self._freed(self._postponed)))

    def rest(self) -> Iterator[int]:
        """What can't be put behind all its parents."""
        return iter(self._waits_for)

    def _give(self, ready: list[tuple[int, int]]) -> Iterator[int]:
        heapq.heapify(ready)
        while ready:
            _, operation = heapq.heappop(ready)
            self._given.add(operation)
            for freed in self._freed(self._waiting.pop(operation, ())):
                heapq.heappush(ready, freed)
            yield operation

    def _freed(self, operations: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Those of some that waited for one thing more, and now for none."""
        for operation in operations:
            self._waits_for[operation] -= 1
            if not self._waits_for[operation]:
                del self._waits_for[operation]
                yield self._rank.pop(operation), operation
