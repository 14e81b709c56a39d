"""Validation as one would put it in front of a table: the nine fields by pydantic, and exact JSON value by value.

It refuses what the engine refuses, and takes about as long. Integers past 64 bits and lone surrogates are left to
orjson, which raises on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from muse.core.op_log import OpEntry

_OpId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
_Name = Annotated[str, Field(min_length=1)]


@with_config(ConfigDict(strict=True, extra="allow"))
class _Entry(TypedDict):
    op_id: _OpId
    actor_id: _Name
    lamport_ts: Annotated[int, Field(ge=0, lt=2**53)]
    parent_op_ids: list[_OpId]
    domain: _Name
    domain_op: dict[str, Any]
    created_at: str
    intent_id: str
    reservation_id: str


_FIELDS = TypeAdapter(_Entry)
_SCALARS = frozenset({str, int, bool, type(None)})
_IN_FIELDS = _SCALARS | {list, dict}
_TEXT = frozenset({str})


def check(entry: OpEntry) -> None:
    """Check one entry.

    Raises:
        ValueError: a field is wrong, or JSON can't carry a value exactly.
    """
    _FIELDS.validate_python(entry)
    if not _is_flat(entry):
        _check_exact(entry)


def _is_flat(entry: OpEntry) -> bool:
    """Whether an entry holds text and whole numbers only, as most do: seen without a walk."""
    return (
        len(entry) == 9
        and _IN_FIELDS.issuperset(map(type, entry.values()))
        and _SCALARS.issuperset(map(type, entry["parent_op_ids"]))
        and _SCALARS.issuperset(map(type, entry["domain_op"].values()))
    )


def _check_exact(value: Any) -> None:
    kind = type(value)
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            raise ValueError("a key is not text")
        items: Iterable[Any] = value.values()
    elif kind is list:
        items = value
    elif kind in _SCALARS or (kind is float and math.isfinite(value)):
        return
    else:
        raise ValueError(f"{value!r} is not JSON")
    for item in items:
        _check_exact(item)
