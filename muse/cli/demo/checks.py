"""The demo's checks of the session it recorded, made against a plain reading of the log file.

The plain reading shares no code with the engine. Any program with a JSON parser could do the same.
"""

# ruff: noqa: PLC0415 - orjson is imported only when used, so that --help is fast

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from muse.cli.demo.plan import PlannedEdit


class Checks:
    """Collects claims and whether they hold, and prints each with `tell`."""

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
    """The entries of a log, read as plain JSON Lines up to a byte offset, or to the end.

    Blank lines are skipped. They occur when a writer sees another writer's unfinished line and therefore begins its
    own with a newline.
    """
    import orjson

    with path.open("rb") as file:
        lines = file.read(-1 if upto_bytes is None else upto_bytes).split(b"\n")
    return [orjson.loads(line) for line in lines if line.strip()]


def in_total_order(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries in total order, which is the same in every replica."""
    return sorted(entries, key=lambda entry: (entry["lamport_ts"], entry["actor_id"], entry["op_id"]))


def ops_of(entries: Iterable[dict[str, Any]], domain: str) -> list[dict[str, Any]]:
    """The operations of one domain, in the order of the entries."""
    return [entry["domain_op"] for entry in entries if entry["domain"] == domain]


def as_planned(entries: Sequence[dict[str, Any]], plan: Sequence[PlannedEdit]) -> bool:
    """Whether the entries are exactly those of the plan, each once and unchanged."""
    wanted = {edit.op_id: edit for edit in plan}
    return len(entries) == len(wanted) and all(
        (edit := wanted.pop(entry["op_id"], None)) is not None
        and entry["domain_op"] == edit.domain_op
        and entry["actor_id"] == edit.actor_id
        and entry["parent_op_ids"] == edit.parent_op_ids
        for entry in entries
    )


def parents_come_first(entries: Iterable[dict[str, Any]]) -> bool:
    """Whether every parent comes before its children and has a lower timestamp."""
    seen: dict[str, int] = {}
    for entry in entries:
        if any(seen.get(parent, entry["lamport_ts"]) >= entry["lamport_ts"] for parent in entry["parent_op_ids"]):
            return False
        seen[entry["op_id"]] = entry["lamport_ts"]
    return True
