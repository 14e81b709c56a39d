"""The entries of a log as a graph: what depends on what, asked of the causal links in the index.

Entries are named by the byte offsets of their lines. The links are looked at segment by segment, as they are packed,
and a walk finishes with one segment before it goes to the next, so that each is unpacked about once. Only links that
are not folded yet, or whose parents had not arrived when they were, are held in memory as a whole.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from itertools import chain, count, starmap
from operator import gt, lt

from muse.core.entry.filter import END, Filter
from muse.core.history.order import Ordered, no_operations
from muse.core.index.blocks.links import Link, UnresolvedLink
from muse.core.index.blocks.segment import DamagedIndexError
from muse.core.index.query import links_in, matching, totals, units_between
from muse.core.index.store import Index
from muse.core.storage.lines import Lines

_UNPACKED_SEGMENTS = 64
"""How many segments' links a walk keeps unpacked: a few tenths of a megabyte each."""

_TAIL = END
"""Stands for the number of the tail, which comes after every segment."""

_Reached = dict[int, list[int]]
"""Entries in arrival order, by the number of their segment."""

_SORT_KEY = struct.Struct(">QI16sQ")


class Graph:
    """The causal links of one index at one moment: make it and use it before the index is fed again.

    Methods raise `DamagedIndexError` if the index contradicts itself.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self.missing: defaultdict[int, list[bytes]] = defaultdict(list)
        """The parents that no line of the log has, by child."""
        # The links whose parents are known by their op_ids alone, once these have been looked for.
        self._late_parents: defaultdict[int, list[int]] = defaultdict(list)
        self._late_children: defaultdict[int, list[int]] = defaultdict(list)
        links = list(_unresolved_links(index))
        there = index.offsets_of({op_id for _, op_id in links})
        for child, op_id in links:
            if (parent := there.get(op_id)) is None:
                self.missing[child].append(op_id)
            else:
                self._late_parents[child].append(parent)
                self._late_children[parent].append(child)
        self._links_in_segment = lru_cache(_UNPACKED_SEGMENTS)(partial(_links_in, index))

    def ancestors(self, at: int) -> Iterator[int]:
        """All that an entry depends on, directly or not, in arrival order; never itself."""
        return self._others(self._above(at), at)

    def descendants(self, at: int) -> Iterator[int]:
        """All that depends on an entry, directly or not, in arrival order; never itself."""
        return self._others(self._below(at), at)

    def concurrent(self, at: int) -> Iterator[int]:
        """All that neither depends on an entry nor is depended on by it, in arrival order."""
        above, below = self._above(at), self._below(at)
        return self._entries(lambda number: {*above.get(number, ()), *below.get(number, ())})

    def _above(self, at: int) -> _Reached:
        # From the last child to the first: parents mostly stand before their children.
        return self._reached(at, lambda number: self._links_in_segment(number)[::-1], self._late_parents, max, gt)

    def _below(self, at: int) -> _Reached:
        return self._reached(at, self._links_to_children, self._late_children, min, lt)

    def _reached(
        self,
        start: int,
        links_of: Callable[[int], Sequence[Link]],
        late: Mapping[int, Sequence[int]],
        next_of: Callable[[Mapping[int, object]], int],
        leads_on: Callable[[int, int], bool],
    ) -> _Reached:
        """An entry, those to which links lead from it, from these, and so on."""
        reached: _Reached = {}
        from_late = set(late)
        waiting = {self._number_of(start): {start}}
        while waiting:
            number = next_of(waiting)
            # In the order in which they are reached, which a sort takes less time with than with a set's.
            here, links = dict.fromkeys(chain(waiting.pop(number), reached.get(number, ()))), links_of(number)
            is_one_pass = not late and all(starmap(leads_on, links))
            before = 0
            while before < (1 if is_one_pass else len(here)):
                before = len(here)
                for at, other in links:
                    if at in here:
                        here[other] = None
                for at in here.keys() & from_late:
                    here.update(dict.fromkeys(late[at]))
            in_order = sorted(here)
            low, high = (bisect_left(in_order, at) for at in self._range_of(number))
            reached[number] = in_order[low:high]
            for at in in_order[:low] + in_order[high:]:
                elsewhere = self._number_of(at)
                if at not in reached.get(elsewhere, ()):
                    waiting.setdefault(elsewhere, set()).add(at)
        return reached

    def _others(self, reached: _Reached, at: int) -> Iterator[int]:
        reached[self._number_of(at)].remove(at)
        return chain.from_iterable(reached[number] for number in sorted(reached))

    def _number_of(self, at: int) -> int:
        """The number of the segment in which a line lies, or `_TAIL`."""
        return _TAIL if at >= self._index.tail.start else self._index.number_at(at)

    def _range_of(self, number: int) -> tuple[int, int]:
        """The bytes of the log that a segment or the tail takes."""
        if number == _TAIL:
            return self._index.tail.start, END
        summary = self._index.summary(number)
        return summary.first_offset, summary.end_offset

    def _links_to_children(self, number: int) -> list[Link]:
        """(parent, child) for each parent in a segment."""
        first, end = self._range_of(number)
        return [
            (parent, child)
            for segment in self._segments_of_children.get(number, ())
            for child, parent in self._links_in_segment(segment)
            if first <= parent < end
        ]

    @cached_property
    def _segments_of_children(self) -> dict[int, list[int]]:
        """The segments in which children of entries of a segment lie, by its number."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for number in self._index.segment_numbers():
            for parent in self._index.summary(number).parents_in() or ():
                found[parent].append(number)
        return found

    # -- the whole log -----------------------------------------------------------------------------------

    def heads(self) -> Iterator[int]:
        """The entries that nothing depends on, in arrival order."""
        return self._entries(lambda number: {at for at, _ in self._links_to_children(number)}, self._late_children)

    def roots(self) -> Iterator[int]:
        """The entries that name no parents, in arrival order."""
        named = {*self._late_parents, *self.missing}
        return self._entries(lambda number: {at for at, _ in self._links_in_segment(number)}, named)

    def _entries(self, others_in: Callable[[int], Container[int]], others: Container[int] = ()) -> Iterator[int]:
        """Every entry but some others, in arrival order."""
        for unit in units_between(self._index, 0, END):
            here = others_in(_TAIL if isinstance(unit, Lines) else unit.number)
            first, offsets = unit.first_offset, unit.offsets
            for line in matching(unit, Filter()):
                at = first + offsets[line]
                if at not in here and at not in others:
                    yield at

    def in_total_order(self) -> Ordered:
        """Every entry, by (lamport_ts, actor_id, op_id), and all links between them."""
        # One short key for each entry takes half the memory of a tuple. Actors are compared by their place among all.
        rank = {actor: number for number, actor in enumerate(sorted(totals(self._index, "actor")))}
        keys: list[bytes] = []
        for unit in units_between(self._index, 0, END):
            lines = unit if isinstance(unit, Lines) else unit.lines()
            columns = zip(lines.lamport_ts, lines.actor, lines.op_ids, lines.offsets, strict=True)
            keys += [_SORT_KEY.pack(ts, rank[actor], op_id, at) for ts, actor, op_id, at in columns if op_id]
        keys.sort()
        order = no_operations()
        for _, actor, _, at in map(_SORT_KEY.unpack, keys):
            order.offsets.append(at)
            order.actors.append(actor)
        number_at = dict(zip(order.offsets, count()))
        late = [(child, parent) for child, parents in self._late_parents.items() for parent in parents]
        try:
            for links in chain(map(self._links_in_segment, self._index.segment_numbers()), [late]):
                order.children.extend([number_at[child] for child, _ in links])
                order.parents.extend([number_at[parent] for _, parent in links])
            order.incomplete.extend(number_at[child] for child in self.missing)
        except KeyError as error:
            raise DamagedIndexError(f"a link leads to byte {error}, where no entry begins") from None
        return order


def children_of(index: Index, at: int, op_id: bytes) -> list[int]:
    """The children of one entry, in arrival order: without looking at the rest of the graph, as `Graph` does."""
    found = {child for child, parent in _unresolved_links(index) if parent == op_id}
    if at < index.tail.start:
        number = index.number_at(at)
        for run in index.runs:
            listed = run.summary.parents_in()
            if listed is None or number in listed:
                for segment in range(max(run.first_segment, number), run.end_segment):
                    if number in (index.summary(segment).parents_in() or ()):
                        found.update(child for child, parent in _links_in(index, segment) if parent == at)
    return sorted(found)


def _links_in(index: Index, number: int) -> list[Link]:
    return [] if number == _TAIL else links_in(index.segment(number))[0]


def _unresolved_links(index: Index) -> Iterator[UnresolvedLink]:
    """The links whose parents are known by their op_ids alone: those of the tail, and of parents that were missing."""
    for run in index.runs:
        if run.summary.unresolved_links:
            for number in range(run.first_segment, run.end_segment):
                if index.summary(number).unresolved_links:
                    yield from links_in(index.segment(number))[1]
    yield from links_in(index.tail)[1]
