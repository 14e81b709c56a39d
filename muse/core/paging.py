"""Questions to one handle's log: each is asked under the handle's lock, which is free between two pages of entries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from muse.core.entry.filter import END, Filter
from muse.core.entry.model import parse_op_id
from muse.core.entry.validation import check_number
from muse.core.handle_lock import HandleLock, Turn
from muse.core.index.catch_up import CatchUp
from muse.core.index.query import damaged_lines, find_page, places_at
from muse.core.index.store import Index
from muse.core.storage.lines import Location, Places
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import find_lines

_log = logging.getLogger(__name__)

Found = TypeVar("Found")
Read = Callable[[LogFile, Places], list[Found]]
"""Fetches what lies at some places of the log."""


class PageSize(NamedTuple):
    """How much a page holds at most; one line at least, however long it is."""

    lines: int
    size_bytes: int


WHOLE_PAGE = PageSize(1024, 1 << 20)
SMALL_PAGE = PageSize(128, 64 << 10)
"""For a follower in an event loop: it is parsed in less than a millisecond."""
_SEARCHED_PAGE = PageSize(32 << 10, 4 << 20)
"""For a search of its bytes, in some milliseconds; of few lines most of the time goes into finding them."""


@dataclass
class Pager:
    """Asks one handle's index and reads its log. Takes the handle's lock itself; any thread may ask."""

    lock: HandleLock
    catch_up: CatchUp
    log: LogFile
    looked_to: int = 0
    """How far it has looked if there are damaged lines; the end of all logs once it has told of some."""

    def ask(self, question: Callable[[Index], Found], empty: Found) -> Found:
        """The answer of an index that covers all that has arrived by now; `empty` if nothing has."""
        with Turn(self.lock):
            self.catch_up.catch_up()
            return self.catch_up.with_index(question) if self.catch_up.size else empty

    def find(self, op_id: str, use: Callable[[Index, Location], Found]) -> Found | None:
        """What `use` makes of where the entry with this op_id lies; None if there is none."""

        def look(index: Index) -> Found | None:
            key = parse_op_id(op_id)
            place = None if key is None else index.location_of(key)
            return None if place is None else use(index, place)

        return self.ask(look, None)

    def _tell_of_damage(self, index: Index) -> None:
        damaged = damaged_lines(index, self.looked_to, index.end)
        self.looked_to = END if damaged else index.end
        if damaged:
            _log.warning("%s: damaged lines are passed over, %d so far: run verify", self.log.path, len(damaged))

    def end(self) -> int:
        """Byte offset after the last line that has arrived by now."""
        with Turn(self.lock):
            self.catch_up.catch_up()
            return self.catch_up.end

    def pages(
        self, wanted: Filter, read: Read[Found], *, limit: int | None = None, reverse: bool = False
    ) -> Iterator[list[Found]]:
        """What matches and has arrived by now, at most `limit`; the newest arrival first if `reverse`."""
        if limit is not None:
            check_number("limit", limit, lowest=0)
        wanted = replace(wanted, stop=min(wanted.stop, self.end()))
        # There are fewer entries than bytes.
        return self._pages(wanted, read, wanted.stop if limit is None else limit, reverse=reverse)

    def _pages(self, wanted: Filter, read: Read[Found], left: int, *, reverse: bool) -> Iterator[list[Found]]:
        while wanted.start < wanted.stop and left:
            size = _SEARCHED_PAGE if wanted.where else WHOLE_PAGE._replace(lines=min(left, WHOLE_PAGE.lines))
            found, resume_at = self.page(wanted, read, size, reverse=reverse)
            # Of a page that is searched more may match than are left.
            found = (found[::-1] if reverse else found)[:left]
            yield found
            if resume_at is None:
                return
            wanted = replace(wanted, stop=resume_at) if reverse else replace(wanted, start=resume_at)
            left -= len(found)

    def page(
        self, wanted: Filter, read: Read[Found], size: PageSize, *, reverse: bool = False
    ) -> tuple[list[Found], int | None]:
        """The first page of what matches, or the last if `reverse`, in arrival order; and where to go on.

        With `where`, `size` is that of what is searched. Where to go on is the byte offset at which the next page
        begins, or has to stop; None if there is none.
        """

        def page(index: Index) -> tuple[list[Found], int | None]:
            places, resume_at = find_page(index, wanted, *size, reverse=reverse)
            if wanted.where:
                places = places_at(index, find_lines(self.log, places, wanted.where))
            if self.looked_to < index.end:
                self._tell_of_damage(index)
            return read(self.log, places), resume_at

        with Turn(self.lock):
            return self.catch_up.with_index(page)
