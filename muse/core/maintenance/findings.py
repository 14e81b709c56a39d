"""What a full check can find, and what to do about each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from muse.core.checkpoint.record import OpLogCheckpoint

Severity = Literal["damage", "index", "note"]

REMEDIES = {
    "damaged-line": "the line is skipped and nothing else is affected; if its content is known, append it again",
    "torn-tail": "a writer died in the middle of this line, it was never acknowledged; the next append seals it",
    "line-changed": "somebody or something altered the file: compare with a backup or a replica",
    "conflicting-duplicate": "the first line counts; find out who wrote the second, and append it with its own op_id",
    "duplicate": "nothing to do: the first line counts, this one is passed over",
    "missing-parent": "nothing to do if a replica has it: merge that one",
    "timestamp-not-above-parent": "nothing to do; its author did not use next_lamport_ts()",
    "index-differs": "run rebuild-index",
    "checkpoint-damaged": "see docs/recovery.md, the checkpoint",
    "checkpoint-digest": "bytes below the checkpoint were altered after it was made: compare with a backup",
}

SEVERITIES: dict[str, Severity] = {
    "duplicate": "note",
    "missing-parent": "note",
    "timestamp-not-above-parent": "note",
    "index-differs": "index",
}
"""How bad a finding of a kind is; every other is "damage"."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    """ "damaged-line", "torn-tail", …; docs/recovery.md explains each."""
    severity: Severity
    """ "damage": log or checkpoint; "index": only the index, which can be rebuilt; "note": causality."""
    byte_offset: int | None
    """Where in `ops.jsonl`; None if it is not about a place."""
    length: int | None
    """How many bytes there."""
    reason: str
    """What is wrong."""
    remedy: str
    """What to do."""


@dataclass(frozen=True)
class VerifyReport:
    """What a full check of one session found."""

    session_id: str
    """The session."""
    log_path: str
    """Path of `ops.jsonl`."""
    size_bytes: int
    """Its size."""
    lines: int
    """Lines ended by a newline."""
    entries: int
    """Valid entries, each op_id once."""
    blank_lines: int
    """Lines with nothing but blanks, which are not damage."""
    findings: tuple[Finding, ...]
    """In the order they were met, at most `max_findings`."""
    counts: dict[str, int]
    """How many findings of each kind there are, listed or not."""
    pending_tail_bytes: int
    """Bytes after the last newline: torn, or still being written."""
    checkpoint: OpLogCheckpoint | None
    """The checkpoint, if it can be used."""
    damaged: bool
    """Whether log or checkpoint are damaged."""

    @property
    def ok(self) -> bool:
        """Whether log and checkpoint are whole."""
        return not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return {**asdict(self), "ok": self.ok}
