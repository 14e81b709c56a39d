"""Putting operations in causal order: each behind all its parents, ties in total order.

Kahn's algorithm, fed in total order ("Topological sorting of large networks", 1962). An operation whose parents have
all been given is given at once; any other is held back until the last of them has been. What is still held at the end
depends on something that is missing, or on itself through others, which only wrong data does.
"""

from __future__ import annotations

import heapq
from array import array
from collections import defaultdict
from operator import lt
from typing import NamedTuple

_MISSING = -1
"""Stands for all that is missing: a parent that is given when everything that does not need it has been."""


class Ordered(NamedTuple):
    """Operations in some order, numbered from 0, and the links from `children[i]` to `parents[i]`, in no order."""

    offsets: array[int]
    """The byte offset of each."""
    actors: array[int]
    """A number for the actor of each."""
    children: array[int]
    parents: array[int]
    incomplete: array[int]
    """The operations with parents that are missing."""


def no_operations() -> Ordered:
    """Those of an empty log."""
    return Ordered(array("q"), array("I"), array("q"), array("q"), array("q"))


def causal_order(operations: Ordered) -> tuple[Ordered, int]:
    """Operations that are given in total order, in causal order; and how many of them, from the first on, are complete.

    Returns:
        First all complete ones, each behind its parents. Then the others, as if what is missing had come before them.
        At the very end, in total order, what depends on itself, and what depends on that.
    """
    offsets, actors, *links = operations
    if not operations.incomplete and all(map(lt, operations.parents, operations.children)):
        # As a rule, since whoever records an operation gives it a higher timestamp than its parents have.
        return operations, len(offsets)
    order, complete = _in_causal_order(operations)
    number_of = sorted(range(len(order)), key=order.__getitem__)
    moved = [array("q", map(number_of.__getitem__, each)) for each in links]
    in_order = array("q", map(offsets.__getitem__, order)), array("I", map(actors.__getitem__, order))
    return Ordered(*in_order, *moved), complete


def _in_causal_order(operations: Ordered) -> tuple[list[int], int]:
    parents_of: defaultdict[int, list[int]] = defaultdict(list)
    for child, parent in zip(operations.children, operations.parents, strict=True):
        parents_of[child].append(parent)
    for child in operations.incomplete:
        parents_of[child].append(_MISSING)
    given: dict[int, None] = {}
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    waits_for: dict[int, int] = {}

    def give(operation: int) -> None:
        """This one, then what it frees, and so on; of those that are free the first in total order first."""
        free = [operation]
        while free:
            operation = heapq.heappop(free)
            given[operation] = None
            for child in waiting.pop(operation, ()):
                waits_for[child] -= 1
                if not waits_for[child]:
                    heapq.heappush(free, child)

    everything = range(len(operations.offsets))
    for operation in everything:
        held_by = [parent for parent in parents_of.get(operation, ()) if parent not in given]
        waits_for[operation] = len(held_by)
        for parent in held_by:
            waiting[parent].append(operation)
        if not held_by:
            give(operation)
    complete = len(given)
    give(_MISSING)
    del given[_MISSING]
    return list(given | dict.fromkeys(everything)), complete
