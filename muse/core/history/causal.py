"""Causal history: what an operation depends on, what depends on it, what happened beside it.

An operation names its parents, the operations that its author had seen. Everything here follows from those links
alone, not from actors, clocks or places in the log: an actor that worked on two branches at once has two. The links
come from the index; of the log only the lines asked for are read.
"""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple, TypeVar

from muse.core.entry.filter import END
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.entry.validation import check_name
from muse.core.errors import UnknownOpError
from muse.core.history.contested import Contested, contested_in
from muse.core.history.graph import Graph, children_of
from muse.core.history.order import Ordered, causal_order, no_operations
from muse.core.index.query import places_at
from muse.core.index.store import Index
from muse.core.paging import WHOLE_PAGE, Pager
from muse.core.storage.lines import Location
from muse.core.storage.reader import read_entries
from muse.picking import MISSING, pick

Answer = TypeVar("Answer")

_CausalOrder = tuple[Ordered, int, dict[int, list[bytes]]]
"""The operations; how many of them, from the first on, are complete; the op_ids of missing parents, by child."""


class CausalEntry(NamedTuple):
    """An entry in causal order."""

    entry: OpEntry
    complete: bool
    """Whether the log holds everything that it depends on, directly or not."""
    missing_parent_op_ids: tuple[str, ...]
    """Those of its own parents that the log does not hold."""


