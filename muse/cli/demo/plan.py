"""The plan of the demo: which actor writes which entry, when, and after which other entries.

The plan is made before the first process starts. It gives each edit an op_id, so that other actors can name it as a
parent before it is written, a timestamp, and the tick at which it is due. Each actor makes one edit per tick, and
there are 100 ticks per second. An edit is never due before its parents.

An edit's timestamp is 1 + the highest timestamp of its parents and of the actor's previous edit. It does not depend on
which process was faster, so the same edits always collapse into the same delta.
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
"""Edits per second that an actor makes at speed 1."""

_FREE_SHARE = 0.7
"""The share of the edits that are written without waiting for the cut."""


@dataclass(frozen=True, slots=True)
class PlannedEdit:
    """One edit with its op_id, timestamp and schedule. Each line of an actor's plan file holds one."""

    op_id: str
    actor_id: str
    lamport_ts: int
    parent_op_ids: list[str]
    domain: str
    domain_op: Any
    due_tick: int
    awaited: list[str]
    """Parents that other processes write. They must be in the log before this edit is written."""
    held: bool
    """Whether to write this edit only after the cut, so that some edits arrive after the cut."""


def due_ticks(edits: Sequence[Edit]) -> list[int]:
    """The tick at which each edit is due: the actor's next tick, or later if a parent is due later.

    An edit is never due before the actor's previous edit, because an actor writes its edits in order.
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
    """The edits due before `tick`. Their parents are among them, because no edit is due before its parents."""
    kept = [due < tick for due in due_ticks(edits)]
    place = dict(zip(compress(range(len(edits)), kept), range(len(edits)), strict=False))
    return [
        Edit(edit.actor_id, tuple(place[parent] for parent in edit.parents), edit.domain, edit.domain_op)
        for edit in compress(edits, kept)
    ]


def planned(edits: Sequence[Edit]) -> list[PlannedEdit]:
    """Give each edit its op_id, timestamp and schedule; the order of the list stays the same."""
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
    """The numbers of the edits to hold back: those that are due last.

    No other edit has one of these as its parent. So all other edits can be written without them, and waiting for the
    other edits always ends.
    """
    by_due = sorted(range(len(ticks)), key=lambda number: (ticks[number], number))
    return set(by_due[free_edits(len(ticks)) :])


def free_edits(total: int) -> int:
    """How many of `total` edits are written without waiting for the cut: at least one."""
    return max(1, int(total * _FREE_SHARE))


def write_plans(plan: Sequence[PlannedEdit], folder: Path) -> dict[str, Path]:
    """Write each actor's part of the plan into a file of its own; return them by actor."""
    parts: dict[str, list[PlannedEdit]] = {}
    for edit in plan:
        parts.setdefault(edit.actor_id, []).append(edit)
    paths = {}
    for number, (actor_id, edits) in enumerate(parts.items()):
        paths[actor_id] = folder / f"actor-{number}.jsonl"
        write_plan(edits, paths[actor_id])
    return paths


def write_plan(edits: Sequence[PlannedEdit], path: Path) -> None:
    """Write some edits into one file, for `read_plan`."""
    import orjson

    path.write_bytes(b"".join(orjson.dumps(edit, option=orjson.OPT_APPEND_NEWLINE) for edit in edits))


def read_plan(path: Path) -> list[PlannedEdit]:
    """Read one file that `write_plan` wrote."""
    import orjson

    with path.open("rb") as lines:
        return [PlannedEdit(**orjson.loads(line)) for line in lines]
