"""The files in which a repository keeps what it remembers of a replicated session, and the lock of who replicates it.

They lie outside the session's folder, so that a copy of the session does not copy them. Each may be missing, old or of
another log at any time.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import time
import weakref
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from muse.core.op_log import OpLog, encode_session_id, list_sessions, name_beside, read_small_file, whole_file
from muse.replicate.bookkeeping.note import Note
from muse.replicate.bookkeeping.save_point import SavePoint
from muse.replicate.errors import ReplicaBusyError

_PATIENCE_SECONDS, _ASKING_SECONDS = 10.0, 0.2
_MOST_BYTES = 64 << 20
_IN_SPACE = ", in space "


class ReplicaFolder:
    """Where a repository keeps what it remembers of one session in one space."""

    def __init__(self, repo_root: Path, space: str, session_id: str) -> None:
        self.folder = repo_root / ".muse" / "replicas" / space
        name = name_beside(encode_session_id(session_id))
        self.path = self.folder / f"{name}.json"
        self._status_path = self.folder / f"{name}.status"
        # One for all spaces, as only one process may make the log anew, when the commits are handed over.
        self._lock_path = self.folder.with_name(f"{name}.lock")
        self._ends_path = self.folder / f"{name}.ends"
        self._lock_fd = -1

    def load(self) -> SavePoint:
        """The save point; that of the very start if there is none that can be read."""
        return SavePoint.from_json(read_json(self.path)) or SavePoint()

    def save(self, save_point: SavePoint) -> None:
        """Replace the save point; whoever dies meanwhile leaves the old one."""
        with whole_file(self.path, replace=True) as path:
            path.write_text(json.dumps(save_point.to_json()), encoding="utf-8")

    def save_status(self, status: dict[str, Any]) -> None:
        """Write down for others how the replica stands."""
        with whole_file(self._status_path, replace=True) as path:
            path.write_text(json.dumps(status), encoding="utf-8")

    def read_status(self) -> dict[str, Any]:
        """What was written down last; nothing if nothing was."""
        status = read_json(self._status_path)
        return status if isinstance(status, dict) else {}

    def load_ends(self) -> list[int]:
        """Where in the log messages ended that were sent last; perhaps of another log, so it is only a hint."""
        try:
            data = read_small_file(self._ends_path, _MOST_BYTES)
        except OSError:
            return []
        return list(memoryview(data).cast("q")) if len(data) % 8 == 0 else []

    def save_ends(self, ends: Sequence[int]) -> None:
        """Remember where messages end before they are sent: for whoever goes on after this process is killed."""
        # Not emptied first: when such a file is closed, some file systems wait for the disk.
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._ends_path, flags, 0o666)
        try:
            os.pwrite(fd, array("q", ends).tobytes(), 0)
        finally:
            os.close(fd)

    def holder(self) -> str:
        """Which process replicates the session now in this space; "" if none does."""
        try:
            fd = os.open(self._lock_path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return ""
        try:
            holder, _, space = ("" if _locks(fd, fcntl.LOCK_SH) else _holder(fd)).partition(_IN_SPACE)
        finally:
            os.close(fd)
        return holder if space in ("", self.folder.name) else ""

    def lock(self) -> int:
        """Keep others from replicating this session, in any space; a `ReplicaBusyError` names who does already.

        Returns the descriptor, for a child that is to hold the lock too.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        began = time.monotonic()
        try:
            while not _locks(fd, fcntl.LOCK_EX):
                holder = _holder(fd)
                # The child of a process that has died ends as soon as it notices; who only asks is gone at once.
                if time.monotonic() - began > (_PATIENCE_SECONDS if _is_dead(holder) else _ASKING_SECONDS):
                    name = self.path.with_suffix("")
                    raise ReplicaBusyError(f"{name}: is being replicated already, by {holder}")
                time.sleep(0.01)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{_process()}{_IN_SPACE}{self.folder.name}\n".encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        self._lock_fd = fd
        _locked.add(self)
        return fd

    def unlock(self) -> None:
        """Let others replicate this session."""
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)


def read_json(path: Path) -> Any:
    """What a file holds; None if it is not there or can't be read. Nobody is waited for, were it a FIFO."""
    try:
        return orjson.loads(read_small_file(path, _MOST_BYTES))
    except (OSError, ValueError):
        return None


def _locks(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"


def _process(pid: int | str | None = None) -> str:
    return f"process {pid or os.getpid()} on {socket.gethostname()}"


def _is_dead(holder: str) -> bool:
    found = re.match(r"process (\d+) ", holder)
    if found is None or holder.partition(_IN_SPACE)[0] != _process(found[1]):
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def list_replicas(repo_root: Path) -> list[dict[str, Any]]:
    """What a repository knows of its replicated sessions, by session and space."""
    found = []
    sessions = {name_beside(encode_session_id(session)): session for session in list_sessions(repo_root)}
    for path in sorted((repo_root / ".muse" / "replicas").glob("*/*.status")):
        session = sessions.get(path.name.removesuffix(".status"))
        if session is None:
            continue
        folder = ReplicaFolder(repo_root, path.parent.name, session)
        noted = Note(repo_root, session, "").read()
        with OpLog(repo_root, session) as log:
            size = log.path.stat().st_size if log.exists() else 0
        found.append(
            {
                "session": session,
                "space": path.parent.name,
                "by": folder.holder(),
                "to_send_bytes": max(size - folder.load().sent_to, 0),
                "committer": noted.name if noted else "",
                "status": folder.read_status(),
            }
        )
    return sorted(found, key=lambda each: (each["session"], each["space"]))


_locked: weakref.WeakSet[ReplicaFolder] = weakref.WeakSet()


def _in_child() -> None:
    # A child has no thread that replicates, and must not keep the lock after its parent has died.
    for folder in list(_locked):
        with suppress(OSError):
            folder.unlock()


os.register_at_fork(after_in_child=_in_child)
