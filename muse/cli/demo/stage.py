"""The input of the demo, and the results of its recording."""

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
    """What to record, and where."""

    edits: Sequence[Edit]
    """The edits of the session. Each of its actors is a process."""
    edits_apart: Sequence[Edit]
    """The edits of the offline actor, recorded in a second replica at the same time."""
    material: str
    """A description of the edits, for people."""
    repo: Path
    repo_apart: Path
    session_id: str
    rate: float | None
    """Edits per second of each actor; None for as fast as possible."""


@dataclass
class Recorded:
    """The results of the recording."""

    plan: list[PlannedEdit]
    acknowledged: int
    acknowledged_apart: int
    cut: Cut
    deltas: dict[str, StructuredDelta]
    mark: OpLogCheckpoint
    arrived_meanwhile: int
    """Entries that arrived between the cut and the end of the checkpoint."""
