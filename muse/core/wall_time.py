"""The wall-clock times that entries carry: any text, often an ISO 8601 time. Nothing is ordered by them."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_time(text: str) -> datetime | None:
    """The moment that an ISO 8601 text names, in UTC where it names no zone; None where it is no such text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
