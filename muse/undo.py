"""Undo: operations are taken back by others, which are appended like everything else; nothing is removed.

    log.undo(log.query(actor_id="agent-7", since=cut), by="ada")

An operation is undone if one of its children, in the same domain, is its inverse and not undone itself. So nothing has
to be written down beside the log, an undo can be undone, and doing it twice does nothing. Two that undo the same at the
same moment, or on two replicas that have not met, have both undone it: that is a conflict as any other, and
`log.history` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from muse import domain
from muse.core.op_log import InvalidArgumentError, MuseError, OpEntry, UnknownOpError, is_redacted, make_op_entry

if TYPE_CHECKING:
    from muse.core.op_log import OpLog

__all__ = ["NoInverseError", "PlannedUndo", "UndoConflictError", "plan_undo", "undo"]

Inverse = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_total_order = itemgetter("lamport_ts", "actor_id", "op_id")
_ANYWHERE = object()
"""Stands for every address."""


class UndoConflictError(MuseError, ValueError):
    """Somebody has worked on the same address since. The message names the operation; nothing was undone."""

    def __init__(self, entry: OpEntry, later: OpEntry) -> None:
        """What was to be undone, and what stands in the way."""
        self.entry = entry
        """The operation that was to be undone."""
        self.later = later
        """The operation after it on the same address."""
        shared = sorted(str(place)[:100] for place in _addresses(entry) & _addresses(later) - {None})
        where = f"on {shared[0]!r}" if shared else f"in {entry['domain'][:100]!r}"
        unsaid = "" if shared else ", and one of the two names no address"
        super().__init__(
            f"{entry['op_id']} can't be undone by itself: {later['actor_id'][:100]!r} worked {where} later, by "
            f"{later['op_id']}{unsaid}: undo that too, or force it"
        )


class NoInverseError(MuseError, ValueError):
    """Nothing is known that takes an operation back. The message names it; nothing was undone."""


class PlannedUndo(NamedTuple):
    """One operation that would be undone."""

    entry: OpEntry
    """What would be undone."""
    domain_op: dict[str, Any]
    """The operation that takes it back."""


def undo(
    log: OpLog, entries: Iterable[OpEntry | str], *, by: str, inverse: Inverse = domain.inverse, force: bool = False
) -> list[OpEntry]:
    """Take operations back; `OpLog.undo` explains the arguments and what is raised."""
    made = [
        make_op_entry(by, entry["domain"], op, log.next_lamport_ts(), parent_op_ids=[entry["op_id"]])
        for entry, op in plan_undo(log, entries, inverse=inverse, force=force)
    ]
    log.append_many(made)
    return made


def plan_undo(
    log: OpLog, entries: Iterable[OpEntry | str], *, inverse: Inverse = domain.inverse, force: bool = False
) -> list[PlannedUndo]:
    """What `undo` would do now, the newest operation first; the arguments and errors are those of `OpLog.undo`.

    What the domains of the entries did since the first of them is read, and what has to do with them is held in memory.
    """
    chosen = {entry["op_id"]: entry for entry in _found(log, entries)}
    planned: list[PlannedUndo] = []
    for name in sorted({entry["domain"] for entry in chosen.values()}):
        of_domain = {op_id: entry for op_id, entry in chosen.items() if entry["domain"] == name}
        course = _Course(of_domain, inverse)
        lowest = min(entry["lamport_ts"] for entry in of_domain.values())
        course.take(log.query(domain=name, min_lamport_ts=lowest))
        todo = course.to_undo()
        if not force:
            course.check_conflicts(todo)
        planned += [PlannedUndo(entry, _taken_back(entry, inverse)) for entry in todo]
    return sorted(planned, key=lambda each: _total_order(each.entry), reverse=True)


def _found(log: OpLog, entries: Iterable[OpEntry | str]) -> Iterator[OpEntry]:
    if isinstance(entries, str | Mapping):
        raise InvalidArgumentError("entries: must be several: put a single one into a list")
    for each in entries:
        op_id: Any = each.get("op_id") if isinstance(each, Mapping) else each
        entry = log.get(op_id)
        if entry is None:
            raise UnknownOpError(f"{log.path}: holds no operation with the op_id {op_id!r}, so it can't be undone")
        yield entry


def _taken_back(entry: OpEntry, inverse: Inverse) -> dict[str, Any]:
    try:
        return dict(inverse(entry["domain_op"]))
    except ValueError as error:
        told = "it was redacted: leave it out" if is_redacted(entry) else f"{error}: give undo an inverse that knows it"
        raise NoInverseError(f"{entry['op_id']}: {told}") from error


def _addresses(entry: OpEntry) -> set[object]:
    """The places that an operation is about; only None if it does not say: then it may be about all."""
    op = entry["domain_op"]
    return {str(op[name]) for name in ("address", "from_address") if op.get(name) is not None} or {None}


@dataclass
class _Course:
    """What happened in one domain since the first of the operations to undo, as far as it has to do with them."""

    chosen: dict[str, OpEntry]
    inverse: Inverse
    entries: dict[str, OpEntry] = field(default_factory=dict)
    undone_by: dict[str, str] = field(default_factory=dict)
    """By op_id, the op_id of the operation that undoes it and is not undone."""
    undoes: dict[str, str] = field(default_factory=dict)
    """The other way round."""

    def take(self, entries: Iterable[OpEntry]) -> None:
        """Pick out what touches the same places or follows from what does, and find what of it is undone."""
        places = set[object]().union(*map(_addresses, self.chosen.values()))
        for entry in entries:
            here = _addresses(entry)
            is_near = None in places or None in here or not places.isdisjoint(here)
            if is_near or not self.entries.keys().isdisjoint(entry["parent_op_ids"]):
                self.entries[entry["op_id"]] = entry
        # The latest first: whether an undo counts depends on what came after it.
        for entry in sorted(self.entries.values(), key=_total_order, reverse=True):
            for parent in map(self.entries.get, entry["parent_op_ids"]):
                if parent is not None and entry["op_id"] not in self.undone_by and self._is_inverse(entry, parent):
                    self.undone_by[parent["op_id"]] = entry["op_id"]
                    self.undoes[entry["op_id"]] = parent["op_id"]

    def _is_inverse(self, entry: OpEntry, parent: OpEntry) -> bool:
        try:
            return self.inverse(parent["domain_op"]) == entry["domain_op"]
        except ValueError:
            return False

    def to_undo(self) -> list[OpEntry]:
        """What was chosen, without what is undone and without what undoes another of these: both are settled."""
        return [
            entry
            for op_id, entry in self.chosen.items()
            if op_id not in self.undone_by and self.undoes.get(op_id) not in self.chosen
        ]

    def check_conflicts(self, todo: list[OpEntry]) -> None:
        """Raise `UndoConflictError` if something that counts came after one of these, on the same address."""
        wanted = {entry["op_id"] for entry in todo}
        # By address, of what came later the one that stands in the way of the most: of all that came after `begin`.
        nearest: dict[object, tuple[tuple[Any, ...], OpEntry]] = {}
        for entry in sorted(self.entries.values(), key=_total_order, reverse=True):
            here = _addresses(entry)
            if entry["op_id"] in wanted:
                for place in (_ANYWHERE,) if None in here else here | {None}:
                    if place in nearest and nearest[place][0] < _total_order(entry):
                        raise UndoConflictError(entry, nearest[place][1])
            elif entry["op_id"] not in self.undone_by:
                # An undo does not concern what came before the operation that it takes back: both together are nothing.
                undone = self.entries.get(self.undoes.get(entry["op_id"], ""))
                begin = _total_order(undone) if undone else ()
                for place in here | {_ANYWHERE}:
                    if place not in nearest or begin <= nearest[place][0]:
                        nearest[place] = begin, entry
