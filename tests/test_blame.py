"""Blame: who touched a value, told from a plain scan of the log."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from muse.blame import blame
from muse.core.op_log import OpLog
from tests import making, plain_scan
from tests.making import entry
from tests.samples import examples

ENTRIES = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.integers(0, 5), st.sampled_from(["x", "y", 1]), st.sampled_from(["in", "del"])
    ),
    max_size=15,
)


@examples(30)
@given(ENTRIES)
def test_each_actor_is_told_with_its_first_and_last_operation(drawn: list[tuple[str, int, Any, str]]) -> None:
    """Last touched first, by total order and not by arrival; numbers and kinds are those of the scan."""
    made = [
        entry(number, actor_id=actor, lamport_ts=ts, domain_op={"op": kind, "address": address})
        for number, (actor, ts, address, kind) in enumerate(drawn, 1)
    ]
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        log.append_many(made)
        found = blame(log, "x")
    ordered = plain_scan.total_order([dict(each) for each in made if each["domain_op"]["address"] == "x"])
    assert [each.actor_id for each in found] == list(dict.fromkeys(each["actor_id"] for each in reversed(ordered)))
    for each in found:
        theirs = [one for one in ordered if one["actor_id"] == each.actor_id]
        assert (each.first, each.last, each.ops) == (theirs[0], theirs[-1], len(theirs))
        kinds = [one["domain_op"]["op"] for one in theirs]
        assert each.kinds == {kind: kinds.count(kind) for kind in kinds}


def test_filters_leave_operations_out(log: OpLog) -> None:
    """Those of `query`, a `where` of one's own included; any field may say what was touched."""
    log.append_many(entry(n, actor_id=a, domain_op={"op": "x", "at": {"line": n % 2}, "n": n}) for n, a in
                    ((1, "ada"), (2, "bob"), (3, "cy"), (5, "bob")))  # fmt: skip

    assert [each.actor_id for each in blame(log, 1, field="at.line")] == ["bob", "cy", "ada"]
    assert [each.actor_id for each in blame(log, 1, field="at.line", not_actor_id="bob")] == ["cy", "ada"]
    assert [each.actor_id for each in blame(log, 1, field="at.line", where={"n": 3})] == ["cy"]
