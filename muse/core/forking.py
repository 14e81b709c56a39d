"""What a fork does to open handles: none is caught in the middle, and the child's start anew.

SQLite allows no connection to cross a fork, and a lock that another thread holds at that moment stays
locked in the child for ever, SQLite's own included (sqlite.org/howtocorrupt.html, section 2.6). So a
fork waits until no handle is at work; in the child every handle lets go of what is its parent's.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """A handle that works under one lock and can start anew in a child."""

    lock: threading.RLock

    def start_anew_in_child(self) -> None:
        """Forget everything that belongs to the parent; `lock` is free."""


_handles: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: list[Forkable] = []
_inherited: list[sqlite3.Connection] = []


def register(handle: Forkable) -> None:
    """Have `handle` taken care of in every fork, as long as it lives."""
    _handles.add(handle)


def never_close(connection: sqlite3.Connection) -> None:
    """Keep a connection of the parent alive: closing it here, even when the interpreter ends, could
    delete the write-ahead log that the parent is using.
    """
    _inherited.append(connection)
    # One reference that nobody gives back, so that the end of the interpreter does not close it either.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def _before() -> None:
    # A thread holds one handle's lock at a time, so taking all of them can't deadlock.
    for handle in list(_handles):
        handle.lock.acquire()
        _held.append(handle)


def _release() -> None:
    while _held:
        _held.pop().lock.release()


def _in_child() -> None:
    handles = list(_held)
    _release()
    for handle in handles:
        handle.start_anew_in_child()


os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
