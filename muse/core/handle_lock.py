"""The lock of one handle: its threads enter one at a time, once it is closed none does, and a fork finds nobody inside.

A lock that another thread holds at the moment of a fork stays locked in the child for ever. And a child inherits
SQLite's list of the files it has locked, but not the locks: another process would take itself for the last one with a
connection, and delete the write-ahead log (sqlite.org/howtocorrupt.html, section 2.6). So a fork waits until no handle
is at work and closes every index; parent and child open theirs again when they need it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from muse.core.errors import ClosedLogError


class HandleLock:
    """Held while a handle works; a thread may enter again what it holds already."""

    def __init__(self, path: Path) -> None:
        """`path` names the log in the error."""
        self.of_threads = threading.RLock()
        self.is_closed = False
        self._path = path

    def check_open(self) -> None:
        """Raise `ClosedLogError` if the handle is closed; waits for nobody."""
        if self.is_closed:
            raise ClosedLogError(f"{self._path}: the log is closed: open it anew")

    def __enter__(self) -> None:
        self.of_threads.acquire()
        # Asked inside: a thread that waited while another one closed the handle would open its files again.
        if self.is_closed:
            self.of_threads.release()
            self.check_open()

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        self.of_threads.release()


class ForkGuard:
    """Takes one handle through every fork, as long as the guard lives."""

    def __init__(
        self, lock: threading.RLock, *, before: Callable[[], None], in_child: tuple[Callable[[], None], ...]
    ) -> None:
        """`lock` is held while the handle works; `before` closes what must not cross a fork, `in_child` what is the
        parent's.
        """
        self.lock = lock
        self.before = before
        self.in_child = in_child
        _guards.add(self)


_guards: weakref.WeakSet[ForkGuard] = weakref.WeakSet()
_held: list[ForkGuard] = []


def _before() -> None:
    # A thread holds one handle's lock at a time, so taking all of them can't deadlock.
    for guard in list(_guards):
        guard.lock.acquire()
        _held.append(guard)
        guard.before()


def _release() -> None:
    while _held:
        _held.pop().lock.release()


def _in_child() -> None:
    guards = list(_held)
    _release()
    for guard in guards:
        for close in guard.in_child:
            close()


os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
