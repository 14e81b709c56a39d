"""What the demo records, where, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from muse.cli.demo.plan import PlannedEdit
from muse.cli.demo.trace import Edit
from muse.core.op_log import Cut, OpLogCheckpoint
from muse.domain import StructuredDelta


@dataclass(frozen=True)
class Stage:
    """What is to be recorded, and where."""

    edits: Sequence[Edit]
    """Those of the session, in which every actor is a process."""
    edits_apart: Sequence[Edit]
    """Those of whoever records a replica of the session meanwhile."""
    material: str
    """Where the edits come from, for people."""
    repo: Path
    repo_apart: Path
    session_id: str
    rate: float | None
    """Edits a second of each actor; None for as fast as they can."""


@dataclass
class Recorded:
    """What became of the edits while they were recorded."""

    plan: list[PlannedEdit]
    acknowledged: int
    acknowledged_apart: int
    cut: Cut
    deltas: dict[str, StructuredDelta]
    mark: OpLogCheckpoint
    arrived_meanwhile: int
    """Entries that arrived between the cut and the end of the checkpoint."""
