"""Collapsing a domain's slice of the log into the delta that a commit takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from muse.core.entry import OpEntry
from muse.domain import StructuredDelta


def total_order(entry: OpEntry) -> tuple[int, str, str]:
    """The sort key that puts entries in the same order on every replica."""
    return (entry["lamport_ts"], entry["actor_id"], entry["op_id"])


def kind_of(domain_op: Mapping[str, Any]) -> str:
    """The value of `op`; "untyped" where that is no text: the engine gives an operation no other meaning."""
    kind = domain_op.get("op")
    return kind if isinstance(kind, str) else "untyped"


def collapse(domain: str, entries: Iterable[OpEntry]) -> StructuredDelta:
    """The delta of `entries`, all of one domain: their operations in total order, counted by kind."""
    # mypy can't know that a domain logs only its own DomainOps; the engine stores any JSON object.
    ops = [entry["domain_op"] for entry in sorted(entries, key=total_order)]
    kinds = Counter(map(kind_of, ops))
    summary = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return {"domain": domain, "ops": ops, "summary": summary or "no ops"}  # type: ignore[typeddict-item]  # see above
