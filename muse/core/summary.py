"""One summary per session of a repository, from the indexes and without scanning the logs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from muse.core.checkpoint import OpLogCheckpoint, current_checkpoint
from muse.core.clock import LamportClock
from muse.core.errors import CheckpointError
from muse.core.index import Index
from muse.core.index_query import Filter, count, highest_lamport_ts, totals
from muse.core.log_file import LogFile
from muse.core.session import CHECKPOINT_NAME, LOG_NAME, list_sessions, session_folder
from muse.core.sidecar import Sidecar


@dataclass(frozen=True)
class SessionSummary:
    """What one session holds."""

    session_id: str
    ops: int
    """Entries in the log."""
    pending: int | None
    """Entries that arrived after the checkpoint; None where the checkpoint can't be used."""
    max_lamport_ts: int
    """The highest timestamp; 0 where the log is empty."""
    actors: dict[str, int]
    """Entries by actor, most first."""
    domains: dict[str, int]
    """Entries by domain, most first."""
    size_bytes: int
    """Size of `ops.jsonl`."""
    checkpoint: OpLogCheckpoint | None
    """The most recent checkpoint; None where none was made, or where `problem` says why not."""
    problem: str | None
    """What is wrong with the checkpoint, and what to do."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return asdict(self)


def describe_sessions(repo_root: Path | str) -> list[SessionSummary]:
    """A summary of every session of the repository, sorted by id.

    The logs are not scanned: only what was appended since their indexes were last fed is read.

    Raises:
        OSError: a log or index can't be read.
    """
    return [_describe(Path(repo_root), session_id) for session_id in list_sessions(repo_root)]


def _describe(repo_root: Path, session_id: str) -> SessionSummary:
    folder = session_folder(repo_root, session_id)
    log = LogFile(folder / LOG_NAME, durable_names=False)
    sidecar = Sidecar(folder, log, LamportClock())
    try:
        checkpoint, covered, problem = None, None, None
        try:
            checkpoint, covered = current_checkpoint(sidecar, log, folder / CHECKPOINT_NAME, session_id)
        except CheckpointError as error:
            problem = str(error)
        # After the checkpoint was read, so that it can't cover more than is counted here.
        sidecar.look()
        if sidecar.size == 0:
            return SessionSummary(session_id, 0, None if problem else 0, 0, {}, {}, 0, checkpoint, problem)
        ops, max_lamport_ts, actors, domains = sidecar.ask(_answers)
        pending = None if covered is None else ops - covered.op_count
        return SessionSummary(
            session_id, ops, pending, max_lamport_ts, actors, domains, sidecar.size, checkpoint, problem
        )
    finally:
        sidecar.close()
        log.close()


def _answers(index: Index) -> tuple[int, int, dict[str, int], dict[str, int]]:
    with index.snapshot():
        return count(index, Filter()), highest_lamport_ts(index), totals(index, "actor"), totals(index, "domain")
