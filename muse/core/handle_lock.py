"""The lock of one handle: threads take turns, nobody comes in twice, and a fork finds no connection open.

The lock itself is one of C and stands in the `with` statement itself, so no interrupt falls between taking it and
having it. SQLite's connections must not cross a fork: before one, every handle closes its own, as soon as the thread
that uses it is done. If that takes more than a second the handle keeps it; then the handle's copy in the child leaves
that connection alone, and opens no other on the same file.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from muse.core.errors import ClosedLogError, HandleInUseError
from muse.core.index.catch_up import CatchUp

_FORK_WAIT_SECONDS = 1.0


class HandleLock:
    """Held while a handle works: `with lock.taken():`."""

    def __init__(self, path: Path, catch_up: CatchUp) -> None:
        """`path` names the log in errors; `catch_up` has open what must not cross a fork."""
        self.is_closed = False
        self._path = path
        self._catch_up = catch_up
        self._of_threads = threading.RLock()
        _locks.add(self)

    def check_open(self) -> None:
        """Raise `ClosedLogError` if the handle is closed; waits for nobody."""
        if self.is_closed:
            raise ClosedLogError(f"{self._path}: the log is closed: open it anew")

    def taken(self) -> AbstractContextManager[object]:
        """What holds the lock in a `with` statement.

        Raises:
            ClosedLogError: the handle is closed.
            HandleInUseError: this thread holds it already.
        """
        self.check_open()
        if self.is_mine:
            raise HandleInUseError(
                f"{self._path}: this thread is in the middle of using this handle: a signal handler, a finaliser or a "
                "callback that wants to use the log opens a handle of its own"
            )
        return self._of_threads

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds it."""
        return _is_mine(self._of_threads)

    # -- forks ----------------------------------------------------------------------------------------

    def suspend(self, deadline: float) -> bool:
        """Before a fork: take the lock and close the connection; False if the handle is in use until `deadline`."""
        if not self._of_threads.acquire(timeout=max(deadline - time.monotonic(), 0)):
            return False
        self._catch_up.suspend()
        return True

    def resume(self) -> None:
        """After it: give the lock back, if it was taken."""
        with suppress(RuntimeError):
            self._of_threads.release()

    def start_in_child(self, *, in_use: bool) -> None:
        """In the child: go on without what is the parent's, and with a lock that no thread holds."""
        self._of_threads = threading.RLock()
        self._catch_up.leave_to_parent(in_use=in_use)


_locks: weakref.WeakSet[HandleLock] = weakref.WeakSet()
_one_fork = threading.RLock()
_suspended: list[HandleLock] = []
"""By the fork that has `_one_fork`. What is here may not have been taken, if the fork was interrupted."""


def _before() -> None:
    _one_fork.acquire()
    deadline = time.monotonic() + _FORK_WAIT_SECONDS
    for lock in list(_locks):
        # A callback of this very thread may fork.
        if not lock.is_mine:
            _suspended.append(lock)
            if not lock.suspend(deadline):
                _suspended.remove(lock)


def _in_parent() -> None:
    # It was not taken if a signal handler interrupted the wait for another thread's fork.
    if _is_mine(_one_fork):
        while _suspended:
            _suspended.pop().resume()
        _one_fork.release()


def _in_child() -> None:
    global _one_fork  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    suspended = _suspended if _is_mine(_one_fork) else []
    for lock in list(_locks):
        lock.start_in_child(in_use=lock not in suspended)
    _suspended.clear()
    _one_fork = threading.RLock()


def _is_mine(lock: threading.RLock) -> bool:
    # What threading.Condition asks it as well; there is no public name for it.
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return] # noqa: SLF001


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
