"""Following a log: an iterator over the entries that arrive, which waits for the next one."""

from __future__ import annotations

import time
from typing import Self

from muse.core.checkpoint.cut import Cut
from muse.core.entry.model import OpEntry
from muse.core.follow.feed import Feed


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
            entry = self._feed.take()
            if entry is None and self._feed.has_news():
                self._feed.fetch()
                entry = self._feed.take()
            if entry is not None:
                return entry
            if not self._feed.is_behind:
                time.sleep(pause)
        raise StopIteration

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
