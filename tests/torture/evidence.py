"""What the processes of one session said: the only source, besides the log's bytes, of what must be true."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muse.core.op_log import OpEntry
from tests import making

SESSION = "torture"

Call = list[tuple[str, int]]
"""(op_id, lamport_ts) of each entry that one call acknowledged."""


class Violation(Exception):  # noqa: N818 - what was found, not how the harness failed
    """A promise was broken."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass
class Collapse:
    """A delta of both domains, collapsed at one cut in order to be checkpointed."""

    snapshot_id: str
    byte_offset: int
    op_count: int
    marks: dict[str, list[str]]
    """By domain, in the order of the delta."""
    outcome: str = "unknown"
    """Either "made", "refused", or "unknown" where the process died before it could tell."""


@dataclass
class Evidence:
    """Everything told about one session and its replica, over all its rounds."""

    folder: Path
    """Where everything of this session lies; outside the session folder, so that this stays clean."""
    calls: dict[str, list[Call]] = field(default_factory=dict)
    """By actor, in the order of their acknowledgements."""
    unfinished: dict[str, list[OpEntry]] = field(default_factory=dict)
    """By actor: what it tried to append when it was killed."""
    collapses: dict[str, Collapse] = field(default_factory=dict)
    merged: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0})
    redacted: dict[str, str] = field(default_factory=dict)
    """What redacted operations said, by op_id."""
    highest_seen: int = 0
    """The highest op_count of a checkpoint that anybody made or read."""
    kills: int = 0
    logged: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    """What a mishap brought along, and how often."""

    def __post_init__(self) -> None:
        for repo in (self.repo, self.replica):
            repo.mkdir(parents=True)

    @property
    def repo(self) -> Path:
        """The repository of the session."""
        return self.folder / "repo"

    @property
    def replica(self) -> Path:
        """The repository of its replica."""
        return self.folder / "replica"

    @property
    def record_before(self) -> Path:
        """A copy of checkpoint.json from right before a mishap; `replica` holds one of the log then."""
        return self.folder / "checkpoint before"

    @property
    def turn_file(self) -> Path:
        """What checkpointers lock where they take turns."""
        return self.folder / "turn"

    @property
    def stacks_file(self) -> Path:
        """Where processes that hang write where they are."""
        return self.folder / "stacks"

    def log_path(self, repo: Path) -> Path:
        """The log of the session or of its replica."""
        return making.log_path(repo, SESSION)

    @property
    def acknowledged(self) -> int:
        """How many operations were acknowledged."""
        return sum(len(call) for calls in self.calls.values() for call in calls)

    def hear(self, job_actor: str, message: list[Any]) -> None:
        """Take in one message; see `actors` for what there is.

        Raises:
            Violation: it tells of something that must not happen.
        """
        kind, *rest = message
        if kind == "ack":
            self._acknowledge(job_actor, *rest)
        elif kind == "try":
            self.unfinished[job_actor] = rest[0]
        elif kind == "collapsed":
            self.collapses[rest[0]] = Collapse(*rest)
        elif kind == "checkpointed":
            self._checkpointed(*rest)
        elif kind == "refused":
            self.collapses[rest[0]].outcome = "refused"
        elif kind == "merged":
            self.merged[rest[0]] = max(self.merged[rest[0]], rest[1])
        elif kind == "seen":
            self.highest_seen = max(self.highest_seen, rest[0])
        elif kind in ("met", "logged", "redacted"):
            getattr(self, kind).update(rest)
        elif kind == "fault":
            raise Violation("fault", rest[0])

    def _acknowledge(self, job_actor: str, actor: str, call: list[list[Any]]) -> None:
        self.calls.setdefault(actor, []).append([(op_id, lamport_ts) for op_id, lamport_ts in call])
        self.unfinished.pop(job_actor, None)

    def _checkpointed(self, snapshot_id: str, byte_offset: int, op_count: int) -> None:
        collapse = self.collapses[snapshot_id]
        if (collapse.byte_offset, collapse.op_count) != (byte_offset, op_count):
            raise Violation(
                "checkpoint",
                f"{snapshot_id} covers {op_count} operations and {byte_offset} bytes, its cut {collapse.op_count} "
                f"and {collapse.byte_offset}",
            )
        collapse.outcome = "made"
        self.highest_seen = max(self.highest_seen, op_count)
