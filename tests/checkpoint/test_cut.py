"""Cuts: exactly what had arrived, usable with any handle of the log, refused by any other log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import CheckpointBackwardsError, Cut, InvalidCutError, InvalidEntryError, OpLog
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact, exact_list
from tests.samples import examples


def test_guarantee_7_an_older_cut_may_still_be_checkpointed_when_nothing_newer_is(log: OpLog) -> None:
    """Cuts taken at several moments can be checkpointed one after the other, each covering its own entries."""
    cuts = []
    for number in range(1, 11):
        log.append(entry(number))
        cuts.append(log.cut())
    for number in (2, 5, 5, 9):
        assert log.checkpoint(f"at {number}", upto=cuts[number - 1])["op_count"] == number
        assert [each["op_id"] for each in log.replay_since_checkpoint()] == [op_id(n) for n in range(number + 1, 11)]
        upto = log.replay_since_checkpoint(upto=cuts[9])
        assert [each["op_id"] for each in upto] == [op_id(n) for n in range(number + 1, 11)]
    with pytest.raises(CheckpointBackwardsError):
        log.checkpoint("back", upto=cuts[7])
    record = log.read_checkpoint()
    assert record is not None
    assert record["op_count"] == 9


def test_replay_up_to_a_cut_before_the_checkpoint_is_empty(log: OpLog) -> None:
    """What arrived after the checkpoint and before an older cut is nothing."""
    log.append_many(entries(3))
    old = log.cut()
    log.append_many(entries(3, start=4))
    log.checkpoint("one")
    assert log.replay_since_checkpoint(upto=old) == []
    assert log.to_structured_delta("music", upto=old)["ops"] == []


def test_a_cut_is_exactly_what_has_arrived(repo: Path, log: OpLog) -> None:
    """A cut holds the session, the end of the last whole line, and the entries up to there; damage is none."""
    log.append_many(entries(4))
    assert log.cut() == Cut(session_id="s", byte_offset=len(making.log_bytes(repo)), op_count=4)
    ended = len(making.log_bytes(repo))
    making.add_bytes(log.path, b"\x00\x00\n" + making.line(entry(2)) + b"\n")
    cut = log.cut()
    assert (cut.op_count, cut.byte_offset) == (4, len(making.log_bytes(repo)))
    making.add_bytes(log.path, b'{"unfinished')
    assert log.cut() == cut
    log.append(entry(5))
    assert exact_list(log.replay_since_checkpoint(upto=cut)) == exact_list(entries(4))
    assert cut.byte_offset > ended
    assert log.checkpoint("one", upto=cut)["op_count"] == 4
    assert [each["op_id"] for each in log.replay_since_checkpoint()] == [op_id(5)]


def test_two_equal_moments_give_equal_cuts_and_cuts_are_values(repo: Path, log: OpLog) -> None:
    """Cuts of two handles at one moment are equal, usable with either, and can't be changed."""
    log.append_many(entries(4))
    with OpLog(repo, "s") as other:
        cut = other.cut()
        assert cut == log.cut()
        assert hash(cut) == hash(log.cut())
        log.append(entry(9))
        assert log.checkpoint("one", upto=cut)["op_count"] == 4
    with pytest.raises(AttributeError):
        cut.op_count = 5  # type: ignore[misc]


WRONG_CUTS: dict[str, Callable[[Cut], object]] = {
    "of another session": lambda cut: Cut("other", cut.byte_offset, cut.op_count),
    "beyond the log's end": lambda cut: Cut("s", cut.byte_offset + 10_000, cut.op_count + 5),
    "inside a line": lambda cut: Cut("s", cut.byte_offset - 3, cut.op_count - 1),
    "with too many ops": lambda cut: Cut("s", cut.byte_offset, cut.op_count + 1),
    "with too few ops": lambda cut: Cut("s", cut.byte_offset, cut.op_count - 1),
    "below zero": lambda _: Cut("s", -1, 0),
    "of a wrong type": lambda _: 5,
    "a tuple": lambda cut: ("s", cut.byte_offset, cut.op_count),
}


@pytest.mark.parametrize("name", WRONG_CUTS)
def test_a_cut_that_is_none_of_this_log_is_refused(log: OpLog, name: str) -> None:
    """A wrong cut raises InvalidCutError everywhere it can be given, and marks nothing."""
    log.append_many(entries(6))
    wrong: Any = WRONG_CUTS[name](log.cut())
    for use in (
        lambda: log.checkpoint("x", upto=wrong),
        lambda: log.replay_since_checkpoint(upto=wrong),
        lambda: log.to_structured_delta("music", upto=wrong),
    ):
        with pytest.raises((InvalidCutError, InvalidEntryError, TypeError)):
            use()
    assert log.read_checkpoint() is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["append", "late", "cut", "checkpoint", "old checkpoint", "reopen"]), st.integers(0, 9)
        ),
        max_size=25,
    )
)
@examples(40)
def test_guarantee_7_any_course_of_appends_cuts_and_checkpoints_keeps_to_the_plain_slice(
    steps: list[tuple[str, int]],
) -> None:
    """After any course of events replay and delta equal the slice of a list that the checkpoint has not covered."""
    with making.fresh_repo() as repo:
        made: list[Any] = []
        cuts: list[tuple[Cut, int]] = []
        covered = 0
        log = OpLog(repo, "s")
        for number, (step, pick) in enumerate(steps, 1):
            if step in {"append", "late"}:
                made.append(entry(number, lamport_ts=number if step == "append" else 0))
                log.append(made[-1])
            elif step == "cut" and made:
                cuts.append((log.cut(), len(made)))
            elif step == "checkpoint" and made:
                covered = log.checkpoint(str(number))["op_count"]
                assert covered == len(made)
            elif step == "old checkpoint" and cuts:
                cut, count = cuts[pick % len(cuts)]
                if count < covered:
                    with pytest.raises(CheckpointBackwardsError):
                        log.checkpoint(str(number), upto=cut)
                else:
                    covered = log.checkpoint(str(number), upto=cut)["op_count"]
                    assert covered == count
            elif step == "reopen":
                log.close()
                log = OpLog(repo, "s")
        assert exact_list(log.replay_since_checkpoint()) == exact_list(made[covered:])
        assert exact(log.to_structured_delta("music")) == exact(plain_scan.delta(made[covered:], "music"))
        for cut, count in cuts:
            assert exact_list(log.replay_since_checkpoint(upto=cut)) == exact_list(made[covered:count])
        log.close()
