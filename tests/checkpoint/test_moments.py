"""Moments: the cut of an op_id, a timestamp or a time, and what lies between two of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import Cut, InvalidArgumentError, InvalidCutError, OpEntry, OpLog, Options
from muse.core.storage.log_file import LogFile
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list
from tests.samples import examples

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


def made(seconds: Sequence[int | None], **changes: Any) -> list[OpEntry]:
    """Entries that were made so many seconds after noon; with None they do not tell."""
    times = ["some day" if each is None else (NOON + timedelta(seconds=each)).isoformat() for each in seconds]
    return [entry(number, created_at=time, **changes) for number, time in enumerate(times, 1)]


def cut_after(log: OpLog, count: int) -> Cut:
    """The cut after the first so many lines of a log, by its bytes."""
    return Cut("s", sum(map(len, log.path.read_bytes().splitlines(keepends=True)[:count])), count)


def test_a_cut_at_an_op_id_ends_with_it(log: OpLog) -> None:
    """All that had arrived before it and itself, wherever it lies."""
    log.append_many(entries(5))
    assert [log.cut(at=op_id(number)) for number in range(1, 6)] == [cut_after(log, number) for number in range(1, 6)]


@given(timestamps=st.lists(st.integers(0, 9), max_size=12), at=st.integers(0, 10))
@examples(20)
def test_a_cut_at_a_timestamp_is_the_shortest_with_every_entry_up_to_it(timestamps: list[int], at: int) -> None:
    """It ends with the last arrival of that timestamp or a lower one; without any it holds nothing."""
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        log.append_many(entry(number, lamport_ts=each) for number, each in enumerate(timestamps, 1))
        expected = max((number for number, each in enumerate(timestamps, 1) if each <= at), default=0)
        assert log.cut(at=at).op_count == expected


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 12)), max_size=20), st.integers(0, 12), st.integers(-1, 100)
)
@examples(20)
def test_a_cut_at_a_time_lies_where_the_time_is_passed(runs: list[tuple[int, int]], first: int, at: int) -> None:
    """What lies below was made by then, by the last time that is told, and the next one later; without a time it goes
    with the one before, however many there are. It is exact where no clock went back.
    """
    seconds = [None] * first + [each for second, without in runs for each in (second, *[None] * without)]
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        log.append_many(made(seconds))
        found = log.cut(at=NOON + timedelta(seconds=at)).op_count
        told = [each for each in seconds[:found] if each is not None]
        assert all(each <= at for each in told[-1:])
        assert all(each is not None and each > at for each in seconds[found : found + 1])
        log.append_many(made([*seconds, *range(101, 110)]))
        assert log.cut(at=NOON + timedelta(seconds=at)).op_count == found


def test_a_cut_at_a_time_passes_over_what_is_no_entry_or_no_time(log: OpLog) -> None:
    """Damaged and repeated lines lie with what is before them; an entry without a time goes with the one before."""
    first, second, third = made([1, 2, 3])
    damage = b"damaged\n" + making.line(first)
    for line in (damage, making.line(first), damage, making.line({**second, "created_at": "later"}), damage):
        making.add_bytes(log.path, line)
    making.add_bytes(log.path, making.line(third))
    assert log.cut(at=NOON).op_count == 0
    assert log.cut(at=NOON + timedelta(seconds=1)).op_count == 2
    assert log.cut(at=NOON.astimezone() + timedelta(hours=1)) == log.cut()


WRONG: list[tuple[Any, str]] = [
    (op_id(9), "no entry"),
    ("", "no entry"),
    (-1, "at least 0"),
    (True, "integer"),
    (1.5, "integer"),
    (datetime(2026, 5, 3), "time zone"),  # noqa: DTZ001 - that it has none is what is refused
]


@pytest.mark.parametrize(("at", "why"), WRONG, ids=str)
def test_what_is_no_moment_of_the_log_is_refused(log: OpLog, at: Any, why: str) -> None:
    """Never taken for the beginning or the end."""
    log.append_many(entries(2))
    with pytest.raises(InvalidArgumentError, match=why):
        log.cut(at=at)


def test_moments_before_and_after_all_are_cuts_too(log: OpLog) -> None:
    """Of nothing, and of what has arrived by now; also in a session that is not there."""
    assert log.cut(at=0) == log.cut(at=NOON) == Cut("s", 0, 0)
    log.append_many(made([0, 1, 2]))
    assert log.cut(at=0) == log.cut(at=NOON - timedelta(seconds=1)) == Cut("s", 0, 0)
    assert log.cut(at=99) == log.cut(at=NOON + timedelta(days=1)) == log.cut()


@given(since=st.integers(0, 30), upto=st.integers(0, 30), by_cut=st.booleans(), reverse=st.booleans())
@examples(20)
def test_what_lies_between_two_moments_is_what_arrived_between_them(
    since: int, upto: int, by_cut: bool, reverse: bool
) -> None:
    """query, to_dicts and count give the slice of the list, with the other filters, for cuts and for op_ids."""
    written: list[Any] = list(entries(30))
    with making.fresh_repo() as repo, OpLog(repo, "s", options=Options(segment_lines=8)) as log:
        log.append_many(written)
        spell: Callable[[int], Any] = (lambda n: cut_after(log, n)) if by_cut else (lambda n: op_id(n) if n else None)
        where = {"since": spell(since), "upto": spell(upto)}
        # Without an op_id to name, there is no end.
        stop = upto if by_cut or upto else 30
        expected = plain_scan.select(written[since:stop], actor_id="ada")
        found = list(log.query(actor_id="ada", reverse=reverse, **where))
        assert exact_list(found[::-1] if reverse else found) == exact_list(expected)
        assert log.count(actor_id="ada", **where) == len(log.to_dicts(actor_id="ada", **where)) == len(expected)
        assert exact_list(log.query(limit=3, **where)) == exact_list(written[since:stop][:3])


def test_bounds_that_are_none_of_this_log_are_refused_at_once(log: OpLog) -> None:
    """Not when the first entry is asked for; and two beginnings contradict each other."""
    log.append_many(entries(3))
    for name in ("since", "upto"):
        wrong: dict[str, Any] = {name: Cut("s", 7, 1)}
        with pytest.raises(InvalidCutError):
            log.query(**wrong)
        wrong = {name: op_id(9)}
        with pytest.raises(InvalidArgumentError, match=name):
            log.to_structured_delta("music", **wrong)
    with pytest.raises(InvalidArgumentError, match="since_checkpoint"):
        log.count(since_checkpoint=True, since=log.cut())


def test_a_moment_and_what_follows_it_are_sought(log: OpLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a log of 1.2 MB only some lines are read to find a time, and only what is asked for between two cuts."""
    log.append_many(made(list(range(4_000))))
    read: Counter[str] = Counter()
    plain_read = LogFile.read

    def counted(self: LogFile, start: int, stop: int) -> bytes:
        data = plain_read(self, start, stop)
        read["bytes"] += len(data)
        return data

    monkeypatch.setattr(LogFile, "read", counted)
    a, b = log.cut(at=NOON + timedelta(seconds=1_999)), log.cut(at=op_id(2_010))
    assert (a.op_count, b.op_count) == (2_000, 2_010)
    assert len(list(log.query(since=a, upto=b))) == log.count(since=a, upto=b) == 10
    assert 0 < read["bytes"] < 100_000


