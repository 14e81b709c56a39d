"""Merging replicas: a join, entries unchanged (guarantee 9)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidArgumentError, InvalidEntryError, MuseError, OpIdConflictError, OpLog
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact, exact_list
from tests.samples import examples
from tests.small_index import pages_of

UNIVERSE: list[dict[str, Any]] = [
    dict(
        entry(
            number,
            lamport_ts=number % 4,
            actor_id=("ada", "bob", "é")[number % 3],
            domain=("music", "code")[number % 2],
            domain_op={"op": ("insert", "delete")[number // 2 % 2], "n": number},
            **({"further": {"z": 1, "a": [number]}} if number % 5 == 0 else {}),
        )
    )
    for number in range(1, 13)
]
REPLICA = st.lists(st.sampled_from(UNIVERSE), max_size=12, unique_by=lambda each: each["op_id"])


def filled(repo: Path, name: str, made: list[dict[str, Any]]) -> OpLog:
    """An open log of its own with some entries, put there by a foreign program."""
    making.add_bytes(making.log_path(repo, name), b"".join(map(making.line, made)))
    return OpLog(repo, name)


def state(log: OpLog) -> tuple[list[str], list[str]]:
    """What all replicas must agree on: the set in total order, read plainly, and the deltas of the engine."""
    scanned = plain_scan.scan_file(log.path)
    ordered = exact_list(plain_scan.total_order(scanned.entries))
    assert len(scanned.duplicates) == len(scanned.conflicts) == 0
    return ordered, [exact(log.to_structured_delta(domain)) for domain in ("music", "code")]


@given(REPLICA, REPLICA)
@examples(50)
def test_guarantee_9_merge_adds_what_lacks_in_the_others_order(
    mine: list[dict[str, Any]], theirs: list[dict[str, Any]]
) -> None:
    """A merge appends the missing entries as they arrived there, and leaves old lines and the other log alone."""
    with making.fresh_repo() as repo, filled(repo, "a", mine) as one, filled(repo, "b", theirs) as two:
        before, other = one.path.read_bytes(), two.path.read_bytes()
        known = {each["op_id"] for each in mine}
        lacking = [each for each in theirs if each["op_id"] not in known]
        assert one.merge(two) == len(lacking)
        assert one.path.read_bytes().startswith(before)
        assert two.path.read_bytes() == other
        assert exact_list(making.assert_same_as_scan(one, one.path).entries) == exact_list(mine + lacking)
        size = one.path.stat().st_size
        assert one.merge(two) == 0
        assert one.path.stat().st_size == size


@given(REPLICA, REPLICA)
@examples(30)
def test_guarantee_9_merge_is_commutative(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """a+b and b+a are the same set, total order and deltas."""
    with (
        making.fresh_repo() as repo,
        filled(repo, "a", mine) as one,
        filled(repo, "b", theirs) as two,
        filled(repo, "a2", mine) as first,
        filled(repo, "b2", theirs) as second,
    ):
        first.merge(two)
        second.merge(one)
        assert state(first) == state(second)


@given(REPLICA, REPLICA, REPLICA)
@examples(30)
def test_guarantee_9_merge_is_associative_and_order_free(
    mine: list[dict[str, Any]], theirs: list[dict[str, Any]], third: list[dict[str, Any]]
) -> None:
    """Three replicas merged in any of six orders, or the last two first, give one state."""
    replicas = (mine, theirs, third)
    with making.fresh_repo() as repo:
        logs = [filled(repo, f"r{number}", each) for number, each in enumerate(replicas)]
        states = []
        for number, order in enumerate(itertools.permutations(range(3))):
            with OpLog(repo, f"order{number}") as log:
                for index in order:
                    log.merge(logs[index])
                states.append(state(log))
        with OpLog(repo, "right") as right, OpLog(repo, "grouped") as grouped:
            right.merge(logs[1])
            right.merge(logs[2])
            grouped.merge(logs[0])
            grouped.merge(right)
            states.append(state(grouped))
        for log in logs:
            log.close()
        assert all(each == states[0] for each in states)
        union = {each["op_id"]: each for each in itertools.chain(*replicas)}
        assert states[0][0] == exact_list(plain_scan.total_order(list(union.values())))


def test_merging_a_log_with_itself_adds_nothing(repo: Path, log: OpLog) -> None:
    """The same handle, and another handle of the same session, are no news."""
    log.append_many(entries(5))
    before = making.log_bytes(repo)
    assert log.merge(log) == 0
    with OpLog(repo, "s") as again:
        assert log.merge(again) == 0
    assert making.log_bytes(repo) == before


def test_merging_with_an_empty_session_makes_no_file(repo: Path, log: OpLog) -> None:
    """Nothing from nothing: neither log is created."""
    with OpLog(repo, "empty") as empty:
        assert log.merge(empty) == 0
    assert making.tree(repo) == {}


def test_merge_takes_neither_damage_nor_repeats(repo: Path, log: OpLog) -> None:
    """Damaged lines, repeats, conflicts and an unfinished tail of the other log stay there."""
    data = (
        *(making.line(entry(1)), b"\x00\x00\n", making.line(entry(1)), making.line(entry(1, actor_id="eve"))),
        *(making.line(entry(2))[:40] + b"\n", b"\n", making.line(entry(3)), making.line(entry(4))[:-1]),
    )
    making.add_bytes(making.log_path(repo, "other"), b"".join(data))
    with OpLog(repo, "other") as other:
        assert log.merge(other) == 2
    scanned = making.assert_same_as_scan(log, log.path)
    assert scanned.op_ids == [op_id(1), op_id(3)]
    assert not scanned.damaged
    assert log.verify().ok


def test_merged_entries_are_unchanged_whoever_wrote_them(repo: Path) -> None:
    """Timestamps, actors, key order, further keys and numbers of the other's entries are what they were."""
    made = [
        {"further": [1.0, 10**18], **entry(1, lamport_ts=2**53 - 5)},
        dict(entry(2, domain_op={"z": -0.0, "a": 1e22, "op": "é\u2028"}), more={"k": None}),
        dict(reversed(entry(3).items())),
    ]
    with filled(repo, "other", made) as other, OpLog(repo, "s", max_lamport_jump=None) as log:
        assert log.merge(other) == 3
    assert exact_list(plain_scan.scan(making.log_bytes(repo)).entries) == exact_list(made)


