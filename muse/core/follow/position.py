"""Positions in a log: a byte offset between two lines, and the cuts and op_ids that name one."""

from __future__ import annotations

import os

from muse.core.checkpoint.cut import Checkpoints, Cut
from muse.core.entry.model import parse_op_id
from muse.core.errors import InvalidArgumentError
from muse.core.handle_lock import HandleLock
from muse.core.index.catch_up import CatchUp
from muse.core.storage.log_file import LogFile, end_of_last_line

FileState = tuple[int, ...]
"""Device, inode and size."""


class Positions:
    """The positions of one handle's log. Takes the handle's lock itself; any thread may ask."""

    def __init__(self, lock: HandleLock, catch_up: CatchUp, log: LogFile, checkpoints: Checkpoints) -> None:
        self._lock = lock
        self._catch_up = catch_up
        self._log = log
        self._checkpoints = checkpoints

    @property
    def log_is_closed(self) -> bool:
        """Whether the handle was closed."""
        return self._lock.is_closed

    def file_state(self) -> FileState | None:
        """What the file is now, by one `stat` and without the lock; None if there is no file."""
        try:
            now = os.stat(self._log.path)
        except FileNotFoundError:
            return None
        return now.st_dev, now.st_ino, now.st_size

    def after_lines_below(self, size: int) -> int:
        """After the last line that ends in the first `size` bytes of the log."""
        with self._lock:
            self._catch_up.catch_up()
            return end_of_last_line(self._log, min(size, self._catch_up.size))

    def after(self, since: Cut | str) -> int:
        """After a cut, or after the entry with an op_id.

        Raises:
            InvalidCutError: it is not a cut of this log.
            InvalidArgumentError: the log has no such entry.
        """
        with self._lock:
            self._catch_up.catch_up()
            if isinstance(since, Cut):
                return self._checkpoints.check_cut("since", since).byte_offset
            key = parse_op_id(since)
            place = (
                self._catch_up.with_index(lambda index: index.location_of(key)) if key and self._catch_up.size else None
            )
            if place is None:
                raise InvalidArgumentError(f"since: {self._log.path} has no entry with the op_id {since[:60]!r}")
            return place.end

    def cut(self, byte_offset: int) -> Cut:
        """The cut at a position."""
        with self._lock:
            self._catch_up.catch_up()
            return self._checkpoints.cut_at(byte_offset)
