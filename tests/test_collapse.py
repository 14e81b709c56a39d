"""Collapsing a domain's slice: total order, a summary by kind, one cut for delta and checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import MuseError, OpLog
from tests import making, plain_scan
from tests.making import entry
from tests.plain_scan import exact
from tests.samples import examples


def test_the_summary_counts_the_kinds_in_sorted_order(log: OpLog) -> None:
    """Fifteen operations of two kinds are "3 delete, 12 insert"."""
    for number in range(1, 16):
        log.append(entry(number, domain_op={"op": "delete" if number % 5 == 0 else "insert"}))
    assert log.to_structured_delta("music")["summary"] == "3 delete, 12 insert"


def test_a_domain_without_operations_says_no_ops(log: OpLog) -> None:
    """An absent domain, and one whose operations are all covered, give an empty delta."""
    log.append(entry(1))
    assert dict(log.to_structured_delta("absent")) == {"domain": "absent", "ops": [], "summary": "no ops"}
    log.checkpoint("one")
    assert dict(log.to_structured_delta("music")) == {"domain": "music", "ops": [], "summary": "no ops"}


@pytest.mark.parametrize("domain", [None, 5, b"music", ""])
def test_a_domain_of_the_wrong_kind_is_refused_or_empty(log: OpLog, domain: Any) -> None:
    """A domain that no entry can have never gives another domain's operations."""
    log.append(entry(1))
    try:
        ops = log.to_structured_delta(domain)["ops"]
    except MuseError as error:
        # It is refused as what it is: an argument that can not be.
        if not isinstance(error, ValueError):
            raise
        ops = []
    assert ops == []


STAMPED = st.tuples(
    st.integers(0, 4),
    st.sampled_from(["ada", "bob", "Ada", "é", "\uffff", "\U0001d11e"]),
    st.sampled_from(["music", "code"]),
    st.sampled_from(["insert", "delete", "Insert", "move", "é"]),
)


@given(st.lists(STAMPED, max_size=30), st.integers(0, 30), st.integers(0, 30))
@examples(60)
def test_guarantee_6_a_delta_is_the_slice_in_total_order(
    stamped: list[tuple[int, str, str, str]], one: int, two: int
) -> None:
    """With any timestamps, actors and kinds the delta between a checkpoint and a cut is the plain scan's."""
    low, high = sorted((min(one, len(stamped)), min(two, len(stamped))))
    made = [
        entry(number, lamport_ts=stamp, actor_id=actor, domain=domain, domain_op={"op": kind, "n": number})
        for number, (stamp, actor, domain, kind) in enumerate(stamped, 1)
    ]
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        log.append_many(made[:low])
        if low:
            log.checkpoint("low")
        log.append_many(made[low:high])
        cut = log.cut()
        log.append_many(made[high:])
        for domain in ("music", "code"):
            whole, part = log.to_structured_delta(domain), log.to_structured_delta(domain, upto=cut)
            assert exact(whole) == exact(plain_scan.delta([dict(each) for each in made[low:]], domain))
            assert exact(part) == exact(plain_scan.delta([dict(each) for each in made[low:high]], domain))


def test_collapse_then_checkpoint_at_one_cut_commits_every_op_exactly_once(repo: Path, log: OpLog) -> None:
    """Over many rounds with appends between collapse and checkpoint, each op is in exactly one delta."""
    committed: list[Any] = []
    with OpLog(repo, "s") as writer:
        for round_number in range(12):
            for step in range(round_number % 4 + 1):
                writer.record("ada", "music", {"op": "insert", "n": f"{round_number}.{step}"})
            cut = log.cut()
            writer.append(entry(1_000 + round_number, lamport_ts=0, domain_op={"op": "late", "n": round_number}))
            committed.extend(log.to_structured_delta("music", upto=cut)["ops"])
            writer.record("ada", "music", {"op": "insert", "n": f"between {round_number}"})
            log.checkpoint(f"round {round_number}", upto=cut)
    committed.extend(log.to_structured_delta("music")["ops"])
    everything = [each["domain_op"] for each in plain_scan.scan_file(log.path).entries]
    assert sorted(map(exact, committed)) == sorted(map(exact, everything))


def test_extra_lines_of_a_torn_log_are_in_no_delta(log: OpLog) -> None:
    """Damage, repeats and conflicts are collapsed by nobody."""
    made = entry(1)
    torn = making.line(entry(2))[:60] + b"\n"
    making.add_bytes(log.path, making.line(made) + torn + making.line(made) + making.line(entry(1, actor_id="eve")))
    expected = plain_scan.delta(plain_scan.scan_file(log.path).entries, "music")
    assert exact(log.to_structured_delta("music")) == exact(expected)
    assert len(expected["ops"]) == 1


def test_a_delta_says_who_did_what_if_it_is_asked_to(log: OpLog) -> None:
    """One op_id and one actor for each operation, in the order of the operations; else neither is there."""
    made = [entry(n, lamport_ts=n % 3, actor_id="ab"[n % 2], domain_op={"op": "x", "n": n}) for n in range(9)]
    log.append_many(made)
    found, expected = log.to_structured_delta("music", attribution=True), plain_scan.total_order(list(map(dict, made)))
    assert (found["op_ids"], found["actor_ids"]) == tuple(
        [each[name] for each in expected] for name in ("op_id", "actor_id")
    )
    assert found["ops"] == [each["domain_op"] for each in expected]
    assert log.to_structured_delta("music").keys() == {"domain", "ops", "summary"}
