"""The domain types: their fields are the contract's, and such operations go through the log unchanged."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from muse import domain
from muse.core.op_log import OpLog
from tests import making
from tests.plain_scan import exact, exact_list

KINDS: dict[str, tuple[type, set[str]]] = {
    "insert": (domain.InsertOp, {"address", "position", "content_id", "content_summary"}),
    "delete": (domain.DeleteOp, {"address", "position", "content_id", "content_summary"}),
    "move": (domain.MoveOp, {"address", "from_position", "to_position", "content_id"}),
    "replace": (
        domain.ReplaceOp,
        {"address", "position", "old_content_id", "new_content_id", "old_summary", "new_summary"},
    ),
    "mutate": (
        domain.MutateOp,
        {
            *("address", "entity_id", "old_content_id", "new_content_id", "fields"),
            *("old_summary", "new_summary", "position"),
        },
    ),
    "patch": (domain.PatchOp, {"address", "child_ops", "child_domain", "child_summary", "from_address"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_has_the_contracts_fields_and_is_tagged_by_op(kind: str) -> None:
    """Each TypedDict has exactly the fields of the contract, and an `op` that names its kind."""
    made, fields = KINDS[kind]
    assert set(made.__annotations__) == fields | {"op"}
    assert kind in str(get_type_hints(made)["op"])


def test_only_the_origin_of_a_patch_is_optional() -> None:
    """Every field is required but `from_address`."""
    for made, _ in KINDS.values():
        hints = get_type_hints(made, include_extras=True)
        optional = {name for name, hint in hints.items() if "NotRequired" in str(hint)}
        assert optional == ({"from_address"} if made is domain.PatchOp else set())


def test_a_domain_op_is_one_of_the_six() -> None:
    """DomainOp is the union of the six operations."""
    assert set(get_args(domain.DomainOp)) == {made for made, _ in KINDS.values()}


def test_a_delta_is_a_domain_its_ops_and_a_summary() -> None:
    """StructuredDelta has three fields and two more for attribution, FieldMutation two."""
    assert domain.StructuredDelta.__required_keys__ == {"domain", "ops", "summary"}
    assert domain.StructuredDelta.__optional_keys__ == {"op_ids", "actor_ids"}
    assert set(domain.FieldMutation.__annotations__) == {"old", "new"}


def test_every_kind_of_operation_is_recorded_and_collapsed_unchanged(log: OpLog) -> None:
    """Six typed operations, one nested in a patch, come back from the log and in the delta as they were."""
    insert = domain.InsertOp(op="insert", address="a", position=None, content_id="1", content_summary="C4")
    delete = domain.DeleteOp(op="delete", address="a", position=3, content_id="1", content_summary="C4")
    ops: list[domain.DomainOp] = [
        insert,
        delete,
        domain.MoveOp(op="move", address="a", from_position=1, to_position=2, content_id="1"),
        domain.ReplaceOp(
            op="replace",
            address="a",
            position=1,
            old_content_id="1",
            new_content_id="2",
            old_summary="C4",
            new_summary="D4",
        ),
        domain.MutateOp(
            op="mutate",
            address="a",
            entity_id="e",
            old_content_id="1",
            new_content_id="2",
            fields={"velocity": {"old": 96, "new": 64.5}, "tie": {"old": None, "new": [True]}},
            old_summary="C4",
            new_summary="C4",
            position=None,
        ),
        domain.PatchOp(
            op="patch",
            address="b",
            child_ops=[insert, delete],
            child_domain="notes",
            child_summary="1 delete, 1 insert",
            from_address="a",
        ),
    ]
    for op in ops:
        log.record("ada", "music", dict(op))
    assert exact_list(each["domain_op"] for each in log) == exact_list(ops)
    delta = log.to_structured_delta("music")
    assert exact(delta) == exact(
        {
            "domain": "music",
            "ops": ops,
            "summary": "1 delete, 1 insert, 1 move, 1 mutate, 1 patch, 1 replace",
        }
    )
    making.assert_same_as_scan(log, log.path)
