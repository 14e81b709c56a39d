"""Session ids and the folders they live in.

A session id is any non-empty text; its folder is `.muse/op_log/<encoded id>/`. The encoding is the
id itself where every character is safe, else percent-encoding of the unsafe bytes of its UTF-8, so
it is reversible and no two ids share a folder. Nothing outside `op_log/` is ever named by it.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

from muse.core.errors import InvalidSessionIdError
from muse.core.options import MAX_SESSION_FOLDER_BYTES

LOG_NAME = "ops.jsonl"
CHECKPOINT_NAME = "checkpoint.json"
INDEX_NAME = "index.db"

# A dot is unsafe in front ("..", hidden files) and at the end (dropped by some file systems).
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.-]|^\.|\.$")


def op_log_root(repo_root: Path) -> Path:
    """The folder that holds every session of the repository."""
    return repo_root / ".muse" / "op_log"


def encode_session_id(session_id: str) -> str:
    """The folder name of `session_id`.

    Raises:
        InvalidSessionIdError: it is no text, empty, not encodable as UTF-8, or longer than 255 bytes
            once encoded.
    """
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


def decode_folder_name(name: str) -> str | None:
    """The session id whose folder is `name`; None where no id has that folder."""
    try:
        session_id = unquote_to_bytes(name).decode("utf-8")
        return session_id if encode_session_id(session_id) == name else None
    except (UnicodeError, InvalidSessionIdError):
        return None


def session_folder(repo_root: Path, session_id: str) -> Path:
    """The folder of `session_id`, which need not exist yet.

    Raises:
        InvalidSessionIdError: as `encode_session_id`, or the folder is a link that leads out of
            `op_log/`.
    """
    folder = op_log_root(repo_root) / encode_session_id(session_id)
    reject_symlink_escape(folder)
    return folder


def reject_symlink_escape(folder: Path) -> None:
    """Make sure that a session's folder, where it exists, lies inside its `op_log/`.

    Raises:
        InvalidSessionIdError: it is a link that leads elsewhere.
    """
    if _leads_out(folder):
        raise InvalidSessionIdError(
            f"{folder} is a symbolic link that leads out of {folder.parent}; remove the link or choose another id"
        )


def _leads_out(folder: Path) -> bool:
    return folder.is_symlink() and not folder.resolve().is_relative_to(folder.parent.resolve())


def list_sessions(repo_root: Path | str) -> list[str]:
    """The ids of all sessions of the repository, sorted, as they were passed in.

    A folder counts as a session as soon as it holds any of its three files: one whose log was
    deleted must show up too. Folders that no session id encodes to are none of ours.

    Args:
        repo_root: the folder that holds `.muse/`.
    """
    root = op_log_root(Path(repo_root))
    if not root.is_dir():
        return []
    found = []
    for folder in root.iterdir():
        session_id = decode_folder_name(folder.name)
        if session_id is None or not _holds_session(folder):
            continue
        if not _leads_out(folder):
            found.append(session_id)
    return sorted(found)


def _holds_session(folder: Path) -> bool:
    return any((folder / name).exists() for name in (LOG_NAME, CHECKPOINT_NAME, INDEX_NAME))
