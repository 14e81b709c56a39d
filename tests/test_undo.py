"""Undo: what takes operations back is appended, once, and the document is as if they had never been."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse import domain
from muse.core.op_log import AppendError, MuseError, OpEntry, OpLog, UnknownOpError
from muse.undo import NoInverseError, UndoConflictError, plan_undo
from tests import making
from tests.plain_scan import exact, exact_list, total_order
from tests.samples import examples

Document = dict[str, Any]


def apply(document: Document, op: dict[str, Any]) -> None:
    """What an operation does to a model document: at each address a list of contents and some fields."""
    place = document.setdefault(op["address"], {"contents": [], "fields": {}})
    contents = place["contents"]
    if op["op"] == "insert":
        contents.insert(op["position"], op["content_id"])
    elif op["op"] == "delete":
        assert contents.pop(op["position"]) == op["content_id"]
    elif op["op"] == "move":
        contents.insert(op["to_position"], contents.pop(op["from_position"]))
    elif op["op"] == "replace":
        assert contents[op["position"]] == op["old_content_id"]
        contents[op["position"]] = op["new_content_id"]
    elif op["op"] == "mutate":
        for name, change in op["fields"].items():
            assert place["fields"].get(name) == change["old"]
            place["fields"][name] = change["new"]
    else:
        for child in op["child_ops"]:
            apply(document, child)


def document_of(entries: list[Any]) -> Document:
    """The document after these, in total order, without the addresses at which nothing is left."""
    document: Document = {}
    for entry in total_order(entries):
        apply(document, entry["domain_op"])
    for place in document.values():
        place["fields"] = {name: value for name, value in place["fields"].items() if value is not None}
    return {address: place for address, place in document.items() if place["contents"] or place["fields"]}


def some_op(document: Document, address: str, chance: random.Random, *, may_nest: bool = True) -> dict[str, Any]:
    """An operation of any kind that fits the document at an address."""
    place = document.get(address, {"contents": [], "fields": {}})
    contents, size = place["contents"], len(place["contents"])
    kind = chance.choice(["insert", "insert", "mutate", "patch", *["delete", "move", "replace"] * (size > 0)])
    ids = {"old_summary": "", "new_summary": ""}
    at, new = (
        chance.randrange(size + (kind == "insert")) if kind not in ("mutate", "patch") else 0,
        chance.random(),
    )
    if kind == "patch" and may_nest:
        inner = copy.deepcopy(document)
        children = []
        for _ in range(3):
            children.append(some_op(inner, address, chance, may_nest=False))
            apply(inner, children[-1])
        return {"op": kind, "address": address, "child_ops": children, "child_domain": "", "child_summary": ""}
    if kind in ("mutate", "patch"):
        name = chance.choice("xyz")
        change = {"old": place["fields"].get(name), "new": chance.randrange(5)}
        named = {"entity_id": "e", "old_content_id": "a", "new_content_id": "b", "position": None}
        return {"op": "mutate", "address": address, "fields": {name: change}, **named, **ids}
    if kind == "move":
        to = chance.randrange(size)
        return {"op": kind, "address": address, "from_position": at, "to_position": to, "content_id": contents[at]}
    if kind == "replace":
        pair = {"old_content_id": contents[at], "new_content_id": str(new)}
        return {"op": kind, "address": address, "position": at, **pair, **ids}
    content = str(new) if kind == "insert" else contents[at]
    return {"op": kind, "address": address, "position": at, "content_id": content, "content_summary": ""}


def edited(log: OpLog, count: int, chance: random.Random, addresses: str = "abc") -> list[OpEntry]:
    """Edits by two actors that fit the document."""
    made = log.read_all()
    for _ in range(count):
        document = document_of(made)
        op = some_op(document, chance.choice(addresses), chance)
        made.append(log.record(chance.choice(["ada", "bob"]), "code", op))
    return made


def conflicts(entries: list[Any], chosen: list[Any]) -> bool:
    """Whether something that was not chosen came after something that was, at the same address."""
    return any(
        later not in chosen
        for number, entry in enumerate(entries)
        if entry in chosen
        for later in entries[number + 1 :]
        if later["domain_op"]["address"] == entry["domain_op"]["address"]
    )


@given(seed=st.integers(0, 10**6), count=st.integers(1, 16), how=st.sampled_from(["suffix", "ada", "any"]))
@examples(40)
def test_the_document_is_as_if_what_is_undone_had_never_been(seed: int, count: int, how: str) -> None:
    """For any edits and any choice without conflicts; an undo of the undo brings all back, a second one nothing."""
    chance = random.Random(seed)
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        made = edited(log, count, chance)
        chosen = {
            "suffix": made[chance.randrange(count) :],
            "ada": [entry for entry in made if entry["actor_id"] == "ada"],
            "any": chance.sample(made, chance.randrange(count + 1)),
        }[how]
        if conflicts(made, chosen):
            with pytest.raises(UndoConflictError):
                log.undo(chosen, by="eve")
            assert exact_list(log) == exact_list(made)
            return
        undone = log.undo(chosen, by="eve")
        assert [entry["parent_op_ids"] for entry in undone] == [
            [entry["op_id"]]
            for entry in total_order(chosen)[::-1]  # type: ignore[arg-type]
        ]
        assert document_of(log.read_all()) == document_of([entry for entry in made if entry not in chosen])
        assert log.undo(chosen, by="eve") == []
        redone = log.undo(undone, by="eve")
        assert document_of(log.read_all()) == document_of(made)
        assert len(log.undo(chosen, by="eve")) == len(chosen) == len(redone)
        assert document_of(log.read_all()) == document_of([entry for entry in made if entry not in chosen])
        # All in all, edits and undos alike: nothing is left.
        log.undo(log, by="ada")
        assert document_of(log.read_all()) == {}


@given(st.integers(0, 10**6))
@examples(40)
def test_the_inverse_of_an_inverse_is_the_operation(seed: int) -> None:
    """Of all six kinds, further fields and all; what was given is not changed."""
    chance = random.Random(seed)
    document: Document = {}
    for _ in range(8):
        op = {**some_op(document, "a", chance), "note": "kept"}
        before = exact(op)
        there, back = copy.deepcopy(document), domain.inverse(op)
        apply(document, op)
        undone = copy.deepcopy(document)
        apply(undone, back)
        assert (exact(op), exact(domain.inverse(back))) == (before, before)
        assert undone["a"]["contents"] == there.get("a", {"contents": []})["contents"]


def test_a_patch_takes_its_address_back() -> None:
    """A container that was renamed has its old name again."""
    patch = {"op": "patch", "address": "new", "from_address": "old", "child_ops": []}
    assert domain.inverse(patch) == {"op": "patch", "address": "old", "from_address": "new", "child_ops": []}


@pytest.mark.parametrize(
    "op",
    [{}, {"op": "paint"}, {"op": ["insert"]}, {"op": "move", "from_position": 1}, {"op": "mutate"}, {"op": "patch"}],
)
def test_what_has_no_inverse_is_named_and_nothing_is_undone(log: OpLog, op: dict[str, Any]) -> None:
    """Not the rest either, unless the domain knows what takes it back."""
    with pytest.raises(ValueError, match="operation of the kind"):
        domain.inverse(op)
    known = log.record("ada", "code", {"op": "insert", "address": "a"})
    entry = log.record("ada", "code", op)
    with pytest.raises(NoInverseError, match=entry["op_id"]):
        log.undo([known, entry], by="ada")
    assert len(log) == 2
    (undone,) = log.undo([entry["op_id"]], by="ada", inverse=lambda op: {"op": "un", "of": op.get("op")})
    assert undone["domain_op"] == {"op": "un", "of": op.get("op")}


def insert(log: OpLog, actor: str, **op: Any) -> OpEntry:
    """An edit of "code"."""
    return log.record(actor, "code", {"op": "insert", "address": "a", "position": 0, "content_id": actor, **op})


def test_a_later_operation_on_the_same_address_is_a_conflict(log: OpLog) -> None:
    """It is named, whoever made it; not if it is undone, chosen too, elsewhere, or if undo is forced."""
    first, other, later = insert(log, "ada"), insert(log, "bob", address="b"), insert(log, "ada")
    log.record("bob", "music", {"op": "insert", "address": "a"})
    with pytest.raises(UndoConflictError, match=f"'ada' worked on 'a' later, by {later['op_id']}: ") as caught:
        log.undo([first], by="eve")
    assert (caught.value.entry, caught.value.later) == (first, later)
    assert [each.entry for each in plan_undo(log, [first], force=True)] == [first]
    assert [each.entry for each in plan_undo(log, [first, later])] == [later, first]
    assert [each.entry for each in plan_undo(log, [other])] == [other]
    log.undo([later], by="bob")
    assert [each.entry for each in plan_undo(log, [first])] == [first]


def test_what_comes_later_is_told_by_the_total_order(log: OpLog) -> None:
    """Not by who arrived first: an older operation that came late is no conflict."""
    first = insert(log, "ada")
    log.append(making.entry(7, lamport_ts=0, domain="code", domain_op=first["domain_op"]))
    assert len(log.undo([first], by="eve")) == 1


def test_an_operation_without_an_address_may_be_about_all(log: OpLog) -> None:
    """So it stands in the way of what came before it in its domain, and all that follows in its way."""
    first, everywhere = insert(log, "ada"), log.record("bob", "code", {"op": "insert"})
    with pytest.raises(UndoConflictError, match=r"'bob' worked in 'code' later, by .*, and one of the two") as caught:
        log.undo([first], by="eve")
    assert caught.value.later == everywhere
    last = insert(log, "ada", address="b")
    with pytest.raises(UndoConflictError, match=last["op_id"]):
        log.undo([everywhere], by="eve")


def test_an_undo_that_was_forced_stays_in_the_way(log: OpLog) -> None:
    """It takes back what was there before, so after it the operation in between is not the last one."""
    first, second = insert(log, "ada"), insert(log, "bob")
    (forced,) = log.undo([first], by="eve", force=True)
    with pytest.raises(UndoConflictError, match=forced["op_id"]):
        log.undo([second], by="eve")


def test_an_operation_and_its_undo_settle_each_other(log: OpLog) -> None:
    """Where both are chosen nothing is left to do; the undo alone is redone."""
    entry = insert(log, "ada")
    (undone,) = log.undo([entry], by="ada")
    assert plan_undo(log, log.query(actor_id="ada")) == []
    assert [each.entry for each in plan_undo(log, [undone])] == [undone]


def test_an_operation_that_is_not_there_is_named(log: OpLog) -> None:
    """By its op_id, from another log too; nothing is undone."""
    entry = insert(log, "ada")
    with pytest.raises(UnknownOpError, match=making.op_id(9)):
        log.undo([entry, making.op_id(9)], by="eve")
    assert exact_list(log) == exact_list([entry])


def test_what_was_redacted_is_named_as_that(log: OpLog) -> None:
    """Nobody knows what it was; what an undo of it took back before is undone all the same."""
    entry, other = insert(log, "ada"), insert(log, "ada")
    log.undo([other], by="ada")
    log.redact(entry["op_id"], by="eve", why="a secret")
    with pytest.raises(NoInverseError, match=f"{entry['op_id']}: it was redacted: leave it out"):
        log.undo([entry, other], by="ada", force=True)


@pytest.mark.parametrize("wrong", ["one", "op_id", "number", "empty"])
def test_what_is_no_list_of_operations_is_refused(log: OpLog, wrong: str) -> None:
    """As an error of the log that says so; a single operation is what people try first."""
    entry = insert(log, "ada")
    given: Any = {"one": entry, "op_id": entry["op_id"], "number": [5], "empty": [{}]}[wrong]
    with pytest.raises(MuseError, match="put a single one into a list" if wrong in ("one", "op_id") else "op_id"):
        log.undo(given, by="eve")
    assert exact_list(log) == exact_list([entry])


def test_the_inverses_are_one_batch(log: OpLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go through `append_many` at once, so all of them are there or none."""
    made = [insert(log, "ada") for _ in range(5)]
    batches: list[list[OpEntry]] = []
    plain = OpLog.append_many

    def refused(self: OpLog, entries: Any) -> int:
        batches.append(list(entries))
        if len(batches) == 1:
            raise AppendError(28, "no room")
        return plain(self, batches[-1])

    monkeypatch.setattr(OpLog, "append_many", refused)
    with pytest.raises(AppendError):
        log.undo(made, by="eve")
    assert len(log) == 5
    assert len(log.undo(made, by="eve")) == 5
    assert list(map(len, batches)) == [5, 5]
