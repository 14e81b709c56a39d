"""Following a log: iterators over the entries that arrive, which wait for the next one in a thread or an event loop.

The loop itself only asks for the file's state, a matter of microseconds. Entries are fetched in a thread of
the loop's default executor: it takes a tenth of a millisecond as a rule, but up to seconds if another
process holds the index or another thread the handle, and that must not stop the loop.
"""

# ruff: noqa: PLC0415 - to load asyncio takes a third as long as all of the engine; in a loop it is loaded already

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from muse.core.checkpoint.cut import Cut
from muse.core.entry.model import OpEntry
from muse.core.follow.feed import Feed

if TYPE_CHECKING:
    import asyncio


class Follower:
    """Entries as they arrive, from any process, in arrival order, each once; made by `OpLog.follow`.

    An iterator for one thread, and a context manager that stops it. While it waits it holds no lock, so
    the handle may be used meanwhile. Once it has ended it stays so; `follow(since=follower.cut())` goes on.
    Closing the log ends it, and `cut` raises `ClosedLogError` from then on.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        feed.start()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> OpEntry:
        for pause in self._feed.pauses():
            if (entry := self._look()) is not None:
                return entry
            if not self._feed.is_behind:
                time.sleep(pause)
        raise StopIteration

    def poll(self) -> OpEntry | None:
        """The next entry if it has arrived, else None, without waiting for one; None too once it was stopped.

        For a loop that has other things to do. To look costs a few microseconds where nothing has arrived.
        """
        while not self._feed.is_over:
            if (entry := self._look()) is not None or not self._feed.is_behind:
                return entry
        return None

    def _look(self) -> OpEntry | None:
        if self._feed.has_news():
            self._feed.fetch()
        return self._feed.take()

    def stop(self) -> None:
        """End the iteration, from any thread or a signal handler; a waiting one ends within 50 ms."""
        self._feed.stop()

    def cut(self) -> Cut:
        """The position reached: what was given lies below, what matches and was not given above."""
        return self._feed.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        self.stop()


class AsyncFollower:
    """`Follower` for one task of an event loop; made by `OpLog.follow_async`.

    An asynchronous iterator and context manager. Cancelling the task that waits loses no entry: iterate again,
    or go on later with `follow_async(since=await follower.cut())`. Leaving the context waits until no thread
    works for it any more, so that the log may be closed.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._fetching: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OpEntry:
        import asyncio

        for pause in self._feed.pauses():
            if self._fetching is not None or self._feed.has_news():
                await self._fetch()
            if (entry := self._feed.take()) is not None:
                return entry
            if not self._feed.is_behind:
                await asyncio.sleep(pause)
        raise StopAsyncIteration

    async def _fetch(self) -> None:
        import asyncio

        # Its thread can't be cancelled with the task, so what it fetches is kept, and awaited the next time.
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().run_in_executor(None, self._feed.fetch)
        fetching = self._fetching
        try:
            await asyncio.shield(fetching)
        finally:
            if fetching.done():
                self._fetching = None

    def stop(self) -> None:
        """End the iteration, from any thread or a signal handler; a waiting one ends within 50 ms."""
        self._feed.stop()

    async def cut(self) -> Cut:
        """The position reached: what was given lies below, what matches and was not given above."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self._feed.cut)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, _error: object, _trace: object) -> None:
        import asyncio

        self.stop()
        if self._fetching is not None:
            # What it failed with was of interest to the iteration alone.
            await asyncio.gather(self._fetching, return_exceptions=True)
