"""The typed operations that a domain records, and the delta they collapse into.

Every operation is a plain JSON object. Its `op` field says which kind it is. `address` names a place inside
the domain's document, such as "note:12" or "src/app.py". `position` counts from 0 within the address, and is
None if order has no meaning there. A `content_id` is the hash under which the domain stores the content.

The op log accepts any JSON object as `domain_op`. These types are for domain plugins and type checkers.
"""

from collections.abc import Mapping
from typing import Any, Generic, Literal, NotRequired

from typing_extensions import TypedDict, TypeVar

__all__ = [
    "DeleteOp",
    "DomainOp",
    "FieldMutation",
    "InsertOp",
    "MoveOp",
    "MutateOp",
    "PatchOp",
    "ReplaceOp",
    "StructuredDelta",
    "inverse",
]


class InsertOp(TypedDict):
    """Content appears at `address`."""

    op: Literal["insert"]
    address: str
    position: int | None
    content_id: str
    content_summary: str


class DeleteOp(TypedDict):
    """Content disappears from `address`."""

    op: Literal["delete"]
    address: str
    position: int | None
    content_id: str
    content_summary: str


class MoveOp(TypedDict):
    """Content changes its position within `address`."""

    op: Literal["move"]
    address: str
    from_position: int
    to_position: int
    content_id: str


class ReplaceOp(TypedDict):
    """Content at `address` is replaced by other content."""

    op: Literal["replace"]
    address: str
    position: int | None
    old_content_id: str
    new_content_id: str
    old_summary: str
    new_summary: str


class FieldMutation(TypedDict):
    """One field of an entity: its value before and after."""

    old: Any
    new: Any


class MutateOp(TypedDict):
    """An entity keeps its identity while some of its fields change."""

    op: Literal["mutate"]
    address: str
    entity_id: str
    old_content_id: str
    new_content_id: str
    fields: dict[str, FieldMutation]
    old_summary: str
    new_summary: str
    position: int | None


class PatchOp(TypedDict):
    """A group of operations inside one container, in the order they apply."""

    op: Literal["patch"]
    address: str
    child_ops: list["DomainOp"]
    child_domain: str
    child_summary: str
    from_address: NotRequired[str]


DomainOp = InsertOp | DeleteOp | MoveOp | ReplaceOp | MutateOp | PatchOp
"""An operation of any of the six kinds; its `op` field says which."""

Op = TypeVar("Op", default=Any)


class StructuredDelta(TypedDict, Generic[Op]):
    """What a commit receives from one domain: its operations in total order, and how many there are of each kind.

    For a type checker the operations are any JSON objects; those of a domain that has only these six kinds are a
    `StructuredDelta[DomainOp]`.
    """

    domain: str
    ops: list[Op]
    summary: str
    op_ids: NotRequired[list[str]]
    """The op_id of each operation, if attribution was asked for."""
    actor_ids: NotRequired[list[str]]
    """Who made each, if attribution was asked for."""


_WAYS: dict[str, tuple[tuple[str, str], ...]] = {
    "insert": (),
    "delete": (),
    "move": (("from_position", "to_position"),),
    "replace": (("old_content_id", "new_content_id"), ("old_summary", "new_summary")),
    "mutate": (("old_content_id", "new_content_id"), ("old_summary", "new_summary")),
    "patch": (("from_address", "address"),),
}
"""By kind, the fields that say from what to what it goes."""


def inverse(op: Mapping[str, Any]) -> dict[str, Any]:
    """The operation that takes back one of the six kinds; that of the inverse is the operation itself.

    An insert and a delete become each other. A move, a replace and a mutate go the other way. A patch takes its
    children back in the opposite order, and its address too if it has a `from_address`. All other fields stay.

    Raises:
        ValueError: the operation is of another kind, or a field is missing.
    """
    kind = op.get("op")
    if not isinstance(kind, str) or kind not in _WAYS:
        raise ValueError(f"nothing is known that takes back an operation of the kind {kind!r}")
    found = dict(op)
    try:
        for old, new in _WAYS[kind] if kind != "patch" or "from_address" in op else ():
            found[old], found[new] = op[new], op[old]
        if kind in ("insert", "delete"):
            found["op"] = "delete" if kind == "insert" else "insert"
        elif kind == "mutate":
            fields = op["fields"].items()
            found["fields"] = {name: {**each, "old": each["new"], "new": each["old"]} for name, each in fields}
        elif kind == "patch":
            found["child_ops"] = [inverse(child) for child in reversed(op["child_ops"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an operation of the kind {kind!r} lacks what takes it back: {error!r}") from None
    return found
