"""What arrives late, beside something else, or before its parents: judged op by op, in arrival order.

Memory grows with the heads (ops that nothing depends on yet) and with parents that lie far back, not with
the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_RECENT = 1 << 16


class Arrivals:
    """Counts what the arrival of each op tells about causality."""

    def __init__(self, holds: Callable[[str], bool]) -> None:
        """`holds` says whether an op_id stands anywhere in the log, later than here too."""
        self.late = 0
        """Ops with a timestamp below the highest that had arrived before."""
        self.concurrent = 0
        """Ops that arrived while something was there that is none of their ancestors."""
        self.roots = 0
        """Ops without parents."""
        self.joins = 0
        """Ops with two parents or more."""
        self.missing_parents = 0
        """Ops of which a parent had not arrived before them."""
        self._holds = holds
        self._heads: set[str] = set()
        self._highest = 0
        # The op_ids that came last, in two generations, so that few parents have to be looked up.
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._awaited: dict[str, list[_Child]] = {}

    def add(self, op_id: str, lamport_ts: int, parent_op_ids: Iterable[str]) -> None:
        """Judge the next op."""
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
                # It lies far back, or ahead: in the latter case it will arrive.
                self._awaited.setdefault(parent, []).append(child)
            else:
                self._found_orphan(child)

    def _note_arrival(self, op_id: str) -> None:
        children = self._awaited.pop(op_id, None)
        if children is None:
            self._heads.add(op_id)
        else:
            for child in children:
                self._found_orphan(child)
        self._young.add(op_id)
        if len(self._young) >= _RECENT:
            self._young, self._old = set(), self._young

    def _found_orphan(self, child: _Child) -> None:
        self.missing_parents += not child.counted
        child.counted = True


class _Child:
    """An op that waits for parents: it is counted once, however many of them are late."""

    __slots__ = ("counted",)

    def __init__(self) -> None:
        self.counted = False
