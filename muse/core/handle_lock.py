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
from collections.abc import Callable, Sequence
from pathlib import Path

from muse.core.errors import ClosedLogError


class HandleLock:
    """Held while a handle works; a thread may enter again what it holds already."""

    def __init__(self, path: Path, *, before_fork: Callable[[], None], in_child: Sequence[Callable[[], None]]) -> None:
        """`path` names the log in the error. `before_fork` closes what must not cross a fork, `in_child` what is the
        parent's.
        """
        self.of_threads = threading.RLock()
        self.is_closed = False
        self.before_fork = before_fork
        self.in_child = in_child
        self._path = path
        _locks.add(self)

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


_locks: weakref.WeakSet[HandleLock] = weakref.WeakSet()
_held: list[HandleLock] = []


def _before() -> None:
    # A thread holds one handle's lock at a time, so taking all of them can't deadlock.
    for lock in list(_locks):
        lock.of_threads.acquire()
        _held.append(lock)
        lock.before_fork()


def _release() -> None:
    while _held:
        _held.pop().of_threads.release()


def _in_child() -> None:
    for lock in _held:
        for close in lock.in_child:
            close()
    _release()


os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
