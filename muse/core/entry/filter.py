"""Which entries are wanted: the filters that every question takes, checked, and the range of the log to look at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from muse.core.entry.validation import check_name, check_number
from muse.core.entry.where import Where
from muse.core.errors import InvalidArgumentError
from muse.core.options import MAX_LAMPORT_TS

END = 2**62
"""A byte offset beyond the end of every log."""


class EntryFilters(TypedDict, total=False):
    """Which entries are wanted. None, or a filter left out, means any; the filters are combined with AND."""

    actor_id: str | Collection[str] | None
    """Exact name; or several, one of which it must be."""
    not_actor_id: str | Collection[str] | None
    """Exact name; or several, none of which it may be."""
    domain: str | Collection[str] | None
    """As `actor_id`."""
    not_domain: str | Collection[str] | None
    """As `not_actor_id`."""
    intent_id: str | Collection[str] | None
    """As `actor_id`; "" for the entries that have none."""
    reservation_id: str | Collection[str] | None
    """As `actor_id`; "" for the entries that have none."""
    min_lamport_ts: int | None
    """Lowest timestamp wanted, itself included."""
    max_lamport_ts: int | None
    """Highest timestamp wanted, itself included."""
    where: Mapping[str, Any] | None
    """Values that fields of the operation must have, by path: `{"address": "app.py", "fields.0.name": None}`.

    A dot leads into an object, by key, or into a list, by number from 0; a key that holds the dot itself takes
    precedence. A value is any JSON, compared exactly: 1 is not 1.0 and not true, None is a null that is there, and an
    object is equal whatever the order of its keys. The lines that the other filters leave are searched.
    """


@dataclass(frozen=True)
class Names:
    """Which names are wanted of one role; all by default."""

    wanted: frozenset[str] | None = None
    """None: all."""
    unwanted: frozenset[str] = frozenset()

    def take(self, name: str) -> bool:
        """Whether this one is wanted."""
        return (self.wanted is None or name in self.wanted) and name not in self.unwanted


@dataclass(frozen=True)
class Filter:
    """What to look for, everything by default. The parts are combined with AND."""

    names: Mapping[str, Names] = field(default_factory=dict)
    """By role; a role that is left out may have any name."""
    where: Where | None = None
    """What the index can't tell: held against the lines that the rest leaves."""
    min_lamport_ts: int = 0
    max_lamport_ts: int = MAX_LAMPORT_TS
    start: int = 0
    """First byte of the log to look at."""
    stop: int = END
    """Byte offset to stop before."""

    @property
    def takes_every_timestamp(self) -> bool:
        """Whether no timestamp is left out."""
        return self.min_lamport_ts <= 0 and self.max_lamport_ts >= MAX_LAMPORT_TS

    @property
    def takes_every_entry(self) -> bool:
        """Whether every entry between start and stop is wanted, as far as the index can tell."""
        return not self.names and self.takes_every_timestamp


def wanted_by(filters: EntryFilters) -> Filter:
    """The filters given to a call; a `TypeError` for an unknown name, an `InvalidArgumentError` for a wrong type."""
    known = EntryFilters.__annotations__
    asked: dict[str, Any] = {}
    names: dict[str, Names] = {}
    for name, value in filters.items():
        if name not in known:
            raise TypeError(f"unexpected keyword argument {name!r}: the filters are {', '.join(known)}")
        if value is None:
            continue
        if name.endswith("_lamport_ts"):
            check_number(name, value)
            asked[name] = value
        elif name == "where":
            asked[name] = Where.of(value)
        else:
            role, part = name.removeprefix("not_").removesuffix("_id"), "unwanted" if name[:4] == "not_" else "wanted"
            names[role] = replace(names.get(role, Names()), **{part: _names(name, value)})
    return Filter(names, **asked)


def _names(argument: str, value: Any) -> frozenset[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, Collection) or isinstance(names, bytes):
        raise InvalidArgumentError(f"{argument}: must be text in UTF-8, or several, not {value!r}")
    for name in names:
        check_name(argument, name)
    return frozenset(names)
