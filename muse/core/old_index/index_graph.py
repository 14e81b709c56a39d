"""The entries of a log as a graph: what depends on what, asked of the causal links in the index.

Entries are named by the byte offsets of their lines. The links are looked at segment by segment, as they are packed,
and a walk finishes with one segment before it goes to the next, so that each is unpacked about once. Only links that
are not folded yet, or whose parents had not arrived when they were, are held in memory as a whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import orjson

from muse.core.old_index.index import Index
from muse.core.old_index.index_check import check_links, check_names, check_segment, check_segments
from muse.core.old_index.index_links import MISSING, Link, Loose, unpack, unpack_loose
from muse.core.old_index.index_query import folded_among, tail_op_ids
from muse.core.old_index.index_question import END
from muse.core.storage.record import DamagedIndexError, Place, places_of

_UNPACKED_SEGMENTS = 64
"""How many segments' links a walk keeps unpacked: a few tenths of a megabyte each."""

_Links = Mapping[int, Sequence[int]]
_NONE: _Links = {}


class Graph:
    """The causal links of one index at one moment: make it and use it within one snapshot of the index.

    Methods raise `DamagedIndexError` where the index contradicts itself.
    """

    def __init__(self, index: Index) -> None:
        check_links(index)
        self._index = index
        segments = index.connection.execute("SELECT first_offset, end_offset FROM segment ORDER BY first_offset")
        self._ends = dict(segments.fetchall())
        self._firsts = list(self._ends)
        self._tail = max(self._ends.values(), default=0)
        self._parents_in: defaultdict[int, list[int]] = defaultdict(list)
        self._children_in: defaultdict[int, list[int]] = defaultdict(list)
        for parents_in, children_in in index.connection.execute("SELECT parents_in, children_in FROM link"):
            self._parents_in[children_in].append(parents_in)
            self._children_in[parents_in].append(children_in)
        self.missing: defaultdict[int, list[bytes]] = defaultdict(list)
        """The parents that no line of the log has, by child."""
        self._loose_parents: defaultdict[int, list[int]] = defaultdict(list)
        self._loose_children: defaultdict[int, list[int]] = defaultdict(list)
        self._resolve(list(loose_links_in(index)))
        self._parents_of_segment = lru_cache(_UNPACKED_SEGMENTS)(self._unpack_parents)
        self._children_of_segment = lru_cache(_UNPACKED_SEGMENTS)(self._unpack_children)

    def _resolve(self, loose: Sequence[Loose]) -> None:
        """Look for the parents that were known by their op_ids alone."""
        wanted = {op_id for _, op_id in loose}
        found = tail_op_ids(self._index)
        found |= folded_among(self._index, wanted - found.keys())
        for child, op_id in loose:
            parent = found.get(op_id)
            if parent is None:
                self.missing[child].append(op_id)
            else:
                self._loose_parents[child].append(parent)
                self._loose_children[parent].append(child)

    # -- neighbours ------------------------------------------------------------------------------------

    def parents(self, at: int) -> list[int]:
        """Those parents of an entry that are there."""
        return [*self._parents_of_segment(self._segment_of(at)).get(at, ()), *self._loose_parents.get(at, ())]

    def children(self, at: int) -> list[int]:
        """The entries that name an entry as a parent."""
        return [*self._children_of_segment(self._segment_of(at)).get(at, ()), *self._loose_children.get(at, ())]

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
        waiting = {self._segment_of(start): [start]}
        while waiting:
            segment = next_of(waiting)
            here = waiting.pop(segment)
            while here:
                for at in neighbours(here.pop()):
                    if at not in found:
                        found.add(at)
                        there = self._segment_of(at)
                        (here if there == segment else waiting.setdefault(there, [])).append(at)
        found.discard(start)
        return found

    def _segment_of(self, at: int) -> int:
        """The first offset of the segment in which a line lies; `END` for the tail."""
        return END if at >= self._tail else self._firsts[bisect_right(self._firsts, at) - 1]

    def _unpack_parents(self, segment: int) -> _Links:
        parents: defaultdict[int, list[int]] = defaultdict(list)
        for parents_in in self._parents_in.get(segment, ()):
            if parents_in != MISSING:
                for child, parent in self._links(parents_in, segment):
                    parents[child].append(parent)
        return parents or _NONE

    def _unpack_children(self, segment: int) -> _Links:
        children: defaultdict[int, list[int]] = defaultdict(list)
        for children_in in self._children_in.get(segment, ()):
            for child, parent in self._links(segment, children_in):
                children[parent].append(child)
        return children or _NONE

    def _links(self, parents_in: int, children_in: int) -> Iterator[Link]:
        return unpack(children_in, *_packed(self._index, parents_in, children_in))

    # -- the whole log -----------------------------------------------------------------------------------

    def entries(self) -> Iterator[int]:
        """Every entry, in arrival order."""
        for segment in (*self._firsts, END):
            yield from self._entries_in(segment)

    def heads(self) -> Iterator[int]:
        """The entries that nothing depends on, in arrival order."""
        for segment in (*self._firsts, END):
            named = self._children_of_segment(segment)
            for at in self._entries_in(segment):
                if at not in named and at not in self._loose_children:
                    yield at

    def roots(self) -> Iterator[int]:
        """The entries that name no parents, in arrival order."""
        for segment in (*self._firsts, END):
            naming = self._parents_of_segment(segment)
            for at in self._entries_in(segment):
                if not (at in naming or at in self._loose_parents or at in self.missing):
                    yield at

    def _entries_in(self, segment: int) -> list[int]:
        table, first, end = "tail", 0, END
        if segment != END:
            table, first, end = "line", segment, self._ends[segment]
            check_segment(self._index, first, end)
        found = self._index.connection.execute(
            f"SELECT byte_offset FROM {table} WHERE byte_offset >= ? AND byte_offset < ? "
            "AND op_high IS NOT NULL ORDER BY byte_offset",
            (first, end),
        )
        return [byte_offset for (byte_offset,) in found]

    def in_total_order(self) -> Iterator[int]:
        """Every entry, by (lamport_ts, actor_id, op_id)."""
        for first, end in self._ends.items():
            check_segment(self._index, first, end)
        self._check_actors()
        # SQLite compares text by its UTF-8 as Python does by code points; an op_id's halves are signed numbers there.
        columns = "byte_offset, lamport_ts, actor, op_high, op_low"
        found = self._index.connection.execute(
            f"SELECT byte_offset FROM (SELECT {columns} FROM line UNION ALL SELECT {columns} FROM tail) "
            "JOIN name ON name.id = actor WHERE op_high IS NOT NULL "
            "ORDER BY lamport_ts, text, op_high < 0, op_high, op_low < 0, op_low"
        )
        return (byte_offset for (byte_offset,) in found)

    def _check_actors(self) -> None:
        """The texts of the names decide the order, so they have to be the ones that were given their numbers."""
        check_names(self._index, ["actor"])
        named = self._index.connection.execute(
            "SELECT used.number, text FROM (SELECT name AS number FROM actor_presence "
            "UNION SELECT actor FROM tail WHERE op_high IS NOT NULL) AS used LEFT JOIN name ON id = used.number"
        )
        for number, text in named.fetchall():
            # A damaged column holds a value of any type.
            if type(text) is not str or self._index.number_of(text) != number:
                raise DamagedIndexError(f"an actor's name is not found by its text {str(text)[:60]!r}")


