"""One summary per session of a repository, from the indexes and without scanning the logs."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from muse.core.checkpoint.covered import remember_record
from muse.core.checkpoint.cut import Checkpoints
from muse.core.checkpoint.record import OpLogCheckpoint
from muse.core.entry.filter import END, Filter
from muse.core.entry.model import parse_time
from muse.core.errors import CheckpointError, MuseError
from muse.core.handle_lock import HandleLock, Turn
from muse.core.index.catch_up import CatchUp
from muse.core.index.query import count, damaged_lines, find_page, totals
from muse.core.index.store import Index
from muse.core.maintenance.redact import finish
from muse.core.maintenance.summary_cache import SummaryCache, stamp_of
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_entries
from muse.core.storage.session_dir import LOG_NAME, list_sessions, op_log_root, session_folder

PACE_OPS = 100
"""How many of the last entries the pace is taken from."""
_FEW_OPS = 10
_MINUTE_S = 60


@dataclass(frozen=True)
class SessionSummary:
    """What one session holds."""

    session_id: str
    """The session."""
    ops: int
    """Entries in the log."""
    pending: int | None
    """Entries that arrived after the checkpoint; None if the checkpoint can't be used."""
    max_lamport_ts: int
    """The highest timestamp; 0 if the log is empty."""
    actors: dict[str, int]
    """Entries by actor, most first."""
    domains: dict[str, int]
    """Entries by domain, most first."""
    size_bytes: int
    """Size of `ops.jsonl`."""
    checkpoint: OpLogCheckpoint | None
    """The most recent checkpoint; None if none was made, or if `problem` says what is wrong."""
    problem: str | None
    """What is wrong with the checkpoint or, if nothing is known of the session, with its files, and what to do."""
    ops_per_minute: float | None
    """Over the last 100 entries, by their `created_at`; None if these are too few in too short a time to tell."""
    last_created_at: str | None
    """The `created_at` of the entry that arrived last, as it is in the log; None if there is none."""
    modified_at: str | None
    """When `ops.jsonl` was last written to, ISO 8601 in UTC; None if it is not there."""
    damaged_lines: int
    """Lines of the log that are passed over, because they are no entry any more."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict."""
        return asdict(self)


def describe_sessions(repo_root: Path | str) -> list[SessionSummary]:
    """A summary of every session of the repository, sorted by id.

    The logs are not scanned: only what was appended since their indexes were last fed is read.

    Args:
        repo_root: the folder that holds `.muse/`.

    A session that can't be read has nothing but its `problem`.

    Raises:
        OSError: the folder of the sessions can't be read.
    """
    root = Path(repo_root).absolute()
    cache = SummaryCache(op_log_root(root))
    found = [_known_or_made(cache, root, session_id) for session_id in list_sessions(root)]
    cache.save()
    return found


def _known_or_made(cache: SummaryCache, root: Path, session_id: str) -> SessionSummary:
    try:
        folder = session_folder(root, session_id)
        stamp = stamp_of(folder)
        known = cache.get(folder.name, stamp)
        if known is not None:
            return SessionSummary(**known)
        summary = _describe(folder, session_id)
    except (OSError, MuseError) as error:
        return SessionSummary(session_id, 0, None, 0, {}, {}, 0, None, str(error), None, None, None, 0)
    # Looking at it may have fed its index; then the next look is the one that is kept.
    if summary.problem is None and stamp_of(folder) == stamp:
        cache.keep(folder.name, stamp, summary.to_dict())
    return summary


def _describe(folder: Path, session_id: str) -> SessionSummary:
    log = LogFile(folder / LOG_NAME, durable_names=False)
    remember, finishing = partial(remember_record, log, session_id), partial(finish, log, session_id)
    catch_up = CatchUp(folder, log, lambda _lamport_ts: None, remember, finish=finishing)
    with closing(HandleLock(log.path, catch_up)) as lock:
        # A call of its own: after an interrupt, what had the turn must have ended before the handle is closed.
        return _described(lock, catch_up, log, session_id)


def _described(lock: HandleLock, catch_up: CatchUp, log: LogFile, session_id: str) -> SessionSummary:
    with Turn(lock):
        checkpoint, covered, problem = None, None, None
        try:
            checkpoint, covered = Checkpoints(catch_up, log, session_id).current()
        except CheckpointError as error:
            problem = str(error)
        # After the checkpoint was read, so that it can't cover more than is counted here.
        catch_up.catch_up()
        size, modified_at = catch_up.size, None
        with suppress(FileNotFoundError):
            modified_at = datetime.fromtimestamp(os.stat(log.path).st_mtime, UTC).isoformat()
        pending = None if problem else 0
        empty = SessionSummary(session_id, 0, pending, 0, {}, {}, size, checkpoint, problem, None, None, modified_at, 0)

        def filled(index: Index) -> SessionSummary:
            rate, last_created_at = _last_entries(index, log)
            return replace(
                empty,
                ops=index.entries,
                # Counted, not subtracted: of what the checkpoint covers a line may have been damaged since.
                pending=None if covered is None else count(index, Filter(start=covered)),
                max_lamport_ts=index.highest_lamport_ts,
                actors=totals(index, "actor"),
                domains=totals(index, "domain"),
                ops_per_minute=rate,
                last_created_at=last_created_at,
                damaged_lines=len(damaged_lines(index, 0, END)),
            )

        return catch_up.with_index(filled) if size else empty


def _last_entries(index: Index, log: LogFile) -> tuple[float | None, str | None]:
    """The pace of the last `PACE_OPS` entries, and the `created_at` of the last of all."""
    places, _ = find_page(index, Filter(), PACE_OPS, END, reverse=True)
    if not places.lines:
        return None, None
    first_page, _ = find_page(index, Filter(start=places.starts[0]), 1, END)
    last_page, _ = find_page(index, Filter(), 1, END, reverse=True)
    first, last = (read_entries(log, page)[0]["created_at"] for page in (first_page, last_page))
    began, ended = parse_time(first), parse_time(last)
    span_s = (ended - began).total_seconds() if began and ended else 0
    return ops_per_minute(places.lines, span_s), last


def ops_per_minute(ops: int, span_s: float) -> float | None:
    """The pace of so many entries from the first to the last; None where a minute of that would be a guess.

    That is if they span less than a second, or are fewer than ten and span less than a minute.
    """
    if span_s < 1 or (ops < _FEW_OPS and span_s < _MINUTE_S):
        return None
    return (ops - 1) * _MINUTE_S / span_s
