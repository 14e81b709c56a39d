"""Which entries are wanted: the filters that every question takes, checked, and the range of the log to look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypedDict

from muse.core.entry.validation import check_name, check_number
from muse.core.options import MAX_LAMPORT_TS

END = 2**62
"""A byte offset beyond the end of every log."""


class EntryFilters(TypedDict, total=False):
    """Which entries are wanted. None, or a filter left out, means any; the filters are combined with AND."""

    actor_id: str | None
    """Exact name."""
    domain: str | None
    """Exact name."""
    intent_id: str | None
    """Exact name; "" for the entries that have none."""
    reservation_id: str | None
    """Exact name; "" for the entries that have none."""
    min_lamport_ts: int | None
    """Lowest timestamp wanted, itself included."""
    max_lamport_ts: int | None
    """Highest timestamp wanted, itself included."""


@dataclass(frozen=True)
class Filter:
    """What to look for, everything by default. The parts are combined with AND; a name that is None may be any."""

    actor: str | None = None
    domain: str | None = None
    intent: str | None = None
    reservation: str | None = None
    min_lamport_ts: int = 0
    max_lamport_ts: int = MAX_LAMPORT_TS
    start: int = 0
    """First byte of the log to look at."""
    stop: int = END
    """Byte offset to stop before."""

    @cached_property
    def names(self) -> dict[str, str]:
        """The names asked for, by role."""
        asked = {role: getattr(self, role) for role in ("actor", "domain", "intent", "reservation")}
        return {role: name for role, name in asked.items() if name is not None}

    @property
    def takes_every_timestamp(self) -> bool:
        """Whether no timestamp is left out."""
        return self.min_lamport_ts <= 0 and self.max_lamport_ts >= MAX_LAMPORT_TS

    @property
    def takes_every_entry(self) -> bool:
        """Whether every entry between start and stop is wanted."""
        return not self.names and self.takes_every_timestamp


def wanted_by(filters: EntryFilters) -> Filter:
    """The filters given to a call; a `TypeError` for an unknown name, an `InvalidArgumentError` for a wrong type."""
    known = EntryFilters.__annotations__
    asked: dict[str, Any] = {}
    for name, value in filters.items():
        if name not in known:
            raise TypeError(f"unexpected keyword argument {name!r}: the filters are {', '.join(known)}")
        if value is not None:
            (check_number if name.endswith("_lamport_ts") else check_name)(name, value)
            asked[name.removesuffix("_id")] = value
    return Filter(**asked)
