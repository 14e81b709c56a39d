"""The independent answer to questions of causality: a graph of dicts, walked entry by entry.

Like `tests.plain_scan`, which gives it the entries, it must not import `muse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from tests.plain_scan import Entry


def total_order(entry: Entry) -> tuple[int, str, str]:
    """The sort key of the total order, by the contract."""
    return entry["lamport_ts"], entry["actor_id"], entry["op_id"]


class PlainGraph:
    """The entries of a log, each once, in arrival order."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self.by_op_id = {entry["op_id"]: entry for entry in self.entries}
        self.children: dict[str, list[str]] = {op_id: [] for op_id in self.by_op_id}
        for entry in self.entries:
            for parent in self.parents(entry["op_id"]):
                self.children[parent].append(entry["op_id"])

    def parents(self, op_id: str) -> list[str]:
        """The parents that are there, each once, in the order named."""
        return [parent for parent in self._named(op_id) if parent in self.by_op_id]

    def missing(self, op_id: str) -> list[str]:
        """The parents that are not there."""
        return [parent for parent in self._named(op_id) if parent not in self.by_op_id]

    def _named(self, op_id: str) -> list[str]:
        return list(dict.fromkeys(self.by_op_id[op_id]["parent_op_ids"]))

    def ancestors(self, op_id: str) -> list[str]:
        """All reached by going to parents, in arrival order, without itself."""
        return self._reached(op_id, self.parents)

    def descendants(self, op_id: str) -> list[str]:
        """All reached by going to children, in arrival order, without itself."""
        return self._reached(op_id, self.children.__getitem__)

    def _reached(self, op_id: str, neighbours: Callable[[str], list[str]]) -> list[str]:
        found: set[str] = set()
        todo = [op_id]
        while todo:
            for other in neighbours(todo.pop()):
                if other not in found:
                    found.add(other)
                    todo.append(other)
        found.discard(op_id)
        return [each for each in self.by_op_id if each in found]

    def concurrent(self, op_id: str) -> list[str]:
        """All that is neither reached from it nor reaches it, in arrival order."""
        related = {op_id, *self.ancestors(op_id), *self.descendants(op_id)}
        return [each for each in self.by_op_id if each not in related]

    @cached_property
    def heads(self) -> list[str]:
        """All that nobody names as a parent, in arrival order."""
        return [op_id for op_id, children in self.children.items() if not children]

    @cached_property
    def roots(self) -> list[str]:
        """All that name no parent, in arrival order."""
        return [op_id for op_id in self.by_op_id if not self._named(op_id)]

    @cached_property
    def order(self) -> list[tuple[str, bool, tuple[str, ...]]]:
        """(op_id, complete, missing parents) in causal order: again and again the first whose parents are all given."""
        left = [entry["op_id"] for entry in sorted(self.entries, key=total_order)]
        given: list[str] = []
        number_complete = 0
        for heed_missing in (True, False):
            while ready := next((each for each in left if self._is_ready(each, given, heed_missing)), None):
                left.remove(ready)
                given.append(ready)
            number_complete = number_complete or (len(given) if heed_missing else 0)
        whole = set(given[:number_complete])
        return [(each, each in whole, tuple(self.missing(each))) for each in (*given, *left)]

    def _is_ready(self, op_id: str, given: list[str], heed_missing: bool) -> bool:
        return set(self.parents(op_id)) <= set(given) and not (heed_missing and self.missing(op_id))
