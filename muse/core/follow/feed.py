"""What a follower is fed with: the entries that arrive, and the position it has reached.

A position is a byte offset, and the log is append-only: what lies below it was given and what lies above was not,
whichever index answers, so each entry comes once. Whether something has arrived is seen by a `stat` of the file, which
takes two microseconds and no lock. docs/op-log.md, "Following", has the figures that speak for this and against a
library that watches files.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from muse.core.checkpoint.cut import Cut
from muse.core.entry.filter import Filter
from muse.core.entry.model import OpEntry
from muse.core.errors import ClosedLogError, InvalidArgumentError
from muse.core.follow.position import FileState, Positions
from muse.core.paging import Pager, PageSize
from muse.core.storage.reader import read_entries_with_ends

SHORTEST_PAUSE_SECONDS = 0.001
"""Between two looks, right after an entry."""

LONGEST_PAUSE_SECONDS = 0.05
"""Between two looks, when nothing has arrived for a while; a stop is noticed at the latest after this."""

_GROWTH = 1.1  # A pause is then about a tenth of the time since the last entry.


class Feed:
    """The entries after one position that match, page by page, as far as they have arrived.

    One thread at a time fetches and takes; any thread may stop it or ask for the cut.
    """

    def __init__(
        self, pager: Pager, positions: Positions, wanted: Filter, begin: Callable[[], int], size: PageSize
    ) -> None:
        """`begin` finds the position to begin at; it may have to wait for the lock or the index."""
        self._pager = pager
        self._positions = positions
        self._wanted = wanted
        self._begin = begin
        self._size = size
        # A flag, not an event: a signal handler may interrupt its own thread while that holds the event's lock.
        self._is_stopped = False
        self._fetched: deque[tuple[int, OpEntry]] = deque()
        # All that matches below the first of these was given, below the second it was fetched. The first is None until
        # it is known where to begin.
        self._given: int | None = None
        self._reached = 0
        # No file has this state, nor has a file that is not there.
        self._seen: FileState | None = ()
        self.is_behind = False
        """Whether more had arrived than the last page held."""

    def pauses(self, timeout: float | None) -> Iterator[float]:
        """How many seconds to pause after each look for the next entry, as long as looking makes sense.

        It ends when the feed was stopped, the log was closed, or a look that began after the timeout found nothing.
        Then the feed is stopped for good.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        pause = SHORTEST_PAUSE_SECONDS
        while not (self._is_stopped or self._positions.log_is_closed):
            # Asked before the look: what had arrived when the time was over is still given.
            left = deadline - time.monotonic()
            yield pause if pause < left else max(left, 0)
            if not self.is_behind:
                if left <= 0:
                    break
                pause = min(pause * _GROWTH, LONGEST_PAUSE_SECONDS)
        self.stop()

    def stop(self) -> None:
        """Let nothing more be taken, from any thread or a signal handler."""
        self._is_stopped = True

    def start(self) -> None:
        """Find the position to begin at.

        Raises:
            InvalidCutError, InvalidArgumentError: there is no such position.
        """
        if self._given is None:
            self._reached = self._given = self._begin()

    def has_news(self) -> bool:
        """Whether there may be something to fetch; costs a `stat`, and waits for nobody."""
        if self._fetched:
            return False
        return self._given is None or self.is_behind or self._positions.file_state() != self._seen

    def fetch(self) -> None:
        """Fetch the next page of what has arrived; may wait for the handle's lock or the index.

        If the log was closed the feed stops.

        Raises:
            LogReplacedError: the log is no longer the file this handle looked at.
        """
        try:
            self.start()
            # In this order: what arrives in between looks like news the next time.
            self._seen = self._positions.file_state()
            wanted = replace(self._wanted, start=self._reached, stop=self._pager.end())
            if wanted.start < wanted.stop:
                found, resume_at = self._pager.page(wanted, read_entries_with_ends, self._size)
                self._fetched.extend(found)
                self.is_behind = resume_at is not None
                self._reached = wanted.stop if resume_at is None else resume_at
                if not found:
                    self._given = self._reached
        except ClosedLogError:
            self.stop()

    def take(self) -> OpEntry | None:
        """The next entry that was fetched; None if there is none."""
        if not self._fetched:
            return None
        end, entry = self._fetched.popleft()
        self._given = end if self._fetched else self._reached
        return entry

    def cut(self) -> Cut:
        """The position reached by what was taken: all that matches below it was, and nothing above.

        Raises:
            ClosedLogError: the log was closed.
        """
        return self._positions.cut(self._begin() if self._given is None else self._given)


def beginning(positions: Positions, *, from_start: bool, since: Cut | str | None) -> Callable[[], int]:
    """A function that finds the position to begin at. "From now on" begins at the size that the file has now.

    Raises:
        InvalidArgumentError: the arguments contradict each other, or one is of the wrong type.
    """
    if since is not None:
        if from_start:
            raise InvalidArgumentError("from_start: the position is given by `since` already: leave one of them out")
        if not isinstance(since, (Cut, str)):
            raise InvalidArgumentError(f"since: must be a Cut or an op_id, not {since!r}")
        return lambda: positions.after(since)
    if from_start:
        return int
    state = positions.file_state()
    return lambda: positions.after_lines_below(state[-1] if state else 0)
