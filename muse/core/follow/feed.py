"""What a follower is fed with: the entries that arrive, and the position it has reached.

A position is a byte offset, and the log is append-only: what lies below it was given and what lies above was not,
whichever index answers, so each entry comes once. Whether something has arrived is seen by a `stat` of the file, which
takes two microseconds and no lock. docs/op-log.md, "Following", has the figures that speak for this and against a
library that watches files.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from muse.core.checkpoint.cut import Checkpoints, Cut
from muse.core.checkpoint.moments import position
from muse.core.entry.filter import Filter
from muse.core.entry.model import OpEntry
from muse.core.entry.validation import check_seconds
from muse.core.errors import ClosedLogError, InvalidArgumentError
from muse.core.handle_lock import Turn
from muse.core.paging import Pager, PageSize
from muse.core.storage.log_file import end_of_last_line
from muse.core.storage.reader import read_placed_entries

SHORTEST_PAUSE_SECONDS = 0.001
"""Between two looks, right after an entry."""

LONGEST_PAUSE_SECONDS = 0.05
"""Between two looks, when nothing has arrived for a while; a stop is noticed at the latest after this."""

_GROWTH = 1.1  # A pause is then about a tenth of the time since the last entry.


@dataclass
class Feed:
    """The entries after one position that match, page by page, as far as they have arrived.

    One thread at a time fetches and takes; any thread may stop it or ask for the cut. The arguments are those of
    `OpLog.follow`; where `since` lies is looked up by `start`, which may have to wait for the lock or the index.
    """

    pager: Pager
    checkpoints: Checkpoints
    wanted: Filter
    size: PageSize
    timeout: float | None
    from_start: bool
    since: Cut | str | None
    is_behind: bool = field(default=False, init=False)
    """Whether more had arrived than the last page held."""

    def __post_init__(self) -> None:
        if self.timeout is not None:
            check_seconds("timeout", self.timeout)
        if self.since is not None and self.from_start:
            raise InvalidArgumentError("from_start: the position is given by `since` already: leave one of them out")
        if not isinstance(self.since, (Cut, str, type(None))):
            raise InvalidArgumentError(f"since: must be a Cut or an op_id, not {self.since!r}")
        # "From now on" begins at the size that the file has now.
        self._begin_below = 0 if self.from_start else (self._file_state() or (0,))[-1]
        # A flag, not an event: a signal handler may interrupt its own thread while that holds the event's lock.
        self._is_stopped = False
        self._fetched: deque[tuple[int, int, OpEntry]] = deque()
        # All that matches below the first of these was given, below the second it was fetched. The first is None until
        # it is known where to begin.
        self._given: int | None = None
        self._reached = 0
        # No file has this state, nor has a file that is not there.
        self._seen: tuple[int, ...] | None = ()

    def _file_state(self) -> tuple[int, ...] | None:
        """Device, inode and size of the log, by one `stat` and without the lock; None if there is no file."""
        try:
            now = os.stat(self.pager.log.path)
        except FileNotFoundError:
            return None
        return now.st_dev, now.st_ino, now.st_size

    def pauses(self) -> Iterator[float]:
        """How many seconds to pause after each look for the next entry, as long as looking makes sense.

        It ends when the feed was stopped, the log was closed, or a look that began after the timeout found nothing.
        Then the feed is stopped for good.
        """
        deadline = math.inf if self.timeout is None else time.monotonic() + self.timeout
        pause = SHORTEST_PAUSE_SECONDS
        while not self.is_over:
            # Asked before the look: what had arrived when the time was over is still given.
            left = deadline - time.monotonic()
            yield pause if pause < left else max(left, 0)
            if not self.is_behind:
                if left <= 0:
                    break
                pause = min(pause * _GROWTH, LONGEST_PAUSE_SECONDS)
        self.stop()

    @property
    def is_over(self) -> bool:
        """Whether it was stopped, or the log was closed."""
        return self._is_stopped or self.pager.lock.is_closed

    def stop(self) -> None:
        """Let nothing more be taken, from any thread or a signal handler."""
        self._is_stopped = True

    def start(self) -> None:
        """Find the position to begin at; raises as `OpLog.follow` if there is no such position."""
        if self._given is None:
            self._reached = self._given = self._beginning()

    def _beginning(self) -> int:
        if self.since is not None:
            return position(self.pager, self.checkpoints, "since", self.since)
        log = self.pager.log
        with Turn(self.pager.lock):
            return end_of_last_line(log, min(self._begin_below, log.size())) if self._begin_below else 0

    def has_news(self) -> bool:
        """Whether there may be something to fetch; costs a `stat`, and waits for nobody."""
        if self._fetched:
            return False
        return self._given is None or self.is_behind or self._file_state() != self._seen

    def fetch(self) -> None:
        """Fetch the next page of what has arrived; may wait for the handle's lock or the index.

        If the log was closed the feed stops.
        """
        try:
            self.start()
            # In this order: what arrives in between looks like news the next time.
            self._seen = self._file_state()
            wanted = replace(self.wanted, start=self._reached, stop=self.pager.end())
            if wanted.start < wanted.stop:
                found, resume_at = self.pager.page(wanted, read_placed_entries, self.size)
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
        _, end, entry = self._fetched.popleft()
        self._given = end if self._fetched else self._reached
        return entry

    def cut(self) -> Cut:
        """The position reached by what was taken: all that matches below it was, and nothing above."""
        position = self._beginning() if self._given is None else self._given
        with Turn(self.pager.lock):
            return self.checkpoints.cut(position)
