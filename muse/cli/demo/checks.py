"""What the demo checks about the session it recorded, against a plain reading of the log's lines.

The reading shares no code with the engine: it is what any program with a JSON parser would do.
"""

# ruff: noqa: PLC0415 - orjson is imported only when used, so that --help is fast

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from muse.cli.demo.plan import PlannedEdit


class Checks:
    """Collects claims, each found true or false, and tells each as it is found."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.found: list[tuple[str, bool]] = []
        self._tell = tell

    def claim(self, what: str, *, holds: bool) -> None:
        """Record whether `what` holds."""
        self.found.append((what, holds))
        self._tell(f"   {'ok' if holds else 'FAILED'}: {what}")

    @property
    def failed(self) -> list[str]:
        """The claims that did not hold."""
        return [what for what, holds in self.found if not holds]


def plain_entries(path: Path, upto_bytes: int | None = None) -> list[dict[str, Any]]:
    """The entries of a log, read as plain JSON Lines, up to a byte offset or to the end.

    A blank line is no entry: a writer that saw another's line half written puts a newline before its own.
    """
    import orjson

    with path.open("rb") as file:
        lines = file.read(-1 if upto_bytes is None else upto_bytes).split(b"\n")
    return [orjson.loads(line) for line in lines if line.strip()]


def in_total_order(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The order that is the same in every replica."""
    return sorted(entries, key=lambda entry: (entry["lamport_ts"], entry["actor_id"], entry["op_id"]))


def ops_of(entries: Iterable[dict[str, Any]], domain: str) -> list[dict[str, Any]]:
    """The operations of one domain, in the order of the entries."""
    return [entry["domain_op"] for entry in entries if entry["domain"] == domain]


def as_planned(entries: Sequence[dict[str, Any]], plan: Sequence[PlannedEdit]) -> bool:
    """Whether the entries are those of the plan, each there once and as it was planned."""
    wanted = {edit.op_id: edit for edit in plan}
    return len(entries) == len(wanted) and all(
        (edit := wanted.pop(entry["op_id"], None)) is not None
        and entry["domain_op"] == edit.domain_op
        and entry["actor_id"] == edit.actor_id
        and entry["parent_op_ids"] == edit.parent_op_ids
        for entry in entries
    )


def parents_come_first(entries: Iterable[dict[str, Any]]) -> bool:
    """Whether every parent stands above its children, with a lower timestamp."""
    seen: dict[str, int] = {}
    for entry in entries:
        if any(seen.get(parent, entry["lamport_ts"]) >= entry["lamport_ts"] for parent in entry["parent_op_ids"]):
            return False
        seen[entry["op_id"]] = entry["lamport_ts"]
    return True
