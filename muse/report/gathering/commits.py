"""Which ops of a log are in which of its commits, and which commits are shown one by one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from muse.core.op_log import Cut, InvalidCutError, OpLog
from muse.report.limits import COMMIT_ID_LETTERS, MAX_COMMITS
from muse.report.text import brief

if TYPE_CHECKING:
    from muse.commit import Committed


class Commits:
    """The commits of a session, numbered from 1, the oldest. The ops of its log are given one after the other."""

    def __init__(self, log: OpLog, commits: Sequence[Committed]) -> None:
        """Take the commits, the first one first; there may be none.

        Raises:
            InvalidCutError: they are not of this log, or some are missing between them.
        """
        self.all = commits
        self.ends: list[int] = []
        """How many of the ops that the log holds lie before the first commit, and up to the end of each."""
        self.highest: list[int] = []
        """The highest Lamport timestamp of so many ops; 0 if they are none."""
        self._log = log
        self._by_place = False
        self._arrived = self._highest = 0
        self._bounds = [Cut(log.session_id, each.start, each.cut.op_count - each.ops) for each in commits[:1]]
        self._bounds += [each.cut for each in commits]
        for before, each in pairwise(commits):
            if (each.start, each.cut.op_count - each.ops) != (before.cut.byte_offset, before.cut.op_count):
                raise InvalidCutError(f"commit {each.commit_id} does not begin where its parent ended")
        if commits:
            _check_end(log, commits[-1])

    def add(self, op_id: str, arrival: int, lamport_ts: int) -> None:
        """Consider the next op of the log, which has this number in the order of arrival."""
        while len(self.ends) < len(self._bounds) and self._is_beyond(self._bounds[len(self.ends)], op_id, arrival):
            self._end_at(arrival - 1)
        self._arrived, self._highest = arrival, max(self._highest, lamport_ts)

    def close(self, upto: Cut, *, is_damaged: bool) -> None:
        """There are no more ops. If lines of the log are damaged, it is read again, up to the cut."""
        if is_damaged and self.all:
            # A commit counts what has been damaged since as well. Only the byte offset tells where it ends; it is not
            # asked for before, because that takes longer than to read the log.
            self._by_place = True
            self.ends, self.highest, self._highest = [], [], 0
            for arrival, entry in enumerate(islice(self._log, upto.op_count), start=1):
                self.add(entry["op_id"], arrival, entry["lamport_ts"])
        while len(self.ends) < len(self._bounds):
            self._end_at(self._arrived)

    def number_of(self, arrival: int) -> int:
        """The number of the commit that an op is in; 0 if it is in none."""
        number = bisect_left(self.ends, arrival)
        return number if number <= len(self.all) else 0

    def id_of(self, number: int) -> str:
        """As much of the id of a commit as is shown."""
        return brief(self.all[number - 1].commit_id[:COMMIT_ID_LETTERS])

    def shown(self) -> Sequence[int]:
        """The numbers of the commits shown one by one: all, or the newest, and older ones at even distance."""
        newest, older = MAX_COMMITS // 2, len(self.all) - MAX_COMMITS // 2
        if len(self.all) <= MAX_COMMITS:
            return range(1, len(self.all) + 1)
        some = MAX_COMMITS - newest
        return [*(1 + at * older // some for at in range(some)), *range(older + 1, len(self.all) + 1)]

    def _is_beyond(self, bound: Cut, op_id: str, arrival: int) -> bool:
        place = self._log.locate(op_id) if self._by_place else None
        return arrival > bound.op_count if place is None else place[0] >= bound.byte_offset

    def _end_at(self, arrival: int) -> None:
        self.ends.append(arrival)
        self.highest.append(self._highest)


def _check_end(log: OpLog, newest: Committed) -> None:
    try:
        log.damaged_lines(newest.cut, newest.cut)
    except InvalidCutError as error:
        what = f"{log.path}: commit {newest.commit_id} ends where no commit of this log can end: it is of another log"
        raise InvalidCutError(what) from error
