"""Counts of late, concurrent and orphaned ops, made in one pass over a session in arrival order.

Memory grows with the number of heads (ops that no later op names as a parent yet) and of parents that lie far
back. It does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_RECENT = 1 << 16


class Arrivals:
    """Add each op in arrival order; the attributes hold the counts so far."""

    def __init__(self, holds: Callable[[str], bool]) -> None:
        """`holds` tells whether an op_id is anywhere in the log, also after the op being added."""
        self.late = 0
        """Ops whose timestamp is below the highest timestamp that had arrived before them."""
        self.concurrent = 0
        """Ops that arrived while the log already held an op that is not one of their ancestors."""
        self.roots = 0
        """Ops without parents."""
        self.joins = 0
        """Ops with two parents or more."""
        self.missing_parents = 0
        """Ops with at least one parent that had not arrived before them."""
        self._holds = holds
        self._heads: set[str] = set()
        self._highest = 0
        # Recent op_ids, in two generations of limited size. Most parents are among them, so few need a look-up.
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._awaited: dict[str, list[_Child]] = {}

    def add(self, op_id: str, lamport_ts: int, parent_op_ids: Iterable[str]) -> None:
        """Count the next op."""
        parents = set(parent_op_ids)
        self.late += lamport_ts < self._highest
        self._highest = max(self._highest, lamport_ts)
        self.roots += not parents
        self.joins += len(parents) > 1
        self._note_parents(parents)
        self._heads -= parents
        self.concurrent += bool(self._heads)
        self._note_arrival(op_id)

    def _note_parents(self, parents: set[str]) -> None:
        child = _Child()
        for parent in parents:
            if parent in self._heads or parent in self._young or parent in self._old:
                continue
            if self._holds(parent):
                # The parent lies either far back or further ahead. If it is ahead, `_note_arrival` will meet it.
                self._awaited.setdefault(parent, []).append(child)
            else:
                self._count_orphan(child)

    def _note_arrival(self, op_id: str) -> None:
        children = self._awaited.pop(op_id, None)
        if children is None:
            self._heads.add(op_id)
        else:
            for child in children:
                self._count_orphan(child)
        self._young.add(op_id)
        if len(self._young) >= _RECENT:
            self._young, self._old = set(), self._young

    def _count_orphan(self, child: _Child) -> None:
        self.missing_parents += not child.counted
        child.counted = True


class _Child:
    """An op whose parents may arrive after it. It is counted once, even if several of them do."""

    __slots__ = ("counted",)

    def __init__(self) -> None:
        self.counted = False
