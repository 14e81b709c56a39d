"""One summary per session of a repository, from the indexes and without scanning the logs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from muse.core.checkpoint import OpLogCheckpoint, fit, fit_without_log
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
    record_path = folder / CHECKPOINT_NAME
    try:
        sidecar.look()
        if sidecar.size == 0:
            return _empty(record_path, session_id)
        size = sidecar.size
        return sidecar.ask(lambda index: _from_index(index, log, size, sidecar.end, record_path, session_id))
    finally:
        sidecar.close()
        log.close()


def _empty(record_path: Path, session_id: str) -> SessionSummary:
    try:
        checkpoint, _ = fit_without_log(record_path, session_id)
    except CheckpointError as error:
        return SessionSummary(session_id, 0, None, 0, {}, {}, 0, None, str(error))
    return SessionSummary(session_id, 0, 0, 0, {}, {}, 0, checkpoint, None)


def _from_index(index: Index, log: LogFile, size: int, end: int, record_path: Path, session_id: str) -> SessionSummary:
    ops = count(index, Filter())
    checkpoint, pending, problem = None, None, None
    try:
        checkpoint, covered = fit(index, log, end, record_path, session_id)
        pending = ops - covered.op_count
    except CheckpointError as error:
        problem = str(error)
    return SessionSummary(
        session_id,
        ops,
        pending,
        highest_lamport_ts(index),
        totals(index, "actor"),
        totals(index, "domain"),
        size,
        checkpoint,
        problem,
    )
