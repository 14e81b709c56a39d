"""Collapsing a domain's slice of the log into the delta that a commit takes.

The engine gives an operation no meaning but its kind: domains interpret the delta.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from operator import itemgetter

from muse.core.entry.model import OpEntry, kind_of
from muse.domain import StructuredDelta

total_order = itemgetter("lamport_ts", "actor_id", "op_id")
"""The sort key that puts entries in the same order on every replica."""


def collapse(domain: str, entries: Iterable[OpEntry], *, attribution: bool = False) -> StructuredDelta:
    """The delta of `entries`: their operations in total order, and a summary that counts them by kind.

    Args:
        domain: the domain that all of them are of.
        entries: in any order; they are held in memory.
        attribution: whether to name the op_id and the actor of each operation too.

    Returns:
        The same on every replica that holds the same entries. `ops` are the operations as they were appended.
    """
    ordered = sorted(entries, key=total_order)
    ops = [entry["domain_op"] for entry in ordered]
    delta: StructuredDelta = {"domain": domain, "ops": ops, "summary": summary_of(map(kind_of, ops))}
    if attribution:
        delta["op_ids"] = [entry["op_id"] for entry in ordered]
        delta["actor_ids"] = [entry["actor_id"] for entry in ordered]
    return delta


def summary_of(kinds: Iterable[str]) -> str:
    """How many operations there are of each kind, sorted by kind.

    Returns:
        Such as "3 delete, 12 insert"; "no ops" if there are none.
    """
    counts = sorted(Counter(kinds).items())
    return ", ".join(f"{number} {kind}" for kind, number in counts) or "no ops"
