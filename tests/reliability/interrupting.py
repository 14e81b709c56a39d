"""An interrupt at any line of the engine, and what it must leave behind: nothing."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import muse.core.op_log
from muse.core.op_log import OpLog
from muse.core.storage.locks import exclusive_lock
from tests import plain_scan

_ENGINE = str(Path(muse.core.op_log.__file__).parent)


class Interrupted(KeyboardInterrupt):
    """What a signal handler may raise at any moment."""


def interrupt_at(number: int, work: Callable[[], object]) -> bool:
    """Do `work`, interrupted when `number` lines of the engine were run; False if it takes no more than these."""
    left = number
    fired = False

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left, fired
        # What is raised in a `__del__` is ignored by Python, and the interrupt would be lost.
        if not frame.f_code.co_filename.startswith(_ENGINE) or _is_finaliser(frame):
            return trace if event == "call" else None
        if event == "line" and not fired:
            left -= 1
            if left < 0:
                fired = True
                raise Interrupted
        return trace

    def traced() -> Iterator[None]:
        # Raised at the end of a `with` that suppresses an error, it leaves that error as the one being handled: of this
        # generator alone, and not of all that the thread does afterwards.
        work()
        yield

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        next(traced())
        assert not fired, "the interrupt was lost"
    except Interrupted:
        pass
    finally:
        sys.settrace(before)
    return fired


def _is_finaliser(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def descriptors() -> dict[str, str]:
    """What this process has open of files and folders, by number."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if target.startswith("/") and "/.muse/" in target:
            found[number] = target
    return found


def assert_nothing_is_left(log: OpLog) -> None:
    """No lock, no transaction; every other thread gets its turn, and every answer is the plain scan's."""
    answers: list[int] = []
    other = threading.Thread(target=lambda: answers.append(len(log)), daemon=True)
    other.start()
    other.join(10)
    assert answers, "another thread waits for the handle"
    index = log._catch_up._index
    assert index is None or not index.database.is_usable or not index.database.connection.in_transaction
    if log.folder.exists():
        for path in (log.folder, log.path):
            with exclusive_lock(path, 0):
                pass
        connection = sqlite3.connect(log.folder / "index.db", timeout=0)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
        connection.close()
    assert plain_scan.exact_list(log) == plain_scan.exact_list(plain_scan.scan_file(log.path).entries)
