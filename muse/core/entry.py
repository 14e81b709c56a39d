"""What an entry is: its fields, how a fresh one is made, what is refused.

An entry is a plain dict. It is validated field by field with pydantic, and value by value for what
JSON can't carry exactly: a serialiser would write NaN as null, a tuple as a list, a UUID or an enum
member as text, and what is read would no longer equal what was appended.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic_core import ValidationError, core_schema
from typing_extensions import TypedDict

from muse.core.errors import InvalidEntryError, LimitExceededError
from muse.core.fields import checker_of
from muse.core.limits import MAX_LAMPORT_TS, MAX_NESTING


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


# Anchored: pydantic's regex engine knows no fullmatch, and its $ matches at the very end only.
_op_id = core_schema.str_schema(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
_name = core_schema.str_schema(min_length=1)
_text = core_schema.str_schema()

# The rules in the terms of pydantic's core: TypeAdapter would say the same from annotations, but takes longer to load
# than all the rest of the engine.
_validate = checker_of(
    {
        "op_id": _op_id,
        "actor_id": _name,
        "lamport_ts": core_schema.int_schema(ge=0, le=MAX_LAMPORT_TS),
        "parent_op_ids": core_schema.list_schema(_op_id),
        "domain": _name,
        "domain_op": core_schema.dict_schema(_text),
        "created_at": _text,
        "intent_id": _text,
        "reservation_id": _text,
    }
)


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


def check_fields(entry: Any) -> None:
    """Check that `entry` is a dict with the nine fields, each of its type; further keys are fine.

    Raises:
        InvalidEntryError: names the first field that is wrong.
    """
    try:
        _validate(entry)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> InvalidEntryError:
    first = error.errors(include_url=False, include_context=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    place = _place(part for part in first["loc"] if part != "[key]")
    if "[key]" in first["loc"]:
        return InvalidEntryError(f"{place}: the key {_shown(first['input'])} is not plain text{more}")
    if first["type"] == "missing":
        return InvalidEntryError(f"{place}: the field is missing{more}")
    if first["type"] == "string_pattern_mismatch":
        first["msg"] = "must be a UUID4 in canonical text, such as 1b4e28ba-2fa1-41d2-883f-0016d3cca427"
    kind = InvalidEntryError
    if place == "lamport_ts" and first["type"] in ("less_than_equal", "greater_than_equal"):
        kind = LimitExceededError
    return kind(f"{place}: {first['msg']}, but is {_shown(first['input'])}{more}")


def check_exact(value: Any, path: tuple[str | int, ...] = ()) -> None:
    """Check that JSON carries `value` exactly, type by type, without recursing past the limit.

    Integers past 64 bits and lone surrogates are left to the encoder, which sees them anyway.

    Raises:
        InvalidEntryError: names the path of the first value that JSON would turn into something else.
        LimitExceededError: it nests deeper than `MAX_NESTING`.
    """
    kind = type(value)
    if kind is dict:
        pairs: Iterable[tuple[Any, Any]] = value.items()
    elif kind is list:
        pairs = enumerate(value)
    elif kind in _EXACT:
        return
    elif kind is float:
        if math.isfinite(value):
            return
        raise InvalidEntryError(f"{_place(path)}: {value!r} has no JSON form: use null or text")
    else:
        raise InvalidEntryError(
            f"{_place(path)}: a {kind.__module__}.{kind.__qualname__} is not JSON and would be read back as "
            f"something else: convert it first ({_shown(value)})"
        )
    if len(path) >= MAX_NESTING:
        raise LimitExceededError(f"{_place(path[:6])}…: nests deeper than {MAX_NESTING} levels: flatten it")
    for key, item in pairs:
        if kind is dict and type(key) is not str:
            raise InvalidEntryError(f"{_place(path)}: key {_shown(key)} is not plain text, as JSON asks for")
        # The scalars are the bulk: asked here, they cost no call and no path.
        if type(item) not in _EXACT:
            check_exact(item, (*path, key))


_EXACT = frozenset({str, int, bool, type(None)})
_EXACT_FIELDS = _EXACT | {list, dict}


def is_plain(entry: OpEntry) -> bool:
    """Whether an entry with valid fields is known to be exact at one look: a flat operation of text and whole numbers.

    Most are. The keys are left to the encoder, which refuses what is not plain text.
    """
    return (
        _EXACT.issuperset(map(type, entry["domain_op"].values()))
        and _EXACT.issuperset(map(type, entry["parent_op_ids"]))
        # Of the nine fields only these two may hold others; a further key is looked into.
        and len(entry) == 9
        and _EXACT_FIELDS.issuperset(map(type, entry.values()))
    )


def find_unencodable(value: Any, path: tuple[str | int, ...] = ()) -> str:
    """Where and why the encoder refused `value`: an integer past 64 bits or a lone surrogate."""
    if isinstance(value, dict):
        for key, item in value.items():
            if found := find_unencodable(key, path) or find_unencodable(item, (*path, key)):
                return found
    elif isinstance(value, list):
        for number, item in enumerate(value):
            if found := find_unencodable(item, (*path, number)):
                return found
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"{_place(path)}: the integer {_shown(value)} does not fit 64 bits: store it as text"
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return f"{_place(path)}: the text {_shown(value)} holds a lone surrogate, which UTF-8 can't carry"
    return ""


def _place(path: Iterable[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".").encode("utf-8", "backslashreplace").decode() or "entry"


def _shown(value: Any) -> str:
    """`repr`, short enough for a message whatever the value's size."""
    if isinstance(value, (str, bytes)):
        value = value[:60]
    elif isinstance(value, int) and abs(value) > 2**128:
        return f"an integer of {value.bit_length()} bits"
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"a {type(value).__name__} of {len(value)} items"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
