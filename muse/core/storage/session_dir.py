"""Session ids and the folders they live in.

A session id is any non-empty text; its folder is `.muse/op_log/<encoded id>/`. Unsafe bytes of its UTF-8 are
percent-encoded, so that it is reversible, no two ids share a folder, and nothing outside `op_log/` is ever named.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote_to_bytes

from muse.core.errors import InvalidSessionIdError, SessionExistsError
from muse.core.options import MAX_SESSION_FOLDER_BYTES
from muse.core.storage import durable

LOG_NAME = "ops.jsonl"
CHECKPOINT_NAME = "checkpoint.json"
INDEX_NAME = "index.db"
ACCEPTED_NAME = "accepted.json"
FORK_NAME = "fork.json"
REDACTED_NAME = "redacted.json"
REDACTING_NAME = "redacting.json"

ASIDE_PREFIX = ".import-"
"""How the name of a folder begins in which a session is prepared; no session's folder begins with a dot."""

SESSION_DEPTH = 3
"""How many names lead from the repository to a session's folder: `.muse`, `op_log` and its own."""
_LONGEST_ENDING = len(".rebase.01234567")
_NAMES = (LOG_NAME, CHECKPOINT_NAME, INDEX_NAME)

# A dot is unsafe in front ("..", hidden files) and at the end (dropped by some file systems).
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.-]|^\.|\.$")


def op_log_root(repo_root: Path) -> Path:
    """The folder that holds every session of the repository."""
    return repo_root / ".muse" / "op_log"


def encode_session_id(session_id: str) -> str:
    """The folder name of `session_id`; an `InvalidSessionIdError` if it can't have one."""
    if not isinstance(session_id, str):
        raise InvalidSessionIdError(f"session id {session_id!r}: must be text, not {type(session_id).__name__}")
    if not session_id:
        raise InvalidSessionIdError("session id is empty: give the session a name")
    try:
        raw = session_id.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidSessionIdError(f"session id {session_id!r}: holds a lone surrogate at {error.start}") from error
    name = _UNSAFE.sub(lambda found: b"%%%02X" % found.group()[0], raw).decode("ascii")
    if len(name) > MAX_SESSION_FOLDER_BYTES:
        raise InvalidSessionIdError(
            f"session id {session_id[:40]!r}…: its folder name would take {len(name)} bytes; at most "
            f"{MAX_SESSION_FOLDER_BYTES} are possible: choose a shorter id"
        )
    return name


def name_beside(folder_name: str) -> str:
    """How the names of files outside a session's folder begin that are about it: as the folder, if an ending fits."""
    if len(folder_name) <= MAX_SESSION_FOLDER_BYTES - _LONGEST_ENDING:
        return folder_name
    # "+" stands in the name of no folder.
    return f"{folder_name[:100]}+{sha256(folder_name.encode()).hexdigest()}"


def decode_folder_name(name: str) -> str | None:
    """The session id whose folder is `name`; None if no id has that folder."""
    try:
        session_id = unquote_to_bytes(name).decode("utf-8")
        return session_id if encode_session_id(session_id) == name else None
    except (UnicodeError, InvalidSessionIdError):
        return None


def session_folder(repo_root: Path, session_id: str) -> Path:
    """The folder of `session_id`, which need not exist yet; raises as the two functions it calls."""
    folder = op_log_root(repo_root) / encode_session_id(session_id)
    reject_symlink_escape(folder)
    return folder


@contextmanager
def new_session(repo_root: Path, session_id: str) -> Iterator[Path]:
    """A folder to fill, which is the session's when the block ends well; it is there whole, durably, or not at all.

    A `SessionExistsError` if there is one of this id; raises as `session_folder` and `durable.new_folder` too.
    """
    folder = session_folder(repo_root, session_id)
    if session_id in list_sessions(repo_root):
        raise SessionExistsError(f"session {session_id!r} exists already: choose another id, or merge the two")
    try:
        with durable.new_folder(folder, ASIDE_PREFIX, SESSION_DEPTH) as aside:
            yield aside
    except FileExistsError as error:
        raise SessionExistsError(f"{error.filename} exists already: choose another id") from None


def reject_symlink_escape(folder: Path) -> None:
    """Raise `InvalidSessionIdError` if a session's folder is a link that leads out of its `op_log/`."""
    if _leads_out(folder):
        raise InvalidSessionIdError(
            f"{folder} is a symbolic link that leads out of {folder.parent}; remove the link or choose another id"
        )


def _leads_out(folder: Path) -> bool:
    # realpath, since Path.resolve raises a RuntimeError for links that lead in a circle.
    return folder.is_symlink() and not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(folder.parent))


def list_sessions(repo_root: Path | str) -> list[str]:
    """The ids of all sessions of the repository, sorted, as they were passed in.

    A folder counts as a session as soon as it holds any of its three files: one whose log was deleted must show up too.
    So does what can't be used as a folder or looked into (a socket, links in a circle): using it says what is wrong.
    Folders that no session id encodes to are not ours, nor are plain files and links that lead out.

    Args:
        repo_root: the folder that holds `.muse/`.

    Raises:
        OSError: the folder of the sessions is not one, or can't be read.
    """
    root = op_log_root(Path(repo_root))
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return []
    return sorted(
        session_id
        for name in names
        if (session_id := decode_folder_name(name)) is not None and _is_session(root / name)
    )


def _is_session(folder: Path) -> bool:
    if _leads_out(folder):
        return False
    try:
        mode = os.stat(folder).st_mode
        return any(_is_there(folder / name) for name in _NAMES) if stat.S_ISDIR(mode) else not stat.S_ISREG(mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _is_there(path: Path) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True
