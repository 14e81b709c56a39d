"""The lock of one handle: threads take turns, nobody comes in twice, and a fork finds no connection open.

No interrupt, wherever it falls, leaves a lock behind: whoever has the lock gives it back when he is dropped, at the
latest. SQLite's connections must not cross a fork: before one, every handle closes its own, as soon as the thread
that uses it is done. If that takes more than a second the handle keeps it; then the handle's copy in the child leaves
that connection alone, and opens no other on the same file. A handle that is made during a fork is not used until it is
over: a thread in the middle of SQLite would hold a lock of SQLite's, which nobody gives back in the child.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Protocol

from muse.core.errors import ClosedLogError, HandleInUseError, MuseError

_FORK_WAIT_SECONDS = 1.0
_PAUSE_SECONDS = 0.001


class Opened(Protocol):
    """What a handle has open."""

    def close_for_good(self) -> None:
        """Close it, and refuse to be used again."""

    def suspend(self) -> None:
        """Close what must not cross a fork; it is opened again when it is needed."""

    def start_over(self) -> None:
        """Trust nothing that is in memory: an interrupt may have left half of it."""

    def leave_to_parent(self, *, in_use: bool) -> None:
        """In a forked child: open everything anew. `in_use`: it was not suspended, and what is open is not touched."""


class HandleLock:
    """Held while a handle works: `with Turn(lock):`. With the last one that refers to it, the handle is closed."""

    is_closed = True

    def __init__(self, path: Path, opened: Opened) -> None:
        """`path` names the log in errors."""
        self._path = path
        self.opened = opened
        self._start_unheld()
        _locks.add(self)
        # A fork that has begun does not know of this handle: it must not be used yet. The next one knows.
        while _forking not in (None, threading.get_ident()):
            time.sleep(_PAUSE_SECONDS)
        self.is_closed = False

    def _start_unheld(self) -> None:
        self.holder: FrameType | None = None
        """What is in the middle of using the handle."""
        self.turn = 0
        """The turn that has begun and not ended, by its id."""
        self.of_threads = threading.RLock()
        self.is_mine = _owner_question(self.of_threads)

    def check_open(self) -> None:
        """Raise `ClosedLogError` if the handle is closed; waits for nobody."""
        if self.is_closed:
            raise ClosedLogError(f"{self._path}: the log is closed: open it anew")

    def refuse_or_take_back(self) -> None:
        """This thread holds the lock already: raise `HandleInUseError`, or take it from a turn that was cut off.

        An interrupt can hit a turn that is just ending. Until its exception has been handled, the traceback keeps that
        turn alive, and the lock with it.
        """
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - public enough to be documented
        while frame is not None:
            if frame is self.holder or (frame.f_code in _CODES_OF_TURN and frame.f_locals["self"].handle is self):
                raise HandleInUseError(
                    f"{self._path}: this thread is in the middle of using this handle: a signal handler, a finaliser "
                    "or a callback that wants to use the log opens a handle of its own"
                )
            frame = frame.f_back
        self.holder, self.turn = None, 0
        self.opened.start_over()
        self.of_threads.release()

    def close(self) -> None:
        """Close what the handle has open, for good; a second time does nothing."""
        with suppress(ClosedLogError), Turn(self):
            self.opened.close_for_good()
            self.is_closed = True

    def __del__(self) -> None:
        # When the interpreter ends, the system closes everything.
        if not self.is_closed and not sys.is_finalizing():
            text = f"{self._path}: a handle was dropped and not closed"
            try:
                warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
            finally:
                self.close()

    # -- forks ----------------------------------------------------------------------------------------

    def suspend(self, deadline: float) -> bool:
        """Before a fork: take the lock and close the connection; False if the handle is in use until `deadline`."""
        if not self.of_threads.acquire(timeout=max(deadline - time.monotonic(), 0)):
            return False
        self.opened.suspend()
        return True

    def resume(self) -> None:
        """After it: give the lock back, if it was taken."""
        with suppress(RuntimeError):
            self.of_threads.release()

    def start_in_child(self, *, in_use: bool) -> None:
        """In the child: go on without what is the parent's, and with a lock that no thread holds."""
        self._start_unheld()
        self.opened.leave_to_parent(in_use=in_use)


class Turn:
    """One thread's turn with a handle. It ends with the `with` block, or when it is dropped."""

    def __init__(self, handle: HandleLock) -> None:
        """Wait for nothing yet; `ClosedLogError` if it is closed, `HandleInUseError` if this thread has its turn."""
        if handle.is_closed:
            handle.check_open()
        if handle.is_mine():
            handle.refuse_or_take_back()
        self.handle = handle
        self._lock = handle.of_threads

    def __enter__(self) -> None:
        self._lock.acquire()
        self.handle.turn = id(self)
        self.handle.holder = sys._getframe(1)  # noqa: SLF001 - public enough to be documented

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        self.handle.holder, self.handle.turn = None, 0
        if kind is not None and not issubclass(kind, MuseError):
            self._start_over()
        else:
            self._lock.release()

    def __del__(self) -> None:
        # An interrupt may fall between the last line of the block and `__exit__`, or into this class.
        if hasattr(self, "_lock") and self.handle.turn in (0, id(self)) and self.handle.is_mine():
            self._start_over()

    def _start_over(self) -> None:
        self.handle.holder = None
        try:
            self.handle.opened.start_over()
        finally:
            self._lock.release()


_CODES_OF_TURN = (Turn.__enter__.__code__, Turn.__exit__.__code__)

_locks: weakref.WeakSet[HandleLock] = weakref.WeakSet()
_one_fork = threading.RLock()
_forking: int | None = None
"""The thread that has `_one_fork`, from before it looks which handles there are."""
_suspended: list[HandleLock] = []
"""By the fork that has `_one_fork`. What is here may not have been taken, if the fork was interrupted."""


def _before() -> None:
    global _forking  # noqa: PLW0603 - one fork at a time
    _one_fork.acquire()
    _forking = threading.get_ident()
    deadline = time.monotonic() + _FORK_WAIT_SECONDS
    for lock in list(_locks):
        # A callback of this very thread may fork.
        if not lock.is_mine():
            _suspended.append(lock)
            if not lock.suspend(deadline):
                _suspended.remove(lock)


def _in_parent() -> None:
    try:
        _give_back()
    finally:
        # What a signal handler raises in a hook is only printed: what it has cut off is done now.
        _give_back()


def _give_back() -> None:
    global _forking  # noqa: PLW0603
    # It was not taken if a signal handler interrupted the wait for another thread's fork.
    if _owner_question(_one_fork)():
        while _suspended:
            _suspended[-1].resume()
            _suspended.pop()
        _forking = None
        _one_fork.release()


def _in_child() -> None:
    global _one_fork, _forking  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    suspended = _suspended if _owner_question(_one_fork)() else []
    for lock in list(_locks):
        lock.start_in_child(in_use=lock not in suspended)
    _suspended.clear()
    _forking = None
    _one_fork = threading.RLock()


def _owner_question(lock: threading.RLock) -> Callable[[], bool]:
    """What tells if the thread that asks holds the lock."""
    # What threading.Condition asks it as well; there is no public name for it.
    return lock._is_owned  # type: ignore[attr-defined,no-any-return] # noqa: SLF001


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
