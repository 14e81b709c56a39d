"""What a full check finds, and what to do about each: neighbours of one kind are one finding, the worst come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from muse.core.checkpoint.record import OpLogCheckpoint
from muse.core.entry.codec import checksum
from muse.core.entry.filter import END
from muse.core.storage.accepted import Acceptance

Severity = Literal["damage", "index", "note"]

REMEDIES = {
    "operation-lost": "muse op-log repair: --from a replica, an export or a backup, or --from-git; else accept it",
    "line-changed": "somebody or something altered the file: compare with a backup or a replica, or accept it",
    "conflicting-duplicate": "the first line counts; find out who wrote the second, and append it with its own op_id",
    "damaged-line": "nothing else is affected; muse op-log repair appends again what it holds whole; else accept it",
    "torn-tail": "a writer died in the middle of this line, it was never acknowledged; the next append ends it",
    "checkpoint-damaged": "muse op-log repair restores it if the index has seen it; else: muse op-log help recovery",
    "checkpoint-digest": "bytes below the checkpoint have changed since: compare with a backup, or accept it",
    "accepted-damaged": "nothing counts as accepted: restore the file, or move it away and accept again",
    "index-differs": "run rebuild-index, which keeps what the index has seen",
    "redacted": "nothing to do: what it said was overwritten on purpose",
    "duplicate": "nothing to do: the first line counts, this one is passed over",
    "missing-parent": "nothing to do if a replica has it: merge that one",
    "timestamp-not-above-parent": "nothing to do; its author did not use next_lamport_ts()",
    "timestamp-far-above": "nothing to do if it was meant; few timestamps may be left above it: go on in a new session",
}
"""What to do, by kind of finding; the worst first."""

_NOTES = ("redacted", "duplicate", "missing-parent", "timestamp-not-above-parent", "timestamp-far-above")

ACCEPTABLE = ("operation-lost", "line-changed", "conflicting-duplicate", "damaged-line", "checkpoint-digest")
"""What an operator can accept: what can't be had back. Everything else has a remedy that makes it go away."""


def severity_of(kind: str) -> Severity:
    """How bad a finding of a kind is, unless it is accepted."""
    return "note" if kind in _NOTES else "index" if kind == "index-differs" else "damage"


@dataclass(frozen=True)
class LostOperation:
    """An operation that the index knew and the log no longer has."""

    op_id: str
    """Which one it is."""
    actor_id: str
    """Who did it."""
    lamport_ts: int
    """Its timestamp."""
    domain: str
    """Its domain."""
    byte_offset: int
    """Where its line began."""
    length: int
    """Bytes of its line, newline included."""
    checksum: int
    """CRC-32 of its line, newline included."""
    snapshot_id: str | None
    """The last checkpoint's snapshot, if that covers it: then the commit has it. Else ask replicas and exports."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: at one place, or at some that follow each other."""

    id: str
    """Eight hex digits that people name it by; the same whenever it is found."""
    kind: str
    """ "operation-lost", "damaged-line", …; `muse op-log help recovery` explains each."""
    severity: Severity
    """ "damage": log or checkpoint; "index": only the index, which can be rebuilt; "note": accepted, or causality."""
    byte_offset: int | None
    """Where in `ops.jsonl`; None if it is not about a place."""
    length: int | None
    """How many bytes there."""
    count: int
    """How many lines or operations it is about."""
    reason: str
    """What is wrong; of the first of them."""
    remedy: str
    """What to do."""
    operations: tuple[LostOperation, ...]
    """What is lost here, if anything is; as many as `max_findings` allows."""
    members: tuple[str, ...]
    """By what each of them is known again; as many as `max_findings` allows."""


@dataclass
class _Range:
    """A finding that may go on with the next place."""

    kind: str
    severity: Severity
    byte_offset: int | None
    length: int | None
    reason: str
    acceptance: Acceptance | None
    first: str
    """By what the first of them is known again."""
    count: int = 1
    members: list[str] = field(default_factory=list)
    operations: list[LostOperation] = field(default_factory=list)

    @property
    def end(self) -> int | None:
        return None if self.byte_offset is None or self.length is None else self.byte_offset + self.length

    def finding(self) -> Finding:
        reason = self.reason if self.count == 1 else f"{self.reason}; and {self.count - 1} more after it"
        if (by := self.acceptance) is not None:
            reason = f"accepted by {by.by}, {by.at}: {by.why} ({reason})"
        is_usual = self.severity == severity_of(self.kind)
        return Finding(
            f"{checksum(f'{self.kind}@{self.first}'.encode()):08x}",
            self.kind,
            self.severity,
            self.byte_offset,
            self.length,
            self.count,
            reason,
            REMEDIES[self.kind] if is_usual else "nothing to do",
            tuple(self.operations),
            tuple(self.members),
        )


class Findings:
    """Collects what is found, each kind in the order of its places. So many of a kind are listed, all are counted."""

    def __init__(self, limit: int | None, accepted: Mapping[tuple[str, str], Acceptance]) -> None:
        self._limit = END if limit is None else limit
        self._accepted = accepted
        self._ranges: dict[str, list[_Range]] = {kind: [] for kind in REMEDIES}
        self._listed: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        """How many there are of each kind, accepted or not."""
        self.damaged = False
        """Whether something is damage, and not accepted."""

    def add(
        self,
        kind: str,
        at: int | None,
        length: int | None,
        reason: str,
        *,
        member: str | None = None,
        operation: LostOperation | None = None,
        is_harmless: bool = False,
    ) -> None:
        """Take in one thing; `member` is what it is known by, its place if that is not given."""
        member = member or ("-" if at is None else f"{at}+{length}")
        acceptance = self._accepted.get((kind, member))
        severity = "note" if acceptance or is_harmless else severity_of(kind)
        self.counts[kind] += 1
        self.damaged |= severity == "damage"
        ranges = self._ranges[kind]
        last = ranges[-1] if ranges else None
        if (
            last is not None
            and at is not None
            and last.end == at
            and (last.severity, last.acceptance) == (severity, acceptance)
        ):
            last.length = (last.length or 0) + (length or 0)
            last.count += 1
        elif len(ranges) < self._limit:
            ranges.append(last := _Range(kind, severity, at, length, reason, acceptance, member))
        else:
            return
        if self._listed[kind] < self._limit:
            self._listed[kind] += 1
            last.members.append(member)
            last.operations += [operation] if operation else []

    def would_list(self, kind: str, at: int) -> bool:
        """Whether something at this place would begin a finding, with a reason of its own."""
        ranges = self._ranges[kind]
        return len(ranges) < self._limit and not (ranges and ranges[-1].end == at)

    def listed(self) -> Iterator[Finding]:
        """What was found: damage first, then what is wrong with the index, then notes."""
        found = [each.finding() for ranges in self._ranges.values() for each in ranges]
        return iter(sorted(found, key=lambda each: ("damage", "index", "note").index(each.severity)))


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
    """Damage first, the worst kind first; of each kind at most `max_findings` lines or operations."""
    counts: dict[str, int]
    """How many lines or operations each kind is found of, listed or not, accepted or not."""
    pending_tail_bytes: int
    """Bytes after the last newline: torn, or still being written."""
    checkpoint: OpLogCheckpoint | None
    """The checkpoint, if it can be used."""
    damaged: bool
    """Whether log or checkpoint are damaged, in a way that nobody has accepted."""

    @property
    def ok(self) -> bool:
        """Whether log and checkpoint are whole."""
        return not self.damaged

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return {**asdict(self), "ok": self.ok}
