"""Contested values: what several operations touched of which none of two knew the other.

An operation knows its parents, what its actor did before it, and all that these knew: Lamport's happened-before. It is
told by vector clocks, one number for each actor ("Virtual Time and Global States of Distributed Systems", Mattern
1989). A clock is shared until something new is learnt, and kept only until the last child of another actor has come.

For n operations of w actors, n log n to put them in order and at most n * w to compare them; w only where an operation
learns of others. Memory: some 250 bytes an operation, more where each follows another actor's.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from muse.core.entry.codec import same_value_text
from muse.core.entry.model import OpEntry
from muse.core.history.order import Ordered

_Clock = dict[int, int]
"""The number of the last operation of each actor that is known: then all of that actor before it are."""

_ALL = sys.maxsize
"""What stands for itself in an actor's own clock: it knows all that it did so far."""


class Contested(NamedTuple):
    """A value that was touched by operations that did not know of each other."""

    value: Any
    """The field's, any JSON."""
    entries: list[OpEntry]
    """The operations: to each of them another one is concurrent. In causal order."""


@dataclass(slots=True)
class _Group:
    """The operations on one value so far, by number."""

    value: Any
    contested: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    """The rest, ascending: each of them knows all before it."""
    last: list[int] = field(default_factory=list)
    """Those that no later one here knows."""


def contested_in(operations: Ordered, values: Iterable[tuple[int, Any]]) -> list[tuple[Any, list[int]]]:
    """The values that are contested, and the byte offsets of the operations in question.

    The value with most operations comes first, then that which was contested first.

    Args:
        operations: all of them, in causal order. Links in a circle, which only wrong data has, are left out in part.
        values: what they touched, behind their byte offsets, in any order.
    """
    groups: dict[str | bytes, _Group] = {}
    group_at: dict[int, _Group] = {}
    for at, value in values:
        key = value if isinstance(value, str) else same_value_text(value)
        group_at[at] = groups.get(key) or groups.setdefault(key, _Group(value))
    actors = operations.actors
    for number, (at, clock) in enumerate(zip(operations.offsets, _clocks(operations), strict=True)):
        if not (group := group_at.get(at)):
            continue
        # An operation that knows another one knows all that this one knew.
        unknown = [each for each in group.last if clock.get(actors[each], -1) < each]
        group.last = [*unknown, number]
        (group.contested if unknown else group.others).append(number)
        # Those of the others that it knows are the first.
        while group.others and clock.get(actors[group.others[-1]], -1) < group.others[-1]:
            group.contested.append(group.others.pop())
    found = [(sorted(group.contested), group.value) for group in groups.values() if group.contested]
    found.sort(key=lambda each: (-len(each[0]), each[0]))
    return [(value, list(map(operations.offsets.__getitem__, numbers))) for numbers, value in found]


def _clocks(operations: Ordered) -> Iterator[_Clock]:
    """What each operation knows."""
    _, actors, children, parents, _ = operations
    parents_of: defaultdict[int, list[int]] = defaultdict(list)
    children_left: Counter[int] = Counter()
    for child, parent in zip(children, parents, strict=True):
        # What its own actor did before it, an operation knows anyway.
        if actors[child] != actors[parent]:
            parents_of[child].append(parent)
            children_left[parent] += 1
    clocks: dict[int, _Clock] = {actor: {actor: _ALL} for actor in set(actors)}
    kept: dict[int, _Clock] = {}
    for number, actor in enumerate(actors):
        for parent in parents_of.get(number, ()):
            if parent in kept:
                clocks[actor] = _joined(clocks[actor], kept[parent], actors[parent], parent)
                children_left[parent] -= 1
                if not children_left[parent]:
                    del kept[parent]
        if number in children_left:
            kept[number] = clocks[actor]
        yield clocks[actor]


def _joined(clock: _Clock, known: _Clock, other: int, last: int) -> _Clock:
    """What one knows who knew `clock` and learns of an operation of another actor, and of what that knew."""
    if clock.get(other, -1) >= last:
        return clock
    joined = clock | {actor: number for actor, number in known.items() if clock.get(actor, -1) < number}
    joined[other] = last
    return joined
