"""Positions: a follower goes on exactly behind the cut or the op_id that it is given, or is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from muse.core.op_log import Cut, InvalidArgumentError, InvalidCutError, OpLog
from tests import making
from tests.follow.following import collected
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list


def test_a_cut_at_any_entry_goes_on_behind_it(log: OpLog) -> None:
    """From the cut, or the op_id, of each entry given the next follower gives exactly the rest."""
    log.append_many(entries(5))
    making.add_bytes(log.path, b"damage\n" + making.line(entry(2)) + b"\n")
    log.append_many(entries(5, start=6))
    follower = log.follow(from_start=True, timeout=0)
    assert follower.cut() == Cut("s", 0, 0)
    for number, each in enumerate(follower, 1):
        rest = exact_list(entries(10 - number, start=number + 1))
        assert follower.cut().op_count == number
        assert exact_list(log.follow(since=follower.cut(), timeout=0)) == rest
        assert exact_list(log.follow(since=each["op_id"], timeout=0)) == rest
    assert follower.cut() == log.cut()


def test_a_cut_lies_behind_what_was_looked_at_and_did_not_match(log: OpLog) -> None:
    """Where nothing matches a follower still moves on, so that its cut spares the next one the work."""
    log.append_many(entries(3_000))
    follower = log.follow(from_start=True, timeout=0, domain="absent")
    assert list(follower) == []
    assert follower.cut() == log.cut()


def test_the_cut_of_a_log_that_was_taken_before_is_a_beginning(log: OpLog) -> None:
    """`log.cut()` and the empty cut are positions too."""
    log.append_many(entries(3))
    cut = log.cut()
    log.append_many(entries(2, start=4))
    assert exact_list(log.follow(since=cut, timeout=0)) == exact_list(entries(2, start=4))
    assert exact_list(log.follow(since=Cut("s", 0, 0), timeout=0)) == exact_list(entries(5))


UNKNOWN: list[tuple[Any, type[Exception]]] = [
    (op_id(7), InvalidArgumentError),
    ("no uuid", InvalidArgumentError),
    (Cut("s", 10, 1), InvalidCutError),
    (Cut("other", 0, 0), InvalidCutError),
    (Cut("s", 10**9, 1), InvalidCutError),
]


@pytest.mark.parametrize(("since", "error"), UNKNOWN, ids=str)
def test_a_position_that_is_none_of_this_log_is_refused(log: OpLog, since: Any, error: type[Exception]) -> None:
    """It is never taken for the beginning or the end: at once, or in an event loop when the iteration begins."""
    log.append(entry(1))
    with pytest.raises(error):
        log.follow(since=since)
    with pytest.raises(error):
        asyncio.run(collected(log, 1, since=since))
