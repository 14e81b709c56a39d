"""One summary per session of a repository, from the indexes and without scanning the logs."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from muse.core.checkpoint.record import Cut, OpLogCheckpoint, current_checkpoint, fit, read_record
from muse.core.clock import LamportClock
from muse.core.errors import CheckpointError
from muse.core.maintenance.pace import ops_per_minute
from muse.core.old_index.index import INDEX_FAULTS, Index
from muse.core.old_index.index_file import at_rest
from muse.core.old_index.index_query import count, highest_lamport_ts, totals
from muse.core.old_index.index_question import Filter
from muse.core.old_index.sidecar import Sidecar, StaleIndexError, fits
from muse.core.storage.log_file import LogFile
from muse.core.storage.session_dir import CHECKPOINT_NAME, LOG_NAME, list_sessions, session_folder


@dataclass(frozen=True)
class SessionSummary:
    """What one session holds."""

    session_id: str
    """The session."""
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
    ops_per_minute: float | None
    """Over the last 100 entries, by their `created_at`; None where that tells nothing."""
    modified_at: str | None
    """When `ops.jsonl` was last written to, ISO 8601 in UTC; None where it is not there."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return asdict(self)


def describe_sessions(repo_root: Path | str) -> list[SessionSummary]:
    """A summary of every session of the repository, sorted by id.

    The logs are not scanned: only what was appended since their indexes were last fed is read.

    Args:
        repo_root: the folder that holds `.muse/`.

    Raises:
        OSError: a log or index can't be read.
    """
    return [_describe(Path(repo_root), session_id) for session_id in list_sessions(repo_root)]


def _describe(repo_root: Path, session_id: str) -> SessionSummary:
    folder = session_folder(repo_root, session_id)
    log = LogFile(folder / LOG_NAME, durable_names=False)
    try:
        return _at_rest(folder, log, session_id) or _caught_up(folder, log, session_id)
    finally:
        log.close()


def _at_rest(folder: Path, log: LogFile, session_id: str) -> SessionSummary | None:
    """The summary of a session that nobody is at work on; None where it takes more than a look at its index."""
    try:
        checkpoint = read_record(folder / CHECKPOINT_NAME, session_id)
        # After the checkpoint was read, so that it can't cover more than is counted here.
        size = log.size()
        with at_rest(folder) as index:
            if size == 0 or index is None or index.covered() != size or not fits(index, log):
                return None
            path = folder / CHECKPOINT_NAME
            covered = fit(index, log=log, end=size, path=path, session_id=session_id, record=checkpoint)
            return _summary(index, log, session_id, size, checkpoint, covered, None)
    except (*INDEX_FAULTS, StaleIndexError, CheckpointError, OSError):
        return None


def _caught_up(folder: Path, log: LogFile, session_id: str) -> SessionSummary:
    """The summary of any session, its index fed or rebuilt first."""
    sidecar = Sidecar(folder, log, LamportClock())
    try:
        checkpoint, covered, problem = None, None, None
        try:
            checkpoint, covered = current_checkpoint(sidecar, log, folder / CHECKPOINT_NAME, session_id)
        except CheckpointError as error:
            problem = str(error)
        # After the checkpoint was read, so that it can't cover more than is counted here.
        sidecar.look()
        size = sidecar.size
        if size == 0:
            pending = None if problem else 0
            modified_at = _modified_at(log)
            return SessionSummary(session_id, 0, pending, 0, {}, {}, 0, checkpoint, problem, None, modified_at)
        return sidecar.ask(lambda index: _summary(index, log, session_id, size, checkpoint, covered, problem))
    finally:
        sidecar.close()


def _summary(
    index: Index,
    log: LogFile,
    session_id: str,
    size: int,
    checkpoint: OpLogCheckpoint | None,
    covered: Cut | None,
    problem: str | None,
) -> SessionSummary:
    with index.snapshot():
        actors = totals(index, "actor")
        ops = sum(actors.values())
        # Counted, not subtracted: of what the checkpoint covers a line may have been damaged since.
        pending = None if covered is None else count(index, Filter(start=covered.byte_offset))
        return SessionSummary(
            session_id,
            ops,
            pending,
            highest_lamport_ts(index),
            actors,
            totals(index, "domain"),
            size,
            checkpoint,
            problem,
            ops_per_minute(index, log),
            _modified_at(log),
        )


def _modified_at(log: LogFile) -> str | None:
    try:
        modified_s = os.stat(log.path).st_mtime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(modified_s, UTC).isoformat()
