"""Collapsing a domain's slice of the log into the delta that a commit takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from muse.core.entry.model import OpEntry, kind_of, total_order
from muse.domain import StructuredDelta


def collapse(domain: str, entries: Iterable[OpEntry]) -> StructuredDelta:
    """The delta of `entries`, all of one domain: their operations in total order, counted by kind."""
    # mypy can't know that a domain logs only its own DomainOps; the engine stores any JSON object.
    ops = [entry["domain_op"] for entry in sorted(entries, key=total_order)]
    kinds = Counter(map(kind_of, ops))
    summary = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return {"domain": domain, "ops": ops, "summary": summary or "no ops"}  # type: ignore[typeddict-item]  # see above
