"""Locks between processes: held by `flock(2)`, waited for up to a deadline, never handed on to a forked child.

Whoever waits in vain is told for what, how long, and by whom it is held, if the system tells.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from muse.core.errors import LockTimeoutError
from muse.core.storage.descriptor import Descriptor, open_descriptor

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05

_open: weakref.WeakSet[Descriptor] = weakref.WeakSet()


@contextmanager
def exclusive_lock(path: Path, wait_seconds: float) -> Iterator[None]:
    """Hold the exclusive advisory lock on a folder or file that exists.

    Each call opens it anew, so the lock also keeps other threads of this process out.

    Raises:
        LockTimeoutError: somebody else held it for `wait_seconds`; with 0 it is asked once.
    """
    with open_descriptor(path, os.O_RDONLY) as lock:
        _open.add(lock)
        _acquire(lock, path, _deadline(wait_seconds))
        yield


@contextmanager
def lock_file(path: Path, stuck_seconds: float) -> Iterator[Callable[[float], None]]:
    """Hold the lock on a file that is there only while somebody holds it.

    Gives a function to be called while the work goes on: waiting for somebody who does is never given up. It takes how
    many seconds may go by, in addition to those of whoever waits, before it is called again.

    Raises:
        LockTimeoutError: somebody else held it, and gave no sign of life for `stuck_seconds`.
    """

    def is_stuck(waited: float) -> bool:
        return waited > stuck_seconds and time.time() - os.fstat(lock.fileno()).st_mtime > stuck_seconds

    while True:
        with open_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) as lock:
            _open.add(lock)
            _acquire(lock, path, is_stuck)
            # While this one waited, the one before has removed the file: the lock is on nothing.
            if not _is_at(path, lock):
                continue
            try:
                give_sign = partial(_set_time, lock)
                give_sign(0)
                yield give_sign
            finally:
                path.unlink(missing_ok=True)
            return


def _set_time(lock: Descriptor, ahead_seconds: float) -> None:
    then = time.time() + ahead_seconds
    os.utime(lock.fileno(), (then, then))


def _deadline(wait_seconds: float) -> Callable[[float], bool]:
    return lambda waited: waited >= wait_seconds


def _acquire(lock: Descriptor, path: Path, is_hopeless: Callable[[float], bool]) -> None:
    began, pause = time.monotonic(), _FIRST_PAUSE_SECONDS
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        waited = time.monotonic() - began
        if is_hopeless(waited):
            raise LockTimeoutError(
                f"{path}: locked by {holder_of(lock)}; waited {waited:.1f} seconds: let that process go on, or end it"
            )
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def holder_of(lock: Descriptor) -> str:
    """Who holds the lock on a file, as far as the system tells."""
    return _holder("FLOCK", os.fstat(lock.fileno()).st_ino) or "another process"


def writer_to(database: Path) -> str:
    """Who is writing to a SQLite database, as far as the system tells: SQLite locks bytes of it, or of its -shm."""
    for path in (database.with_name(database.name + "-shm"), database):
        with suppress(OSError):
            if holder := _holder("POSIX", path.stat().st_ino):
                return holder
    return "another process"


def _holder(kind: str, inode: int) -> str | None:
    """Who has locked a file for writing (proc(5), /proc/locks)."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1:4:2] == [kind, "WRITE"] and fields[5].rpartition(":")[2] == str(inode):
                return _process(int(fields[4]))
    return None


def _process(pid: int) -> str:
    if pid == os.getpid():
        return f"process {pid}, which is this one"
    with suppress(OSError):
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    return f"process {pid}" if pid > 0 else "another process"


def _is_at(path: Path, lock: Descriptor) -> bool:
    try:
        at_path = os.stat(path)
    except FileNotFoundError:
        return False
    mine = os.fstat(lock.fileno())
    return (at_path.st_dev, at_path.st_ino) == (mine.st_dev, mine.st_ino)


def _in_child() -> None:
    # The lock belongs to what was opened, and a child's copy would keep it as long as the child lives.
    for lock in list(_open):
        lock.close()


os.register_at_fork(after_in_child=_in_child)
