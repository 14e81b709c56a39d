"""What an entry is, a plain dict: its fields, how a fresh one is made, its op_id as text and as 16 bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from typing_extensions import TypedDict

from muse.core.errors import InvalidArgumentError

OP_ID_BYTES = 16
_NAMESPACE = uuid.UUID("4feea1cf-730c-4d36-bea3-22e8633bc86c")
"""Never to be changed: the op_ids of all keys hang on it."""


class OpEntry(TypedDict):
    """One operation of a session, as it stands in one line of `ops.jsonl` (docs/format.md)."""

    op_id: str
    """UUID in canonical text, of any version 1 … 8; the operation's identity, in every replica."""
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
    """A fresh entry with its own op_id and the current wall-clock time. `OpLog.append` checks it.

    The arguments are the fields of an `OpEntry`; `lamport_ts` is usually an `OpLog.next_lamport_ts()`.
    """
    # One text would become a list of its letters; as it is, it is refused as what it is.
    parents = parent_op_ids if isinstance(parent_op_ids, str) else list(parent_op_ids or ())
    return {
        "op_id": str(uuid.uuid4()),
        "actor_id": actor_id,
        "lamport_ts": lamport_ts,
        "parent_op_ids": cast("list[str]", parents),
        "domain": domain,
        "domain_op": domain_op,
        "created_at": datetime.now(UTC).isoformat(),
        "intent_id": intent_id,
        "reservation_id": reservation_id,
    }


def op_id_of(key: str) -> str:
    """The op_id that belongs to a key: the same UUID, of version 5, for the same key, in every process and version.

    For a caller whose messages may be delivered more than once: `log.record(…, op_id=op_id_of(message_id))` records
    each of them once. `key` is any text but "", and should name its kind too: "orders/17".
    """
    try:
        if type(key) is str and key:
            return str(uuid.uuid5(_NAMESPACE, key))
    except UnicodeEncodeError:
        pass
    raise InvalidArgumentError(f"key: must be text in UTF-8 and not empty, not {key!r}")


def parse_op_id(text: object) -> bytes | None:
    """The 16 bytes of `text` if it is a UUID in canonical text, else None."""
    try:
        parsed = uuid.UUID(text if isinstance(text, str) else "")
    except ValueError:
        return None
    return parsed.bytes if str(parsed) == text else None


def op_id_bytes(op_id: str) -> bytes:
    """The 16 bytes of a canonical UUID text."""
    return bytes.fromhex(op_id.replace("-", ""))


def op_ids_bytes(op_ids: Iterable[str]) -> bytes:
    """The 16 bytes of each of some canonical UUID texts, one after the other."""
    return bytes.fromhex("".join(op_ids).replace("-", ""))


def split_op_ids(packed: bytes) -> list[bytes]:
    """The op_ids, 16 bytes each, that stand one after the other in `packed`."""
    return [packed[at : at + OP_ID_BYTES] for at in range(0, len(packed), OP_ID_BYTES)]


def kind_of(domain_op: Mapping[str, Any]) -> str:
    """The value of `op`; "untyped" if that is not text: the engine gives an operation no other meaning."""
    kind = domain_op.get("op")
    return kind if isinstance(kind, str) else "untyped"


def parse_time(text: str) -> datetime | None:
    """The moment that an ISO 8601 text names, in UTC if it names no zone; None if it is not such a text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
