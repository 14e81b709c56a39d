"""Sessions with small limits, so that what is rare in a short session happens in every round.

An index folds its tail every few thousand lines, merges runs every few folds, and copies SQLite's write-ahead log
every 32 MiB. With the limits of a narrow session it does all of that every few dozen lines, with all the processes at
work.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from muse.core.paging import PageSize
from tests import small_index


def limits(*, narrow: bool) -> AbstractContextManager[None]:
    """Give the engine small limits in this process and those forked from it, if `narrow`."""
    if not narrow:
        return nullcontext()
    return small_index.limits(
        # When lines are folded, and when an append waits for it.
        SEGMENT_LINES=64,
        LONG_BATCH_LINES=16,
        MAX_UNWRITTEN_LINES=128,
        # When runs are merged, and get a filter and pages.
        FAN_OUT=2,
        FILTERED_SEGMENTS=4,
        MAX_RUN_SEGMENTS=16,
        PAGE_KEYS=16,
        # When names are too many to list.
        MAX_RUN_NAMES=4,
        # What a handle remembers, and when it looks again.
        MAX_CACHED_SEGMENTS=2,
        MAX_CACHED_SUMMARIES=4,
        _ROWS_AT_ONCE=4,
        RETRY_SECONDS=0.05,
        _CHECK_EVERY=8,
        WAL_CHECKPOINT_BYTES=32 << 10,
        # How much a page of an answer holds.
        WHOLE_PAGE=PageSize(32, 16 << 10),
        _UNITS_OF_A_PAGE=3,
    )
