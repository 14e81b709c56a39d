"""A short description of an operation for people: its kind, its address, and what changed.

The log gives operations no meaning, so no field is required: any JSON object gets a description.
"""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muse.core.op_log import OpEntry

ENTRY_COLUMNS = ("LAMPORT", "UTC", "ACTOR", "DOMAIN", "OP", "ADDRESS", "WHAT")
"""The headings of a table of entries."""
WHOLE_COLUMNS = ("LAMPORT", "UTC")
"""Those of them that are of no use if they are cut."""

_LONGEST = 100


def description(domain_op: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return (kind, address, what); a part that the operation does not have is ""."""
    kind = _text(domain_op.get("op", ""))
    describe = _WHAT.get(kind, _content if "content_summary" in domain_op else _anything)
    return kind, _text(domain_op.get("address", "")), _short(describe(domain_op))


def entry_cells(entry: OpEntry, time_width: int = 19) -> tuple[str, ...]:
    """An entry as a row of a table with the headings `ENTRY_COLUMNS`; the time takes `time_width` characters."""
    when, what = utc(entry["created_at"], time_width), description(entry["domain_op"])
    return (str(entry["lamport_ts"]), when, entry["actor_id"], entry["domain"], *what)


def utc(created_at: str, width: int = 19) -> str:
    """A time of an entry in UTC, as "2026-11-26 09:29:37" or only the end of that; "-" if it is not a time."""
    from muse.core.op_log import parse_time

    moment = parse_time(created_at)
    # Near the years 1 and 9999 there may be no such time in UTC.
    with suppress(OverflowError):
        return moment.astimezone(UTC).isoformat(" ", "seconds")[:19][-width:] if moment else "-"
    return "-"


def _content(op: Mapping[str, Any]) -> str:
    content = op.get("content_summary", op.get("content_id"))
    return _anything(op) if content is None else _text(content)


def _move(op: Mapping[str, Any]) -> str:
    return f"{_text(op.get('from_position', '?'))} -> {_text(op.get('to_position', '?'))}"


def _replacement(op: Mapping[str, Any]) -> str:
    if not op.keys() & {"old_summary", "new_summary"}:
        return _content(op)
    return f"{_text(op.get('old_summary', '?'))} -> {_text(op.get('new_summary', '?'))}"


def _mutation(op: Mapping[str, Any]) -> str:
    fields = op.get("fields")
    if not isinstance(fields, Mapping):
        return _replacement(op)
    return ", ".join(
        f"{name} {_text(change.get('old', '?'))} -> {_text(change.get('new', '?'))}"
        if isinstance(change, Mapping)
        else str(name)
        for name, change in fields.items()
    )


def _patch(op: Mapping[str, Any]) -> str:
    children = op.get("child_ops")
    number = len(children) if isinstance(children, list) else 0
    return f"{_text(op.get('child_summary', ''))} ({number} inside)"


def _anything(op: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_text(value)}" for key, value in op.items() if key not in ("op", "address"))


_WHAT = {
    "insert": _content,
    "delete": _content,
    "move": _move,
    "replace": _replacement,
    "mutate": _mutation,
    "patch": _patch,
}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
