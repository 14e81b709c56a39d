"""How fast a session went lately: from the times of two entries, found from the end of its index."""

from __future__ import annotations

from muse.core.entry.model import parse_time
from muse.core.index.query import last_and_earlier
from muse.core.index.store import Index
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_entries

PACE_OPS = 100
"""How many of the last entries the pace is taken from."""


def ops_per_minute(index: Index, log: LogFile) -> float | None:
    """Entries a minute over the last `PACE_OPS` of them, by `created_at`.

    None if there are fewer than two, or the times of the first and last of these tell no span.

    Raises:
        DamagedIndexError, StaleLocationError: the index has to be rebuilt.
    """
    entries = min(index.entries, PACE_OPS)
    if entries < 2:
        return None
    places = last_and_earlier(index, entries - 1)
    first, last = (parse_time(entry["created_at"]) for entry in read_entries(log, places))
    if first is None or last is None or last <= first:
        return None
    return (entries - 1) * 60 / (last - first).total_seconds()
