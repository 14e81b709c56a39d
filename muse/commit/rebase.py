"""A log made anew on another host, so that commits can go on there: first what was committed, then the rest.

A cut is a place in one log. The log of another replica holds the same operations at other places; to commit from there
it has to begin with exactly the lines that were committed. The old folder is put aside, and removed only later, when
nobody can be in the middle of writing to it any more.
"""

from __future__ import annotations

import logging
import secrets
import shutil
from pathlib import Path

from muse.commit.batch import CommitHistory
from muse.commit.errors import CommitDivergedError
from muse.commit.history import restore_session
from muse.core.op_log import MAX_LINE_BYTES, InvalidCutError, OpLog, encode_session_id, name_beside

_log = logging.getLogger(__name__)

_OP_LOG = Path(".muse") / "op_log"


def rebase_session(repo_root: Path, session_id: str, target: CommitHistory, aside: Path) -> bool:
    """Have the log of a session begin with what was committed; whether it had to be made anew.

    Handles that are open on it raise `LogReplacedError` from then on: close them before. Wherever this is killed,
    `finish_rebase` brings back all that was there.

    Args:
        repo_root: the repository.
        session_id: the session.
        target: where its commits are.
        aside: a folder on the same file system, for what is made and what is put aside.

    Raises:
        CommitDivergedError: the log lacks something that was committed: it has not caught up.
    """
    finish_rebase(repo_root, session_id, aside)
    if _begins_with_commits(repo_root, session_id, target):
        return False
    new_root = _folder(aside, session_id, "rebase")
    new_root.mkdir(parents=True)
    restore_session(new_root, session_id, target)
    with OpLog(repo_root, session_id) as old, _open_to_all(new_root, session_id) as new:
        lacking = sum(old.get(entry["op_id"]) is None for entry in new)
        if lacking:
            raise CommitDivergedError(
                f"{old.path}: lacks {lacking} operations that were committed: it has not caught up with the other hosts"
            )
        new.merge(old)
        here, made = old.folder, new.folder
    _swap(here, made, aside, session_id)
    _merge_aside(repo_root, session_id, aside)
    shutil.rmtree(new_root)
    return True


def finish_rebase(repo_root: Path, session_id: str, aside: Path) -> None:
    """Bring back what a rebase has put aside, and remove what is not needed any more; for when nobody rebases."""
    here = repo_root / _OP_LOG / encode_session_id(session_id)
    put_aside = _folders(aside, session_id, "before")
    for root in put_aside:
        there = root / _OP_LOG / here.name
        if there.exists() and not here.exists():
            # Killed between the two renames.
            here.parent.mkdir(parents=True, exist_ok=True)
            there.rename(here)
    _merge_aside(repo_root, session_id, aside)
    for root in (*put_aside, *_folders(aside, session_id, "rebase")):
        shutil.rmtree(root)


def _begins_with_commits(repo_root: Path, session_id: str, target: CommitHistory) -> bool:
    newest = target.latest(session_id)
    if newest is None:
        return True
    with OpLog(repo_root, session_id) as log:
        try:
            return log.follow_commit(newest.commit_id, upto=newest.cut, digest=newest.digest)
        except InvalidCutError:
            return False


def _swap(here: Path, made: Path, aside: Path, session_id: str) -> None:
    while True:
        before = _folder(aside, session_id, "before") / _OP_LOG
        before.mkdir(parents=True)
        here.rename(before / here.name)
        try:
            made.rename(here)
        except OSError:
            # Somebody has recorded in between, and made the folder anew.
            if not here.exists():
                raise
        else:
            return


def _merge_aside(repo_root: Path, session_id: str, aside: Path) -> None:
    """Take in what was written to a log that is put aside, up to the last moment."""
    for root in _folders(aside, session_id, "before"):
        with _open_to_all(repo_root, session_id) as log, OpLog(root, session_id) as old:
            added = log.merge(old, on_conflict="skip")
            if added:
                _log.info("%s: %d entries were taken over from %s", log.path, added, old.path)


def _open_to_all(repo_root: Path, session_id: str) -> OpLog:
    """A handle that takes whatever a log holds, with whatever limits it was recorded."""
    return OpLog(repo_root, session_id, max_line_bytes=MAX_LINE_BYTES, max_lamport_jump=None)


def _folder(aside: Path, session_id: str, kind: str) -> Path:
    return aside / f"{name_beside(encode_session_id(session_id))}.{kind}.{secrets.token_hex(4)}"


def _folders(aside: Path, session_id: str, kind: str) -> list[Path]:
    start = f"{name_beside(encode_session_id(session_id))}.{kind}."
    if not aside.is_dir():
        return []
    # The name of another session may begin with all of this.
    return sorted(path for path in aside.iterdir() if path.name[:-8] == start)