def test_a_conflict_between_replicas_is_refused_and_nothing_is_lost(repo: Path, log: OpLog) -> None:
    """The same op_id with other content raises OpIdConflictError; both logs stay readable, the first content stays."""
    log.append(entry(1))
    with filled(repo, "other", [dict(entry(2)), dict(entry(1, actor_id="eve")), dict(entry(3))]) as other:
        with pytest.raises(OpIdConflictError, match=op_id(1)):
            log.merge(other)
        assert log.get(op_id(1)) == entry(1)
        scanned = making.assert_same_as_scan(log, log.path)
        assert scanned.conflicts == []
        assert len(making.assert_same_as_scan(other, other.path).entries) == 3


@pytest.mark.parametrize("other", [None, 5, "s", [entry(1)]], ids=lambda other: type(other).__name__)
def test_merge_takes_a_log_only(log: OpLog, other: Any) -> None:
    """Anything but an OpLog is refused."""
    with pytest.raises((MuseError, TypeError)):
        log.merge(other)


def test_merged_entries_are_pending_after_a_checkpoint(repo: Path, log: OpLog) -> None:
    """What a merge brings has arrived after the checkpoint, low timestamps notwithstanding (guarantee 7)."""
    log.append_many(entries(5, start=50))
    log.checkpoint("one")
    with filled(repo, "other", [dict(each) for each in entries(4)]) as other:
        log.merge(other)
    assert exact_list(log.replay_since_checkpoint()) == exact_list(entries(4))


def test_replicas_that_both_go_on_meet_again(repo: Path) -> None:
    """Rounds of work apart and merges both ways: equal sets and deltas each time."""
    with OpLog(repo, "a") as one, OpLog(repo, "b") as two:
        for round_number in range(5):
            for log, actor in ((one, "ada"), (two, "bob")):
                for _ in range(round_number + 1):
                    log.record(actor, "music", {"op": "insert", "round": round_number})
            one.merge(two)
            two.merge(one)
            assert state(one) == state(two)
            assert one.next_lamport_ts() == two.next_lamport_ts()


def test_merge_reports_its_progress(repo: Path, log: OpLog) -> None:
    """The callback gets rising numbers that end at the whole."""
    told: list[tuple[int, int]] = []
    with OpLog(repo, "other") as other:
        other.append_many(entries(500))
        with pages_of(100):
            assert log.merge(other, progress=lambda done, total: told.append((done, total))) == 500
    assert len(told) > 2
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (500, 500)


def impossible(number_of_good: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Entries of which three can't be taken by a log that holds entry 1, and a word of the reason by op_id."""
    good = [dict(each) for each in entries(number_of_good, start=100)]
    refused = {op_id(1): "other content", op_id(2): "limit is 1000", op_id(3): "max_lamport_jump"}
    other_content = dict(entry(1, actor_id="eve"))
    too_long = dict(entry(2, domain_op={"op": "x" * 1_000}))
    too_late = dict(entry(3, lamport_ts=2**53 - 1))
    middle = number_of_good // 2
    return [other_content, *good[:middle], too_long, too_late, *good[middle:]], refused


@pytest.mark.parametrize("good", [4, 900])
@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_merge_can_pass_over_what_can_not_be_taken(
    repo: Path, caplog: pytest.LogCaptureFixture, good: int, durability: Literal["os", "fsync"]
) -> None:
    """Row 30: with "skip" all else is added and counted, on whatever page; what is skipped is told of, or logged."""
    made, refused = impossible(good)
    told: dict[str, str] = {}
    with (
        pages_of(100),
        filled(repo, "other", made) as other,
        OpLog(repo, "s", durability=durability, max_line_bytes=1_000) as log,
    ):
        log.append(entry(1))
        with pytest.raises(InvalidEntryError):
            log.merge(other)
        added = len(log)

        def tell(op: str, why: str) -> None:
            assert len(log) >= added, "whoever is told may use the handle"
            told[op] = why

        assert added + log.merge(other, on_conflict="skip", on_skip=tell) == 1 + good
        assert told.keys() == refused.keys()
        assert all(word in told[op] for op, word in refused.items())
        scanned = making.assert_same_as_scan(log, log.path)
        assert set(scanned.op_ids) == {op_id(1), *(each["op_id"] for each in made)} - {op_id(2), op_id(3)}
        assert scanned.duplicates == scanned.conflicts == []
        assert log.get(op_id(1)) == entry(1)
        assert log.record("ada", "music", {})["lamport_ts"] < 2**50

        assert log.merge(other, on_conflict="skip") == 0
    for op, word in refused.items():
        assert any(op in message and word in message for message in caplog.messages)


def test_merge_refuses_an_unknown_on_conflict(repo: Path, log: OpLog) -> None:
    """Only "raise" and "skip" are known."""
    with OpLog(repo, "other") as other, pytest.raises(InvalidArgumentError, match="on_conflict"):
        log.merge(other, on_conflict="ignore")  # type: ignore[arg-type]
