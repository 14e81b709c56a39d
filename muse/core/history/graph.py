"""The entries of a log as a graph: what depends on what, asked of the causal links in the index.

Entries are named by the byte offsets of their lines. The links are looked at segment by segment, as they are packed,
and a walk finishes with one segment before it goes to the next, so that each is unpacked about once. Only links that
are not folded yet, or whose parents had not arrived when they were, are held in memory as a whole.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

from muse.core.entry.filter import END, Filter
from muse.core.index.blocks.links import UnresolvedLink, links_named_in, unpack_links, unpack_unresolved
from muse.core.index.blocks.segment import DamagedIndexError, locations
from muse.core.index.query import Unit, matching, totals
from muse.core.index.store import Index
from muse.core.storage.lines import Lines, Location

_UNPACKED_SEGMENTS = 64
"""How many segments' links a walk keeps unpacked: a few tenths of a megabyte each."""

_TAIL = END
"""Stands for the number of the tail, which comes after every segment."""

_Links = Mapping[int, Sequence[int]]
_NONE: _Links = {}
_SORT_KEY = struct.Struct(">QI16sQ")


class Graph:
    """The causal links of one index at one moment: make it and use it before the index is fed again.

    Methods raise `DamagedIndexError` if the index contradicts itself.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self.missing: defaultdict[int, list[bytes]] = defaultdict(list)
        """The parents that no line of the log has, by child."""
        self._late_parents: defaultdict[int, list[int]] = defaultdict(list)
        self._late_children: defaultdict[int, list[int]] = defaultdict(list)
        self._resolve(unresolved_links(index))
        self._parents_of_segment = lru_cache(_UNPACKED_SEGMENTS)(self._unpack_parents)
        self._children_of_segment = lru_cache(_UNPACKED_SEGMENTS)(self._unpack_children)
        self._links_of_segment = lru_cache(_UNPACKED_SEGMENTS)(self._unpack)

    def _resolve(self, links: Sequence[UnresolvedLink]) -> None:
        """Look for the parents that are known by their op_ids alone."""
        found = self._index.offsets_of({op_id for _, op_id in links})
        for child, op_id in links:
            parent = found.get(op_id)
            if parent is None:
                self.missing[child].append(op_id)
            else:
                self._late_parents[child].append(parent)
                self._late_children[parent].append(child)

    # -- neighbours ------------------------------------------------------------------------------------

    def parents(self, at: int) -> list[int]:
        """Those parents of an entry that are there."""
        return [*self._parents_of_segment(self._number_of(at)).get(at, ()), *self._late_parents.get(at, ())]

    def children(self, at: int) -> list[int]:
        """The entries that name an entry as a parent."""
        return [*self._children_of_segment(self._number_of(at)).get(at, ()), *self._late_children.get(at, ())]

    def ancestors(self, at: int) -> set[int]:
        """All that an entry depends on, directly or not; never itself."""
        return self._reached(at, self.parents, max)

    def descendants(self, at: int) -> set[int]:
        """All that depends on an entry, directly or not; never itself."""
        return self._reached(at, self.children, min)

    def _reached(
        self, start: int, neighbours: Callable[[int], list[int]], next_of: Callable[[Mapping[int, object]], int]
    ) -> set[int]:
        found = {start}
        waiting = {self._number_of(start): [start]}
        while waiting:
            segment = next_of(waiting)
            here = waiting.pop(segment)
            while here:
                for at in neighbours(here.pop()):
                    if at not in found:
                        found.add(at)
                        there = self._number_of(at)
                        (here if there == segment else waiting.setdefault(there, [])).append(at)
        found.discard(start)
        return found

    def _number_of(self, at: int) -> int:
        """The number of the segment in which a line lies, or `_TAIL`."""
        return _TAIL if at >= self._index.tail.start else self._index.number_at(at)

    def _unpack(self, number: int) -> list[tuple[int, int]]:
        segment = self._index.segment(number)
        return unpack_links(segment.first_offset, segment.links)

    def _unpack_parents(self, number: int) -> _Links:
        if number == _TAIL:
            return _NONE
        parents: defaultdict[int, list[int]] = defaultdict(list)
        for child, parent in self._links_of_segment(number):
            parents[child].append(parent)
        return parents or _NONE

    def _unpack_children(self, number: int) -> _Links:
        children: defaultdict[int, list[int]] = defaultdict(list)
        first, end = self._range_of(number)
        for segment in self._segments_of_children.get(number, ()):
            for child, parent in self._links_of_segment(segment):
                if first <= parent < end:
                    children[parent].append(child)
        return children or _NONE

    def _range_of(self, number: int) -> tuple[int, int]:
        if number == _TAIL:
            return self._index.tail.start, END
        summary = self._index.summary(number)
        return summary.first_offset, summary.end_offset

    @cached_property
    def _segments_of_children(self) -> dict[int, list[int]]:
        """The segments in which children of entries of a segment lie, by its number."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for number in self._index.segment_numbers():
            for parent in self._index.summary(number).parent_segments or ():
                found[parent].append(number)
        return found

    # -- the whole log -----------------------------------------------------------------------------------

    def entries(self) -> Iterator[int]:
        """Every entry, in arrival order."""
        for _, unit in self._units():
            yield from _entries_in(unit)

    def heads(self) -> Iterator[int]:
        """The entries that nothing depends on, in arrival order."""
        for number, unit in self._units():
            named = self._children_of_segment(number)
            for at in _entries_in(unit):
                if at not in named and at not in self._late_children:
                    yield at

    def roots(self) -> Iterator[int]:
        """The entries that name no parents, in arrival order."""
        for number, unit in self._units():
            naming = self._parents_of_segment(number)
            for at in _entries_in(unit):
                if not (at in naming or at in self._late_parents or at in self.missing):
                    yield at

    def in_total_order(self) -> Iterator[int]:
        """Every entry, by (lamport_ts, actor_id, op_id)."""
        # One short key for each entry takes half the memory of a tuple. Actors are compared by their place among all.
        rank = {actor: number for number, actor in enumerate(sorted(totals(self._index, "actor")))}
        keys: list[bytes] = []
        for _, unit in self._units():
            lines = unit if isinstance(unit, Lines) else unit.lines()
            columns = zip(lines.lamport_ts, lines.actor, lines.op_ids, lines.offsets, strict=True)
            keys += [_SORT_KEY.pack(ts, rank[actor], op_id, at) for ts, actor, op_id, at in columns if op_id]
        keys.sort()
        return (_SORT_KEY.unpack(key)[3] for key in keys)

    def _units(self) -> Iterator[tuple[int, Unit]]:
        for number in self._index.segment_numbers():
            yield number, self._index.segment(number)
        yield _TAIL, self._index.tail


