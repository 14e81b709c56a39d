"""The filters that every question about entries takes, in one place."""

from __future__ import annotations

from typing import TypedDict

from muse.core.old_index.index_question import Filter


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
