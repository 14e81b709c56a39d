"""Putting operations in causal order: each behind all its parents, ties by a given total order.

Kahn's algorithm, fed in total order ("Topological sorting of large networks", 1962). An operation whose parents have
all been given is given at once; any other is held back until the last of them has been. What is still held at the end
depends on something that is missing, or on itself through others, which only wrong data does.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

_MISSING = -1
"""Stands for all that is missing: a parent that is given when everything that does not need it has been."""


def causal_order(
    total_order: Iterable[int], parents_of: Callable[[int], Sequence[int]], is_incomplete: Container[int]
) -> Iterator[tuple[int, bool]]:
    """Every operation, and whether all that it depends on is there.

    Args:
        total_order: the operations, each once; numbers from 0.
        parents_of: the parents of one that are there.
        is_incomplete: those with parents that are missing.

    Yields:
        (operation, complete): first all complete ones, each behind its parents. Then the others, as if what is
        missing had come before them. At the very end, in total order, what depends on itself, and what depends on
        that.
    """
    given: set[int] = set()
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    # Of each operation that is held back: its place in the total order, and how many parents it waits for.
    rank: dict[int, int] = {}
    waits_for: dict[int, int] = {}

    def give(operation: int) -> Iterator[int]:
        """This one, then what it frees, and so on; of those that are free the first in total order first."""
        free = [(-1, operation)]
        while free:
            _, operation = heapq.heappop(free)
            given.add(operation)
            for child in waiting.pop(operation, ()):
                waits_for[child] -= 1
                if not waits_for[child]:
                    del waits_for[child]
                    heapq.heappush(free, (rank.pop(child), child))
            yield operation

    for number, operation in enumerate(total_order):
        parents = {parent for parent in parents_of(operation) if parent not in given}
        if operation in is_incomplete:
            parents.add(_MISSING)
        if parents:
            rank[operation], waits_for[operation] = number, len(parents)
            for parent in parents:
                waiting[parent].append(operation)
        else:
            yield from ((each, True) for each in give(operation))
    yield from ((each, False) for each in give(_MISSING) if each != _MISSING)
    yield from ((left, False) for left in waits_for)