def children_of(index: Index, at: int, op_id: bytes) -> list[int]:
    """The children of one entry, in arrival order: without looking at the rest of the graph, as `Graph` does."""
    check_links(index)
    segment = index.connection.execute(
        "SELECT first_offset, end_offset FROM segment WHERE first_offset <= ? ORDER BY first_offset DESC LIMIT 1", (at,)
    ).fetchone()
    found = {child for child, parent in loose_links_in(index) if parent == op_id}
    if segment and at < segment[1]:
        for (children_in,) in index.connection.execute(
            "SELECT children_in FROM link WHERE parents_in = ?", segment[:1]
        ).fetchall():
            links = unpack(children_in, *_packed(index, segment[0], children_in))
            found.update(child for child, parent in links if parent == at)
    return sorted(found)


def loose_links_in(index: Index) -> Iterator[Loose]:
    """The links whose parents are known by their op_ids alone: those of the tail, and of parents that were missing."""
    check_segments(index)
    yield from dict.fromkeys(index.tail_links())
    for children_in, checksum, packed in index.connection.execute(
        "SELECT children_in, checksum, packed FROM link WHERE parents_in = ?", (MISSING,)
    ):
        yield from unpack_loose(children_in, checksum, packed)


def check_packed_links(index: Index) -> None:
    """Unpack every causal link there is.

    Raises:
        DamagedIndexError: one is not what it was.
    """
    with index.snapshot():
        for _ in loose_links_in(index):
            pass
        for children_in, checksum, packed in index.connection.execute(
            "SELECT children_in, checksum, packed FROM link WHERE parents_in != ?", (MISSING,)
        ):
            unpack(children_in, checksum, packed)


def _packed(index: Index, parents_in: int, children_in: int) -> tuple[int, bytes]:
    found = index.connection.execute(
        "SELECT checksum, packed FROM link WHERE parents_in = ? AND children_in = ?", (parents_in, children_in)
    ).fetchone()
    if found is None:
        raise DamagedIndexError(f"causal links of the segment at byte {children_in} can't be found")
    return found[0], found[1]


def places_at(index: Index, offsets: Sequence[int]) -> list[Place]:
    """Where the entries at these byte offsets lie, in arrival order.

    That the right lines are found is told by their checksums when they are read.
    """
    wanted = orjson.dumps(list(offsets)).decode()
    found = []
    for table in ("line", "tail"):
        found += index.connection.execute(
            f"SELECT byte_offset, length, checksum, lamport_ts FROM json_each(?) AS wanted CROSS JOIN {table} "
            "ON byte_offset = wanted.value ORDER BY byte_offset",
            (wanted,),
        ).fetchall()
    if len(found) != len(offsets):
        raise DamagedIndexError(f"of {len(offsets)} lines that causal links lead to it has {len(found)}")
    return places_of(found)
