"""The protocol: what is pending becomes the target's next commit, and the checkpoint follows.

The target's newest commit says what is committed. `checkpoint.json` only repeats it, so that everybody else can ask
without the target; if it is behind, whoever comes next brings it up to date. The target takes at most one commit after
each parent. So wherever a process dies, and however many commit at once, each operation gets into exactly one commit.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import NamedTuple

from muse.commit.batch import EMPTY_DIGEST, CommitBatch, CommitTarget, Committed, carry_on
from muse.commit.changes import committed_but_changed, diverged
from muse.commit.errors import CommitDivergedError, CommitMovedError
from muse.core.op_log import (
    CheckpointBackwardsError,
    Cut,
    InvalidCutError,
    MuseError,
    OpEntry,
    OpLog,
    collapse,
)

_ATTEMPTS = 100
"""Each time somebody else has committed in between, so it is never the same that fails for long."""

_WAY_ON_WITHOUT_COMMITS = "; if what it covers is committed elsewhere, begin after it: adopt=True, or --adopt"

_log = logging.getLogger(__name__)


def commit(log: OpLog, target: CommitTarget, *, message: str | None = None, adopt: bool = False) -> Committed | None:
    """Commit all that is pending, of all domains, in one commit; the checkpoint follows.

    To call it again is right after any failure, from any process, at any time: what was committed is not committed
    twice. Several may call it at once.

    Args:
        log: the log of the session.
        target: where to commit, such as `GitTarget(".")`; the same for all commits of a session.
        message: what to say about it; None lets the target say what is in it.
        adopt: if the target has no commit of the session, begin where the checkpoint is. Without it that is refused,
            since commits may be missing there.

    Returns:
        The commit that was made; None if nothing is pending.

    Raises:
        CommitDivergedError: the newest commit of the target is not of this log, or commits are missing there.
        CommitMovedError: others were faster a hundred times.
        NotCommitterError: the session is on several hosts, and another one commits.
        MuseError, OSError: what the target and the log raise.
    """
    for _ in range(_ATTEMPTS):
        prepared = prepare(log, target, message=message, adopt=adopt)
        if prepared is None:
            return None
        try:
            made = target.commit(prepared)
        except CommitMovedError:
            continue
        _let_checkpoint_follow(log, made)
        return made
    raise _too_busy(log)


def prepare(log: OpLog, target: CommitTarget, *, message: str | None = None, adopt: bool = False) -> CommitBatch | None:
    """What `commit` would give the target now, and raise before; None if nothing is pending. Makes no commit.

    The checkpoint is brought up to date.
    """
    log.check_may_commit()
    for _ in range(_ATTEMPTS):
        # Before anything of the log is read: what is committed later must not be missing in what is read here.
        newest = target.latest(log.session_id)
        try:
            begin = _begin_first(log, adopt=adopt) if newest is None else _begin_after(log, target, newest)
        except CheckpointBackwardsError as error:
            # Somebody has committed since it was asked; or the target has lost what was committed.
            if target.latest(log.session_id) == newest:
                ends = f", where the target's last commit of session {log.session_id!r} ends" if newest else ""
                way_on = "" if newest or adopt else _WAY_ON_WITHOUT_COMMITS
                raise CommitDivergedError(
                    f"{error}{ends}: commits are missing there, or it is not the target that has them: fetch them, or "
                    f"name the right one{way_on}"
                ) from error
            continue
        return _batch(log, newest, begin, message)
    raise _too_busy(log)


class _Begin(NamedTuple):
    cut: Cut
    digest: str
    committed_before: frozenset[str] = frozenset()
    """The op_ids that are committed and may look new."""


def _begin_first(log: OpLog, *, adopt: bool) -> _Begin:
    """Where the first commit of a session begins; a `CheckpointBackwardsError` if there is a checkpoint."""
    record = log.read_checkpoint()
    if record is None or not record["op_count"]:
        return _Begin(Cut(log.session_id, 0, 0), EMPTY_DIGEST)
    if not adopt or "log_digest" not in record:
        raise CheckpointBackwardsError(
            f"{log.path}: there is a checkpoint, of snapshot {record['snapshot_id']!r}, and no commit of the session"
        )
    return _Begin(Cut(log.session_id, record["byte_offset"], record["op_count"]), record["log_digest"])


def _begin_after(log: OpLog, target: CommitTarget, newest: Committed) -> _Begin:
    """Bring the checkpoint to where the newest commit ends, which is where the next one begins.

    Raises:
        CheckpointBackwardsError: it is further than that.
        CommitDivergedError: the commit is not of this log.
    """
    changed: frozenset[str] = frozenset()
    try:
        if not log.follow_commit(newest.commit_id, upto=newest.cut, digest=newest.digest):
            changed = committed_but_changed(log, target, newest)
            log.follow_commit(newest.commit_id, upto=newest.cut, digest=newest.digest, may_differ=True)
    except InvalidCutError as error:
        raise diverged(log, newest, str(error)) from error
    return _Begin(newest.cut, newest.digest, changed)


def _batch(log: OpLog, newest: Committed | None, begin: _Begin, message: str | None) -> CommitBatch | None:
    end = log.cut()
    lines, arrived = log.read_slice(begin.cut, end)
    entries = [entry for entry in arrived if entry["op_id"] not in begin.committed_before]
    if not entries:
        return None
    actors = Counter(entry["actor_id"] for entry in entries)
    by_domain: dict[str, list[OpEntry]] = defaultdict(list)
    for entry in entries:
        by_domain[entry["domain"]].append(entry)
    return CommitBatch(
        session_id=log.session_id,
        parent=newest,
        start=begin.cut,
        # Not the cut's own number: entries that are damaged by now were committed all the same.
        cut=Cut(log.session_id, end.byte_offset, begin.cut.op_count + len(entries)),
        digest=carry_on(begin.digest, lines),
        deltas=[collapse(domain, of_domain) for domain, of_domain in sorted(by_domain.items())],
        actors=dict(sorted(actors.items(), key=lambda item: (-item[1], item[0]))),
        lines=lines,
        message=message,
        created_at=datetime.now(UTC).isoformat(),
    )


def _too_busy(log: OpLog) -> CommitMovedError:
    return CommitMovedError(f"{log.path}: others have committed {_ATTEMPTS} times meanwhile: call again")


def _let_checkpoint_follow(log: OpLog, made: Committed) -> None:
    try:
        log.follow_commit(made.commit_id, upto=made.cut, digest=made.digest, may_differ=True)
    except CheckpointBackwardsError:
        pass  # others have committed since
    except (MuseError, OSError) as error:
        # The commit is made, and the next one brings the checkpoint up to date.
        _log.warning(
            "%s: committed as %s, but the checkpoint could not follow yet (%s)", log.path, made.commit_id, error
        )
