"""What a commit is made from, what is remembered of it, and what a target has to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import Any, Protocol, runtime_checkable

from muse.commit.errors import CommitDivergedError
from muse.core.op_log import Cut
from muse.domain import StructuredDelta

EMPTY_DIGEST = "0" * 64
"""The digest of no lines at all."""


@dataclass(frozen=True)
class Committed:
    """A commit of a session, as its target has it."""

    commit_id: str
    """What the target calls it: never empty, another for each commit, and the `snapshot_id` of the checkpoint."""
    session_id: str
    """The session, as it was passed in."""
    parent: str | None
    """The `commit_id` of the session's commit before; None for the first."""
    start: int
    """Byte offset in the log at which it begins: where its parent ended; 0 for the first, unless it was adopted."""
    cut: Cut
    """Where it ends. `op_count` is the number of operations in this commit and all before it."""
    digest: str
    """The `log_digest` (docs/format.md) of all lines up to there."""
    actors: Mapping[str, int]
    """How many operations of each actor are in it."""
    domains: Mapping[str, int]
    """How many operations of each domain are in it."""
    created_at: str
    """ISO 8601 wall-clock time."""

    @property
    def ops(self) -> int:
        """How many operations are in it."""
        return sum(self.actors.values())

    def to_record(self) -> dict[str, Any]:
        """All but the `commit_id`, as a JSON object: what a target has to store."""
        return {
            "session": self.session_id,
            "parent": self.parent,
            "start": self.start,
            "end": self.cut.byte_offset,
            "op_count": self.cut.op_count,
            "digest": self.digest,
            "actors": dict(self.actors),
            "domains": dict(self.domains),
            "created_at": self.created_at,
        }

    @classmethod
    def from_record(cls, commit_id: str, record: Any) -> Committed:
        """The commit of which a target has stored this record; a `CommitDivergedError` if it is not one."""
        if not _is_record(record):
            raise CommitDivergedError(f"commit {commit_id}: what is stored of it is not a record of a session's commit")
        session_id = record["session"]
        cut = Cut(session_id, record["end"], record["op_count"])
        rest = (record[name] for name in ("digest", "actors", "domains", "created_at"))
        return cls(commit_id, session_id, record["parent"], record["start"], cut, *rest)


_KINDS = {
    "session": str,
    "start": int,
    "end": int,
    "op_count": int,
    "digest": str,
    "actors": dict,
    "domains": dict,
    "created_at": str,
}


def _is_record(record: Any) -> bool:
    """Whether a value is what `Committed.to_record` gives, perhaps with more."""
    if not isinstance(record, dict) or any(type(record.get(name)) is not kind for name, kind in _KINDS.items()):
        return False
    counts = (*record["actors"].values(), *record["domains"].values())
    return (
        0 <= record["start"] < record["end"]
        and re.fullmatch("[0-9a-f]{64}", record["digest"]) is not None
        and isinstance(record.get("parent", 0), str | None)
        and all(type(count) is int for count in counts)
    )


@dataclass(frozen=True)
class CommitBatch:
    """What arrived in a session since its newest commit: all that the next one needs."""

    session_id: str
    """The session, as it was passed in."""
    parent: Committed | None
    """The newest commit, which this one follows; None if it is the first."""
    start: Cut
    """Where the commit begins: where its parent ended."""
    cut: Cut
    """Where the commit ends. `op_count` is the number of operations in it and all before it."""
    digest: str
    """The `log_digest` (docs/format.md) of all lines up to there."""
    deltas: Sequence[StructuredDelta]
    """One for each domain that has operations in it, sorted by domain."""
    actors: Mapping[str, int]
    """How many operations of each actor are in it, most first."""
    lines: bytes
    """The log from the start up to the cut, byte for byte, damaged lines included."""
    message: str | None
    """What the user says about it."""
    created_at: str
    """ISO 8601 wall-clock time."""

    @property
    def ops(self) -> int:
        """How many operations are in it."""
        return sum(self.actors.values())

    def committed_as(self, commit_id: str) -> Committed:
        """What is remembered of the commit that a target has made of this batch."""
        return Committed(
            commit_id,
            self.session_id,
            self.parent.commit_id if self.parent else None,
            self.start.byte_offset,
            self.cut,
            self.digest,
            self.actors,
            {delta["domain"]: len(delta["ops"]) for delta in self.deltas},
            self.created_at,
        )


class CommitTarget(Protocol):
    """Where commits are kept. `muse.commit.testing` has the tests that every target has to pass."""

    def latest(self, session_id: str) -> Committed | None:
        """The newest commit of a session; None if it has none."""
        ...

    def commit(self, batch: CommitBatch) -> Committed:
        """Make the commit, durably and whole or not at all, if `batch.parent` still is the newest one.

        Of several who commit after the same parent at the same moment, in whatever process, one succeeds.

        Raises:
            CommitMovedError: another is the newest by now; nothing was made.
        """
        ...


@runtime_checkable
class CommitHistory(CommitTarget, Protocol):
    """A target that also tells what it has, so that a log can be rebuilt, and may be damaged below a commit."""

    def commits(self, session_id: str) -> Sequence[Committed]:
        """All commits of a session, the first one first."""
        ...

    def lines(self, commits: Iterable[Committed]) -> Iterator[bytes]:
        """The lines of each of some commits, as they were in its batch."""
        ...


def carry_on(digest: str, lines: bytes) -> str:
    """The `log_digest` of a log whose lines go on like this after those of `digest`."""
    link = bytes.fromhex(digest)
    for line in BytesIO(lines):
        link = sha256(link + line).digest()
    return link.hex()
