"""What an entry is: its fields, how a fresh one is made, what is refused.

An entry is a plain dict. It is validated field by field with pydantic, and value by value for what
JSON can't carry exactly: a serialiser would write NaN as null, a tuple as a list, a UUID or an enum
member as text, and what is read would no longer equal what was appended.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from typing_extensions import TypedDict


class OpEntry(TypedDict):
    """One operation of a session, as it stands in one line of `ops.jsonl` (docs/format.md)."""

    op_id: str
    """UUID4 in canonical text; the operation's identity, in every replica."""
    actor_id: str
    """Who did it: an agent or a person; not empty."""
    lamport_ts: int
    """Logical time, 0 … 2^53-1."""
    parent_op_ids: list[str]
    """The operations it causally depends on; empty for a root."""
    domain: str
    """Which domain it belongs to, such as "music" or "code"; not empty."""
    domain_op: dict[str, Any]
    """The typed operation: any JSON object, stored unchanged."""
    created_at: str
    """ISO 8601 wall-clock time; informational, it orders nothing."""
    intent_id: str
    """Coordination linkage; "" if none."""
    reservation_id: str
    """Coordination linkage; "" if none."""


def make_op_entry(
    actor_id: str,
    domain: str,
    domain_op: Any,
    lamport_ts: int,
    *,
    parent_op_ids: Iterable[str] | None = None,
    intent_id: str = "",
    reservation_id: str = "",
) -> OpEntry:
    """A fresh entry with its own op_id and the current wall-clock time.

    Args:
        actor_id: who does it, non-empty.
        domain: which domain it belongs to, non-empty.
        domain_op: the typed operation, any JSON object (a dict; the TypedDicts of `muse.domain` are).
        lamport_ts: logical time, 0 to 2^53-1; usually `OpLog.next_lamport_ts()`.
        parent_op_ids: op_ids it causally depends on; the list is copied.
        intent_id: coordination linkage, "" if none.
        reservation_id: coordination linkage, "" if none.

    Nothing is checked here: `OpLog.append` refuses what is not valid.
    """
    return {
        "op_id": str(uuid.uuid4()),
        "actor_id": actor_id,
        "lamport_ts": lamport_ts,
        "parent_op_ids": [] if parent_op_ids is None else list(parent_op_ids),
        "domain": domain,
        "domain_op": domain_op,
        "created_at": datetime.now(UTC).isoformat(),
        "intent_id": intent_id,
        "reservation_id": reservation_id,
    }


def parse_op_id(text: object) -> bytes | None:
    """The 16 bytes of `text` where it is a UUID in canonical text, else None."""
    try:
        parsed = uuid.UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return parsed.bytes if parsed is not None and str(parsed) == text else None


def op_id_bytes(op_id: str) -> bytes:
    """The 16 bytes of a canonical UUID text."""
    return bytes.fromhex(op_id.replace("-", ""))


def op_ids_bytes(op_ids: Iterable[str]) -> bytes:
    """The 16 bytes of each of some canonical UUID texts, one after the other."""
    return bytes.fromhex("".join(op_ids).replace("-", ""))


def kind_of(domain_op: Mapping[str, Any]) -> str:
    """The value of `op`; "untyped" where that is no text: the engine gives an operation no other meaning."""
    kind = domain_op.get("op")
    return kind if isinstance(kind, str) else "untyped"


def parse_time(text: str) -> datetime | None:
    """The moment that an ISO 8601 text names, in UTC where it names no zone; None where it is no such text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