@given(
    timestamps=st.lists(st.integers(0, 9), min_size=3, max_size=20),
    cuts=st.lists(st.integers(0, 20), min_size=3, max_size=3).map(sorted),
)
@examples(20)
def test_deltas_that_follow_each_other_hold_what_one_over_both_holds(timestamps: list[int], cuts: list[int]) -> None:
    """delta(A, B) and delta(B, C) together are delta(A, C), which is that of the slice of the list."""
    written = [
        entry(n, lamport_ts=each, domain_op={"op": ("insert", "delete")[n % 2], "n": n})
        for n, each in enumerate(timestamps)
    ]
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        log.append_many(written)
        a, b, c = (cut_after(log, min(each, len(written))) for each in cuts)
        first, second = (log.to_structured_delta("music", since=x, upto=y) for x, y in ((a, b), (b, c)))
        both = log.to_structured_delta("music", since=a, upto=c)
        assert both == plain_scan.delta(written[a.op_count : c.op_count], "music")  # type: ignore[arg-type]
        together = sorted([*first["ops"], *second["ops"]], key=str)
        assert together == sorted(both["ops"], key=str)


def test_a_delta_without_a_beginning_begins_at_the_checkpoint(log: OpLog) -> None:
    """As before; with one, what was committed is collapsed again."""
    log.append_many(entries(8))
    log.checkpoint("c", upto=log.cut(at=op_id(4)))
    written: Any = entries(8)
    assert log.to_structured_delta("code", upto=op_id(7)) == plain_scan.delta(written[4:7], "code")
    assert log.to_structured_delta("code", since=Cut("s", 0, 0)) == plain_scan.delta(written, "code")