def _entries_in(unit: Unit) -> list[int]:
    first, offsets = unit.first_offset, unit.offsets
    return [first + offsets[number] for number in matching(unit, Filter())]


def children_of(index: Index, at: int, op_id: bytes) -> list[int]:
    """The children of one entry, in arrival order: without looking at the rest of the graph, as `Graph` does."""
    found = {child for child, parent in unresolved_links(index) if parent == op_id}
    if at < index.tail.start:
        number = index.number_at(at)
        for run in index.runs:
            listed = run.summary.parent_segments
            if listed is not None and number not in listed:
                continue
            for child_segment in range(max(run.first_segment, number), run.end_segment):
                if number in (index.summary(child_segment).parent_segments or ()):
                    segment = index.segment(child_segment)
                    links = unpack_links(segment.first_offset, segment.links)
                    found.update(child for child, parent in links if parent == at)
    return sorted(found)


def unresolved_links(index: Index) -> list[UnresolvedLink]:
    """The links whose parents are known by their op_ids alone: those of the tail, and of parents that were missing."""
    found: dict[UnresolvedLink, None] = {}
    for run in index.runs:
        if run.summary.unresolved_links:
            for number in range(run.first_segment, run.end_segment):
                if index.summary(number).unresolved_links:
                    segment = index.segment(number)
                    found.update(dict.fromkeys(unpack_unresolved(segment.first_offset, segment.links)))
    found.update(dict.fromkeys(links_named_in(index.tail)))
    return list(found)


def locations_at(index: Index, offsets: Sequence[int]) -> list[Location]:
    """Where the entries at these byte offsets lie, in arrival order.

    That the right lines are found is told by their checksums when they are read.

    Raises:
        DamagedIndexError: no line begins at one of them.
    """
    found: list[Location] = []
    unit: Unit | None = None
    numbers: list[int] = []
    for at in sorted(offsets):
        if unit is None or not unit.first_offset <= at < unit.end or isinstance(unit, Lines):
            there: Unit = index.tail if at >= index.tail.start else index.segment(index.number_at(at))
            if there is not unit:
                found += locations(unit, numbers) if unit is not None else []
                unit, numbers = there, []
        number = unit.number_at(at)
        if number == len(unit) or unit.first_offset + unit.offsets[number] != at:
            raise DamagedIndexError(f"causal links lead to byte {at}, at which no line begins")
        numbers.append(number)
    return found + (locations(unit, numbers) if unit is not None else [])
