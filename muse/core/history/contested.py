"""Contested values: what several operations touched of which none of two knew the other.

An operation knows its parents, what its actor did before it, and all that these knew: Lamport's happened-before. It is
told by vector clocks, one number for each actor ("Virtual Time and Global States of Distributed Systems", Mattern
1989). A clock is shared until something new is learnt, and kept only until the last child has come.

For n operations of w actors, n log n to put them in order and at most n * w to compare them; w only where an operation
learns of others. Memory: some 250 bytes an operation, most of it to put them in order.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import starmap
from typing import Any, NamedTuple

from muse.core.entry.codec import same_value_text
from muse.core.entry.model import OpEntry
from muse.core.history.graph import Graph
from muse.core.history.order import causal_order
from muse.core.index.store import Index
from muse.picking import MISSING, pick

Clock = dict[str, int]
"""How many operations of each actor are known."""


class Contested(NamedTuple):
    """A value that was touched by operations that did not know of each other."""

    value: Any
    """The field's, any JSON."""
    entries: list[OpEntry]
    """The operations: to each of them another one is concurrent. In causal order."""


class LinkedOrder(NamedTuple):
    """All operations in causal order, by number from 0, and which of them each depends on."""

    offsets: array[int]
    """The byte offset of each."""
    parents: array[int]
    """The numbers of all parents that come before their child, child after child."""
    ends: array[int]
    """Where in `parents` those of each operation end."""


def linked_order(index: Index) -> LinkedOrder:
    """All operations of an index. Links in a circle, which only wrong data has, are left out in part."""
    graph = Graph(index)
    order = no_operations()
    number_of: dict[int, int] = {}
    for at, _ in causal_order(graph.in_total_order(), graph.parents, graph.missing):
        order.parents.extend(number_of[parent] for parent in graph.parents(at) if parent in number_of)
        order.ends.append(len(order.parents))
        number_of[at] = len(number_of)
        order.offsets.append(at)
    return order


@dataclass
class _Group:
    """The operations on one value so far."""

    value: Any
    contested: list[int] = field(default_factory=list)
    others: list[tuple[int, str, int]] = field(default_factory=list)
    """(number, actor, its number among the actor's from 1) of the rest: each of them knows all before it."""
    latest: Clock = field(default_factory=dict)
    """The number of each actor's last operation here."""

    def add(self, number: int, actor: str, own: int, clock: Clock) -> None:
        """Add the next operation in causal order, `clock` being what it knows of other actors."""

        def know(other: str, count: int) -> bool:
            return other == actor or clock.get(other, 0) >= count

        if all(starmap(know, self.latest.items())):
            self.others.append((number, actor, own))
        else:
            self.contested.append(number)
            # Those it knows are the first of them, since each knows all before it.
            while self.others and not know(*self.others[-1][1:]):
                self.contested.append(self.others.pop()[0])
        self.latest[actor] = own


def no_operations() -> LinkedOrder:
    """The order of an empty log."""
    return LinkedOrder(array("q"), array("q"), array("q"))


def contested_in(order: LinkedOrder, entries: Iterable[OpEntry], path: str) -> list[tuple[Any, list[int]]]:
    """The values at a path of the operation that are contested, and the byte offsets of the operations in question.

    The value with most operations comes first, then that which was touched first.
    """
    children = array("q", bytes(8 * len(order.offsets)))
    for parent in order.parents:
        children[parent] += 1
    groups: dict[str | bytes, _Group] = {}
    done: Clock = {}
    clocks: dict[str, Clock] = {}
    kept: dict[int, tuple[str, int, Clock]] = {}
    start = 0
    for number, entry in enumerate(entries):
        actor = entry["actor_id"]
        own = done[actor] = done.get(actor, 0) + 1
        clock = clocks.setdefault(actor, {})
        for parent in order.parents[start : order.ends[number]]:
            other, count, known = kept[parent]
            children[parent] -= 1
            if not children[parent]:
                del kept[parent]
            if other != actor and clock.get(other, 0) < count:
                clock = _joined(clock, {**known, other: count})
        start, clocks[actor] = order.ends[number], clock
        if children[number]:
            kept[number] = (actor, own, clock)
        value = pick(entry["domain_op"], path)
        if value is not MISSING:
            key = value if isinstance(value, str) else same_value_text(value)
            if key not in groups:
                groups[key] = _Group(value)
            groups[key].add(number, actor, own, clock)
    found = sorted(filter(lambda group: group.contested, groups.values()), key=lambda group: -len(group.contested))
    return [(group.value, [order.offsets[number] for number in sorted(group.contested)]) for group in found]


def _joined(clock: Clock, other: Clock) -> Clock:
    joined = dict(clock)
    for actor, count in other.items():
        if joined.get(actor, 0) < count:
            joined[actor] = count
    return joined
