"""How fast a session went lately: from the times of two entries, found from the end of its index."""

from __future__ import annotations

from itertools import chain

from muse.core.entry.model import parse_time
from muse.core.old_index.index import Index
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import read_entries
from muse.core.storage.record import places_of

PACE_OPS = 100
"""How many of the last entries the pace is taken from."""

_LAST = tuple(
    f"SELECT byte_offset, length, checksum, lamport_ts FROM {table} "  # noqa: S608 - two constants
    "WHERE op_high IS NOT NULL ORDER BY byte_offset DESC LIMIT ?"
    for table in ("tail", "line")
)


def ops_per_minute(index: Index, log: LogFile) -> float | None:
    """Entries a minute over the last `PACE_OPS` of them, by `created_at`. Call inside a snapshot.

    None where there are fewer than two, or the times of the first and last of these tell no span.

    Raises:
        DamagedIndexError, StaleIndexError: the index has to be rebuilt.
    """
    found = chain.from_iterable(index.connection.execute(statement, (PACE_OPS,)) for statement in _LAST)
    places = places_of(sorted(found)[-PACE_OPS:])
    if len(places) < 2:
        return None
    first, last = (parse_time(entry["created_at"]) for entry in read_entries(log, [places[0], places[-1]]))
    if first is None or last is None or last <= first:
        return None
    return (len(places) - 1) * 60 / (last - first).total_seconds()
