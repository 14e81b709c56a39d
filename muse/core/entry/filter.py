"""Which entries are wanted: the filters that every question takes, checked, and the range of the log to look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

from muse.core.entry.validation import check_name, check_number

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
    """What to look for; None means "any". The parts are combined with AND."""

    actor: str | None = None
    domain: str | None = None
    intent: str | None = None
    reservation: str | None = None
    min_lamport_ts: int | None = None
    max_lamport_ts: int | None = None
    start: int = 0
    """First byte of the log to look at."""
    stop: int = END
    """Byte offset to stop before."""

    def __post_init__(self) -> None:
        for role, name in self.names.items():
            check_name(role, name)
        for bound in ("min_lamport_ts", "max_lamport_ts"):
            if getattr(self, bound) is not None:
                check_number(bound, getattr(self, bound))

    @cached_property
    def names(self) -> dict[str, str]:
        """The names asked for, by role."""
        asked = {
            "actor": self.actor,
            "domain": self.domain,
            "intent": self.intent,
            "reservation": self.reservation,
        }
        return {role: name for role, name in asked.items() if name is not None}

    @property
    def lowest(self) -> int:
        """Lowest timestamp wanted."""
        return 0 if self.min_lamport_ts is None else self.min_lamport_ts

    @property
    def highest(self) -> int:
        """Highest timestamp wanted."""
        return END if self.max_lamport_ts is None else self.max_lamport_ts

    @property
    def takes_every_timestamp(self) -> bool:
        """Whether no timestamp is left out."""
        return self.min_lamport_ts is None and self.max_lamport_ts is None

    @property
    def takes_every_entry(self) -> bool:
        """Whether every entry between start and stop is wanted."""
        return not self.names and self.takes_every_timestamp


def wanted_by(call: str, filters: EntryFilters) -> Filter:
    """The filters given to `call`, checked.

    Raises:
        TypeError: there is no filter of that name.
        InvalidArgumentError: one is of the wrong type.
    """
    if unknown := filters.keys() - EntryFilters.__annotations__.keys():
        raise TypeError(f"{call}() got an unexpected keyword argument {min(unknown)!r}")
    return Filter(
        actor=filters.get("actor_id"),
        domain=filters.get("domain"),
        intent=filters.get("intent_id"),
        reservation=filters.get("reservation_id"),
        min_lamport_ts=filters.get("min_lamport_ts"),
        max_lamport_ts=filters.get("max_lamport_ts"),
    )
