"""What the tests of following share: work in a thread beside the test, and what an async follower gives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from muse.core.op_log import OpEntry, OpLog

Result = TypeVar("Result")
LONG = 60.0
"""Seconds: longer than any of it takes; a test that waits so long fails."""


@contextmanager
def in_thread(work: Callable[[], Result]) -> Iterator[list[Result]]:
    """Run `work` beside the block; its result stands in the list when the block is left."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - a thread must hand its failure to the test
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        thread.join()
    for failure in failures:
        raise failure


async def collected(log: OpLog, count: int, **arguments: Any) -> list[OpEntry]:
    """The first entries that an asynchronous follower gives."""
    found: list[OpEntry] = []
    async with log.follow_async(timeout=LONG, **arguments) as follower:
        async for each in follower:
            found.append(each)
            if len(found) == count:
                break
    return found
