"""Who writes which entry, when, and after which of the others' entries.

Everything that must be known before the first process starts is decided here: an op_id for each edit,
so that others can name it as a parent before it is written; its timestamp; and its due tick. An actor
makes one edit a tick, a hundred ticks a second; an edit is due no sooner than its parents are.

Timestamps are 1 + the highest of the parents' and of the actor's previous edit, as a set of clocks
would give them that hear of nothing but what they depend on. So the same edits always collapse into
the same delta, whichever process was faster.
"""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from muse.cli.demo.trace import Edit

TICKS_PER_S = 100
"""Life: how many edits a second an actor makes."""

_FREE_SHARE = 0.7
"""The share of the edits that is written without waiting for the cut."""


@dataclass(frozen=True, slots=True)
class PlannedEdit:
    """One edit with its identity; what one line of an actor's plan file holds."""

    op_id: str
    actor_id: str
    lamport_ts: int
    parent_op_ids: list[str]
    domain: str
    domain_op: Any
    due_tick: int
    awaited: list[str]
    """The parents that other processes write: it may be written once they are in the log."""
    held: bool
    """It may be written only after the cut, so that edits still arrive then."""


def due_ticks(edits: Sequence[Edit]) -> list[int]:
    """The tick at which each edit is due: the actor's next, or later when a parent is due later.

    Nor is it due before the actor's edit in front of it, whose place it can't take.
    """
    own_next: dict[str, int] = {}
    own_last: dict[str, int] = {}
    ticks: list[int] = []
    for edit in edits:
        own = own_next.get(edit.actor_id, 0)
        own_next[edit.actor_id] = own + 1
        ticks.append(max([own, own_last.get(edit.actor_id, 0), *(ticks[parent] for parent in edit.parents)]))
        own_last[edit.actor_id] = ticks[-1]
    return ticks


def until(edits: Sequence[Edit], tick: int) -> list[Edit]:
    """The edits due before `tick`. No edit is due before its parents, so none of these is missing."""
    kept = [due < tick for due in due_ticks(edits)]
    place = dict(zip(compress(range(len(edits)), kept), range(len(edits)), strict=False))
    return [
        Edit(edit.actor_id, tuple(place[parent] for parent in edit.parents), edit.domain, edit.domain_op)
        for edit in compress(edits, kept)
    ]


def planned(edits: Sequence[Edit]) -> list[PlannedEdit]:
    """Give each edit its op_id, its timestamp and its conditions; the list keeps its order."""
    op_ids = [str(uuid.uuid4()) for _ in edits]
    ticks = due_ticks(edits)
    held = _last_due(ticks)
    clocks: dict[str, int] = {}
    timestamps: list[int] = []
    plan: list[PlannedEdit] = []
    for number, edit in enumerate(edits):
        clock = 1 + max([clocks.get(edit.actor_id, 0), *(timestamps[parent] for parent in edit.parents)])
        clocks[edit.actor_id] = clock
        timestamps.append(clock)
        others = [parent for parent in edit.parents if edits[parent].actor_id != edit.actor_id]
        plan.append(
            PlannedEdit(
                op_id=op_ids[number],
                actor_id=edit.actor_id,
                lamport_ts=clock,
                parent_op_ids=[op_ids[parent] for parent in edit.parents],
                domain=edit.domain,
                domain_op=edit.domain_op,
                due_tick=ticks[number],
                awaited=[op_ids[parent] for parent in others],
                held=number in held,
            )
        )
    return plan


def _last_due(ticks: Sequence[int]) -> set[int]:
    """The edits that are due last.

    What remains contains every parent of its edits, so it is written to its end without them: whoever
    waits for it to arrive waits in vain for nothing.
    """
    by_due = sorted(range(len(ticks)), key=lambda number: (ticks[number], number))
    return set(by_due[free_edits(len(ticks)) :])


def free_edits(total: int) -> int:
    """How many of `total` edits are written without waiting for the cut: at least one."""
    return max(1, int(total * _FREE_SHARE))


def write_plans(plan: Sequence[PlannedEdit], folder: Path) -> dict[str, Path]:
    """Write each actor's part of the plan into a file of its own; return them by actor."""
    import orjson

    parts: dict[str, list[bytes]] = {}
    for edit in plan:
        parts.setdefault(edit.actor_id, []).append(orjson.dumps(edit, option=orjson.OPT_APPEND_NEWLINE))
    paths = {}
    for number, (actor_id, lines) in enumerate(parts.items()):
        paths[actor_id] = folder / f"actor-{number}.jsonl"
        paths[actor_id].write_bytes(b"".join(lines))
    return paths


def read_plan(path: Path) -> list[PlannedEdit]:
    """What `write_plans` wrote into one file."""
    import orjson

    with path.open("rb") as lines:
        return [PlannedEdit(**orjson.loads(line)) for line in lines]
