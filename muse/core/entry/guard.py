"""The guard of a log: a caller's function that gets each new entry before it is encoded, and may refuse it.

A guard returns the entry, or a changed one, or raises `RefusedByGuardError`. It gets what the caller gave, before
anything of it is checked. It is called without the handle's lock, so it may use the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from muse.core.entry.model import OpEntry
from muse.core.errors import InvalidEntryError, RefusedByGuardError

_log = logging.getLogger(__name__)

Guard = Callable[[OpEntry], OpEntry]


def guarded(guard: Guard, entry: OpEntry) -> OpEntry:
    """What the guard makes of a new entry; what it raises passes through.

    Raises:
        InvalidEntryError: it returned something else than an entry with the same op_id, by which a caller finds the
            entry, appends it again, and names it as a parent.
    """
    given: Any = entry
    # Asked first: a guard may change the entry in place.
    op_id = given.get("op_id") if isinstance(given, dict) else None
    passed: Any = guard(given)
    if not isinstance(passed, dict) or passed.get("op_id") != op_id:
        raise InvalidEntryError("guard: must return the entry, or a changed one with the same op_id")
    return cast("OpEntry", passed)


def count_refused(guard: Guard, path: Path, entries: Iterable[OpEntry]) -> int:
    """How many entries of another replica, which are in the log at `path` now, the guard would have refused.

    They are told of in one warning. Whatever it raises counts, as in `append` it would have kept the entry out.
    """
    refused, first = 0, ""
    for entry in entries:
        try:
            guard(entry)
        except Exception as error:  # noqa: BLE001 - a guard that fails must not stop replication
            # What another error says may hold what the guard is there to keep out.
            why = str(error) if isinstance(error, RefusedByGuardError) else type(error).__name__
            refused, first = refused + 1, first or f"{entry['op_id']}: {why}"
    if refused:
        _log.warning("%s: %d taken over that the guard would have refused; the first is %s", path, refused, first)
    return refused