class CausalHistory:
    """The operations of one log as a graph, as `OpLog.history` hands it out.

    Every call sees what has arrived by then. Of an iterator that is when it is made; the lines are read as it goes.
    Methods that are asked about one operation, by its `op_id`, raise `UnknownOpError` if the log does not hold it.
    Memory: some 100 bytes for each operation that an answer holds, and for `heads`, `roots` and `concurrent` eight;
    the entries themselves come in pages.
    """

    def __init__(self, pager: Pager) -> None:
        self._ask = pager.ask
        self._find = pager.find
        self._log = pager.log

    def parents(self, op_id: str) -> list[OpEntry]:
        """The operations that `op_id` names as its parents and that the log holds, in the order named."""

        def parents(index: Index, place: Location) -> list[OpEntry]:
            found = [index.offset_of(op_id_bytes(named)) for named in self._named(place)]
            return self._read(index, [parent for parent in found if parent is not None])

        return self._about(op_id, parents)

    def missing_parents(self, op_id: str) -> list[str]:
        """The op_ids that `op_id` names as its parents and that the log does not hold: a replica may."""

        def missing(index: Index, place: Location) -> list[str]:
            return [named for named in self._named(place) if index.offset_of(op_id_bytes(named)) is None]

        return self._about(op_id, missing)

    def children(self, op_id: str) -> list[OpEntry]:
        """The operations that name `op_id` as a parent, in arrival order."""

        def children(index: Index, place: Location) -> list[OpEntry]:
            return self._read(index, children_of(index, place.byte_offset, op_id_bytes(op_id)))

        return self._about(op_id, children)

    def ancestors(self, op_id: str) -> Iterator[OpEntry]:
        """All that `op_id` depends on, directly or not, in arrival order."""
        return self._related(op_id, Graph.ancestors)

    def descendants(self, op_id: str) -> Iterator[OpEntry]:
        """All that depends on `op_id`, directly or not, in arrival order."""
        return self._related(op_id, Graph.descendants)

    def concurrent(self, op_id: str) -> Iterator[OpEntry]:
        """All that happened beside `op_id`: neither depends on the other. In arrival order."""
        return self._related(op_id, Graph.concurrent)

    def heads(self) -> Iterator[OpEntry]:
        """The operations that nothing depends on, in arrival order: what a new operation would name as its parents
        to come after everything.
        """
        return self._at(self._ask(lambda index: array("q", Graph(index).heads()), array("q")))

    def roots(self) -> Iterator[OpEntry]:
        """The operations that name no parents, in arrival order."""
        return self._at(self._ask(lambda index: array("q", Graph(index).roots()), array("q")))

    def causal_order(self) -> Iterator[CausalEntry]:
        """Every operation, parents always before children; ties in total order (lamport_ts, actor_id, op_id).

        Operations whose parents are missing come last, with all that depends on them, and are marked: `complete` is
        False. So are, at the very end and in total order, operations that depend on themselves through others.
        The same on every replica that holds the same operations.
        """
        return self._marked(*self._in_causal_order())

    def contested(self, field: str) -> Iterator[Contested]:
        """The values that operations touched of which neither knew the other: one may have undone the other.

        An operation knows what it depends on, what its actor did before it, and all that these know. All operations
        are read; a million take some seconds (docs/performance.md, "Contested values").

        Args:
            field: path of the value in the operation, such as "address"; see `EntryFilters`. Operations without it
                touch nothing.

        Returns:
            Each such value with the operations that have a concurrent one on it; the value with most of them first.
        """
        check_name("field", field)
        operations, _, _ = self._in_causal_order()
        # Lines that follow each other are read more quickly.
        offsets = array("q", sorted(operations.offsets))
        picked = ((at, pick(entry["domain_op"], field)) for at, entry in zip(offsets, self._at(offsets), strict=True))
        found = contested_in(operations, ((at, value) for at, value in picked if value is not MISSING))
        return (Contested(value, list(self._at(offsets))) for value, offsets in found)

    def _in_causal_order(self) -> _CausalOrder:
        def order(index: Index) -> _CausalOrder:
            graph = Graph(index)
            return *causal_order(graph.in_total_order()), graph.missing

        return self._ask(order, (no_operations(), 0, dict[int, list[bytes]]()))

    def _marked(self, order: Ordered, complete: int, missing: Mapping[int, Sequence[bytes]]) -> Iterator[CausalEntry]:
        for number, (at, entry) in enumerate(zip(order.offsets, self._at(order.offsets), strict=True)):
            named = tuple(str(uuid.UUID(bytes=op_id)) for op_id in missing.get(at, ()))
            yield CausalEntry(entry, number < complete, named)

    # -- asking, reading --------------------------------------------------------------------------------

    def _about(self, op_id: str, question: Callable[[Index, Location], Answer]) -> Answer:
        answer = self._find(op_id, question)
        if answer is None:
            raise UnknownOpError(f"{self._log.path}: holds no operation with the op_id {op_id!r}")
        return answer

    def _related(self, op_id: str, walk: Callable[[Graph, int], Iterable[int]]) -> Iterator[OpEntry]:
        return self._at(self._about(op_id, lambda index, place: array("q", walk(Graph(index), place.byte_offset))))

    def _named(self, place: Location) -> list[str]:
        (entry,) = read_entries(self._log, [place])
        return list(dict.fromkeys(entry["parent_op_ids"]))

    def _at(self, offsets: Sequence[int]) -> Iterator[OpEntry]:
        """The entries at these byte offsets, in their order, page by page; the lock is free in between."""
        return chain.from_iterable(self._pages(offsets))

    def _pages(self, offsets: Sequence[int]) -> Iterator[list[OpEntry]]:
        start = 0
        nothing: list[OpEntry] = []
        while start < len(offsets):
            wanted = offsets[start : start + WHOLE_PAGE.lines]
            page = self._ask(partial(self._read, offsets=wanted, size_bytes=WHOLE_PAGE.size_bytes), nothing)
            yield page
            start += len(page)

    def _read(self, index: Index, offsets: Sequence[int], size_bytes: int = END) -> list[OpEntry]:
        """The entries at these byte offsets, in their order; only some of the first, if all are longer than that.

        The log is read from front to back.
        """
        in_file = sorted(offsets)
        places = places_at(index, in_file)
        if places.size_bytes > size_bytes and len(offsets) > 1:
            return self._read(index, offsets[: len(offsets) // 2], size_bytes)
        entries = read_entries(self._log, places)
        if in_file == list(offsets):
            return entries
        entry_at = dict(zip(in_file, entries, strict=True))
        return [entry_at[at] for at in offsets]
