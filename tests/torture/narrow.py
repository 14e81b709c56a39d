"""Sessions with small limits, so that what is rare in a short session happens in every round.

An index folds its tail every few thousand lines and copies SQLite's write-ahead log every 16 MiB. With
the limits of a narrow session it does so every few dozen lines, with all the processes at work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from muse.core import paging
from muse.core.history import causal as history
from muse.core.old_index import index, index_build, sidecar

_NARROW: tuple[tuple[ModuleType, str, Any], ...] = (
    (index, "SEGMENT_LINES", 64),
    (index, "WAL_CHECKPOINT_BYTES", 32 << 10),
    (index, "MAX_REMEMBERED_NAMES", 4),
    (index_build, "SEGMENT_LINES", 64),
    (sidecar, "SEGMENT_LINES", 64),
    (sidecar, "MAX_UNINDEXED", 128),
    (sidecar, "RETRY_SECONDS", 0.05),
    (sidecar, "_CHECK_EVERY", 8),
    (history, "WHOLE_PAGE", paging.PageSize(32, 16 << 10)),
    (paging, "WHOLE_PAGE", paging.PageSize(32, 16 << 10)),
)


@contextmanager
def limits(*, narrow: bool) -> Iterator[None]:
    """Give the engine small limits in this process and those forked from it, where `narrow`."""
    before = [getattr(module, name) for module, name, _ in _NARROW]
    try:
        if narrow:
            for module, name, value in _NARROW:
                setattr(module, name, value)
        yield
    finally:
        for (module, name, _), value in zip(_NARROW, before, strict=True):
            setattr(module, name, value)
