"""The plain design: a JSONL file and nothing else. Opened for every append, scanned for every question."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.compare import Work
from muse.core.op_log import OpEntry


def append(path: Path, entry: OpEntry) -> None:
    """Open, `json.dumps`, write, close."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


@contextmanager
def appending(folder: Path, entries: Sequence[OpEntry]) -> Iterator[Work]:
    """Append one entry after the other."""
    first, *rest = entries
    path = folder / "ops.jsonl"
    folder.mkdir(parents=True)

    def work() -> None:
        for entry in rest:
            append(path, entry)

    append(path, first)
    yield work


def read_all(path: Path) -> list[Any]:
    """Every entry."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def next_lamport_ts(path: Path) -> int:
    """One more than the highest timestamp."""
    with open(path, encoding="utf-8") as file:
        return 1 + max(int(json.loads(line)["lamport_ts"]) for line in file)


def delta(path: Path, domain: str, covered: int) -> dict[str, Any]:
    """The delta of a domain from what came after the first `covered` entries."""
    with open(path, encoding="utf-8") as file:
        parsed = (json.loads(line) for line in file)
        pending = [entry for number, entry in enumerate(parsed) if number >= covered and entry["domain"] == domain]
    pending.sort(key=lambda entry: (entry["lamport_ts"], entry["actor_id"], entry["op_id"]))
    ops = [entry["domain_op"] for entry in pending]
    kinds = Counter(op["op"] for op in ops)
    return {"domain": domain, "ops": ops, "summary": ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))}


def describe(log_root: Path) -> dict[str, dict[str, Any]]:
    """Entries, highest timestamp, actors and domains of every session."""
    return {folder.name: _describe(folder / "ops.jsonl") for folder in sorted(log_root.iterdir()) if folder.is_dir()}


def _describe(path: Path) -> dict[str, Any]:
    highest = 0
    actors: Counter[str] = Counter()
    domains: Counter[str] = Counter()
    with open(path, encoding="utf-8") as file:
        for line in file:
            entry = json.loads(line)
            highest = max(highest, entry["lamport_ts"])
            actors[entry["actor_id"]] += 1
            domains[entry["domain"]] += 1
    return {"ops": actors.total(), "max_lamport_ts": highest, "actors": actors, "domains": domains}
