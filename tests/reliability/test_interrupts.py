"""Row 39: an interrupt at any line leaves no lock, no transaction and no descriptor behind, and nothing is lost."""

from __future__ import annotations

import gc
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from itertools import count, islice
from pathlib import Path

import pytest

from muse.core.op_log import OpEntry, OpLog, describe_sessions, export_session, fork_session, import_session
from tests import making
from tests.making import entries, entry, op_id
from tests.reliability.interrupting import assert_nothing_is_left, descriptors, interrupt_at
from tests.small_index import segments_of

# What is interrupted while it closes a handle drops it.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # So does tarfile, with a stream that then writes into a file that is closed.
    pytest.mark.filterwarnings("ignore:.*_Stream.__del__:pytest.PytestUnraisableExceptionWarning"),
]

_numbers = count(1000)


@pytest.fixture
def small(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Segments of eight lines: folds and merges come often. Nothing but a handle keeps its descriptors open."""
    # Records that are kept hold errors, these the frames that they came through, and those handles that were dropped.
    caplog.set_level(logging.CRITICAL, "muse")
    with segments_of(8, long_batch=4):
        yield


MOST_DESCRIPTORS = 7
"""The handle has four: its log, its index and the two files beside that. When a connection is closed while this process
has another one on the same file, SQLite keeps its descriptor for the next one, as to close any would give up the locks
of all. So there is one more for each connection that was open at once beside the handle's: the one that an interrupted
call opened, that of a fork, and that of `assert_nothing_is_left`."""

EVERY = int(os.environ.get("MUSE_TEST_EVERY_LINE", "797"))
"""Behind the first lines only one of so many is interrupted; `nox -s interrupts` sets it to 1."""


def _numbers_of_lines() -> Iterator[int]:
    yield from range(25)
    yield from count(25, EVERY)


def _fresh(how_many: int) -> list[OpEntry]:
    return [entry(number) for number in islice(_numbers, how_many)]


def _use_another(log: OpLog) -> None:
    with OpLog(log.folder.parents[2], "s") as other:
        other.append(_fresh(1)[0])


def _merge(log: OpLog) -> None:
    with OpLog(log.folder.parents[3] / str(next(_numbers)), "s") as other:
        other.append(_fresh(1)[0])
        log.merge(other)


@cache
def _archive() -> bytes:
    with making.fresh_repo() as repo, OpLog(repo, "s") as log, BytesIO() as file:
        log.append_many(entries(10))
        log.checkpoint("one")
        export_session(log, file)
        return file.getvalue()


def _repo_without_others(log: OpLog) -> Path:
    """Only this session: each other one would make listing them longer, and the last line would never be reached."""
    for folder in log.folder.parent.iterdir():
        if folder != log.folder:
            assert not folder.name.startswith("."), "an interrupt has left the beginning of a session"
            shutil.rmtree(folder)
    return log.folder.parents[2]


OPERATIONS: dict[str, Callable[[OpLog], object]] = {
    "append": lambda log: log.append(_fresh(1)[0]),
    "append one that is there": lambda log: log.append(entries(3)[2]),
    "append_many": lambda log: log.append_many(_fresh(6)),
    "record": lambda log: log.record("ada", "music", {"op": "x"}),
    "len": len,
    "query": lambda log: list(log.query(actor_id="ada", limit=5)),
    "read_all": lambda log: log.read_all(),
    "get": lambda log: log.get(op_id(3)),
    "follow": lambda log: next(iter(log.follow(from_start=True))),
    "history": lambda log: list(log.history.ancestors(op_id(5))),
    "checkpoint": lambda log: log.checkpoint("two"),
    "replay": lambda log: log.replay_since_checkpoint(),
    "rebuild_index": lambda log: log.rebuild_index(),
    "verify": lambda log: log.verify(),
    "redact": lambda log: log.redact(op_id(3), by="ada", why="a token"),
    "describe_sessions": lambda log: describe_sessions(log.folder.parents[2]),
    "open and append": _use_another,
    "merge": _merge,
    "append_lines": lambda log: log.append_lines(making.line(_fresh(1)[0])),
    "fork": lambda log: fork_session(_repo_without_others(log), "s", "fork"),
    "export": lambda log: export_session(log, BytesIO()),
    "import": lambda log: import_session(_repo_without_others(log), BytesIO(_archive()), session_id="new"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_interrupt_at_any_line_leaves_nothing_behind(repo: Path, small: None, name: str) -> None:
    """Row 39: every lock is free, every transaction ended, every descriptor closed, and all that was there is there."""
    work = OPERATIONS[name]
    with OpLog(repo, "s") as log:
        log.append_many(entries(30))
        log.checkpoint("one")
        work(log)
        for number in _numbers_of_lines():
            if not interrupt_at(number, lambda: work(log)):
                break
            assert_nothing_is_left(log)
            # A connection of SQLite and its statements refer to each other: one whose opening was interrupted is closed
            # by the garbage collector: at once, or the next would be opened beside it.
            gc.collect()
            assert len(descriptors()) <= MOST_DESCRIPTORS, descriptors()
        assert number > 5
    assert not descriptors()


@pytest.mark.parametrize("name", OPERATIONS)
def test_interrupt_while_sqlite_asks_what_it_may_do_fails_no_call(repo: Path, small: None, name: str) -> None:
    """Row 39: SQLite takes what is raised there for a no, and the call gives its answer by another connection."""
    work = OPERATIONS[name]
    with OpLog(repo, "s") as log:
        log.append_many(entries(30))
        log.checkpoint("one")
        for number in _numbers_of_lines():
            log.append_many(_fresh(1))
            asked = count()
            index = log._catch_up._index
            assert index is not None
            # From here on all statements are new, and it asks for each.
            index.database.connection.set_authorizer(lambda *_, asked=asked, number=number: int(next(asked) == number))
            work(log)
            assert_nothing_is_left(log)
            if next(asked) <= number:
                break


def test_interrupt_of_close_at_any_line_closes_or_leaves_the_handle_usable(repo: Path, small: None) -> None:
    """Row 39: the next append writes into this log and no other file, and closing again closes."""
    gc.collect()
    before = descriptors()
    for number in _numbers_of_lines():
        log = OpLog(repo, "s")
        log.append_many(_fresh(3))
        fired = interrupt_at(number, log.close)
        log.close()
        assert descriptors() == before
        if not fired:
            break
    with OpLog(repo, "s") as log:
        assert_nothing_is_left(log)
