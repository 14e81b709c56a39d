"""The answers from the end: the newest arrival first, page by page.

The log is walked unit by unit from its end: the tail, then the segments to look at, the last one first.
What lies in one unit is found, and checked, on the same way as forward; only the end of it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from muse.core.old_index.index import Index
from muse.core.old_index.index_check import check_names
from muse.core.old_index.index_query import Page, page_of_unit
from muse.core.old_index.index_question import Filter, Question
from muse.core.storage.record import Place, integer

_ALL = -1  # SQLite's LIMIT for "no limit"


def previous_page(index: Index, wanted: Filter, limit: int, size_bytes: int) -> Page:
    """The last entries that match: at most `limit`, and `size_bytes` (but one at least), in arrival order.

    The byte offset given with them is where the next page, which lies before, has to stop; None at the end. A page
    may be empty and not the end.

    Raises:
        DamagedIndexError: some entries are missing from the index, or altered.
    """
    check_names(index, wanted.names())
    question = Question.of(index, wanted)
    if question is None or wanted.start >= wanted.stop:
        return Page([], None)
    # One snapshot: between "not in the tail" and the last segment another process may fold.
    with index.snapshot():
        unit = _last_unit(index, question, wanted)
        if unit is None:
            return Page([], None)
        low, segment = unit
        places = page_of_unit(index, question, replace(wanted, start=low), segment, _ALL).places
    return _end_of(places, limit, size_bytes, low if low > wanted.start else None)


def _last_unit(index: Index, question: Question, wanted: Filter) -> tuple[int, tuple[int, int] | None] | None:
    """Where the last unit begins to be of interest, and its range if it is a segment; None where there is no unit."""
    last = index.connection.execute("SELECT end_offset FROM segment ORDER BY first_offset DESC LIMIT 1").fetchone()
    folded = integer(last) if last else 0
    if wanted.stop > folded:
        return max(folded, wanted.start), None
    segment = index.connection.execute(question.last_segment(), question.values | {"stop": wanted.stop}).fetchone()
    return (max(segment[0], wanted.start), segment) if segment else None


def _end_of(places: Sequence[Place], limit: int, size_bytes: int, before: int | None) -> Page:
    total = 0
    for number, place in enumerate(reversed(places)):
        total += place.length
        if number == limit or (total > size_bytes and number):
            taken = places[len(places) - number :]
            return Page(list(taken), taken[0].byte_offset)
    return Page(list(places), before)
