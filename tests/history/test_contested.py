"""Contested values: those of a plain closure of happened-before, on generated logs of any shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidArgumentError, OpEntry, OpLog
from tests import making
from tests.making import entry, op_id
from tests.plain_scan import exact
from tests.samples import examples
from tests.small_index import segments_of

ACTORS = ("ada", "bob", "cy", "dee")
VALUES = ("a", "b", 1, 1.0, None)


def brute_force(ordered: list[OpEntry], field: str) -> dict[str, list[str]]:
    """The op_ids that are concurrent to another one on the same value, by value, from the closure of all links."""
    knows: dict[str, set[str]] = {}
    last: dict[str, str] = {}
    for each in ordered:
        direct = [*each["parent_op_ids"], *filter(None, [last.get(each["actor_id"])])]
        knows[each["op_id"]] = {above for parent in direct if parent in knows for above in (parent, *knows[parent])}
        last[each["actor_id"]] = each["op_id"]
    on_value: dict[str, list[str]] = {}
    for each in ordered:
        if field in each["domain_op"]:
            on_value.setdefault(exact(each["domain_op"][field]), []).append(each["op_id"])
    found = {
        value: [
            one
            for one in op_ids
            if any(one != other and one not in knows[other] and other not in knows[one] for other in op_ids)
        ]
        for value, op_ids in on_value.items()
    }
    return {value: op_ids for value, op_ids in found.items() if op_ids}


@st.composite
def logs(draw: st.DrawFn) -> list[OpEntry]:
    """Operations of a few actors on a few values, with parents before it or missing ones, in any arrival order."""
    made: list[OpEntry] = []
    for number in range(1, draw(st.integers(1, 14)) + 1):
        before = [each["op_id"] for each in made[-5:]] + [op_id(999)] * draw(st.booleans())
        parents = draw(st.lists(st.sampled_from(before), max_size=2, unique=True)) if before else []
        value = draw(st.sampled_from(VALUES))
        op: dict[str, Any] = {"op": "x", "address": value} if draw(st.integers(0, 5)) else {"op": "x"}
        ts = draw(st.sampled_from([number, number, 0]))
        actor = draw(st.sampled_from(ACTORS))
        made.append(entry(number, actor_id=actor, lamport_ts=ts, parent_op_ids=parents, domain_op=op))
    return draw(st.permutations(made)) if draw(st.booleans()) else made


@examples(60)
@given(logs())
def test_contested_values_are_those_of_a_plain_closure(made: list[OpEntry]) -> None:
    """With missing parents, wrong timestamps and late arrivals; in causal order, the value with most of them first."""
    with making.fresh_repo() as repo, segments_of(4), OpLog(repo, "s") as log:
        log.append_many(made)
        ordered = [each.entry for each in log.history.causal_order()]
        found = list(log.history.contested("address"))
    assert {exact(each.value): [one["op_id"] for one in each.entries] for each in found} == brute_force(
        ordered, "address"
    )
    places = [[ordered.index(one) for one in each.entries] for each in found]
    assert places == sorted(places, key=lambda numbers: (-len(numbers), numbers[0]))


def test_what_is_known_through_others_is_known(log: OpLog) -> None:
    """Cy knows Bob's operation, which knew Ada's; Dee knows neither."""
    said = {"op": "x", "address": "a"}
    log.append(entry(1, actor_id="ada", domain_op=said))
    log.append(entry(2, actor_id="bob", parent_op_ids=[op_id(1)]))
    log.append(entry(3, actor_id="cy", parent_op_ids=[op_id(2)], domain_op=said))
    assert list(log.history.contested("address")) == []

    log.append(entry(4, actor_id="dee", domain_op=said))
    (found,) = log.history.contested("address")
    assert [each["op_id"] for each in found.entries] == [op_id(1), op_id(3), op_id(4)]


def test_an_operation_that_depends_on_itself_ends_the_search(log: OpLog) -> None:
    """Links in a circle, which only wrong data has, are not followed for ever."""
    circle = [entry(n, actor_id=a, parent_op_ids=[op_id(3 - n)]) for n, a in ((1, "ada"), (2, "bob"))]
    log.append_many(circle)

    assert list(log.history.contested("address")) == []


def test_what_is_asked_for_by_path_is_found_inside(log: OpLog) -> None:
    """A dotted path, and a field that no operation has."""
    log.append_many(entry(n, actor_id=a, domain_op={"at": {"line": 7}}) for n, a in ((1, "ada"), (2, "bob")))

    assert [(each.value, len(each.entries)) for each in log.history.contested("at.line")] == [(7, 2)]
    assert list(log.history.contested("address")) == []
    with pytest.raises(InvalidArgumentError):
        log.history.contested(5)  # type: ignore[arg-type]


def test_an_empty_log_has_no_contested_values(log: OpLog) -> None:
    """Nor does it need to exist."""
    assert list(log.history.contested("address")) == []
