"""`session_stats` against plain counting over the lines of the log."""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse import arrivals
from muse.arrivals import Arrivals
from muse.core.op_log import Cut, InvalidCutError, OpLog
from muse.stats import session_stats
from tests import making, plain_scan

Model = list[tuple[int, list[int]]]


@st.composite
def histories(draw: st.DrawFn) -> Model:
    """Ops by number with the numbers of their parents, in any order of arrival; a parent of 99 never comes."""
    parents = [
        draw(st.lists(st.integers(0, number - 1), max_size=3) if number else st.just([]))
        + draw(st.sampled_from([[], [], [], [99]]))
        for number in range(draw(st.integers(0, 12)))
    ]
    return draw(st.permutations(list(enumerate(parents))))


def concurrent_by_walking(history: Model) -> int:
    """Ops at whose arrival something was there that a walk over the parents that are there does not reach."""
    there: dict[int, list[int]] = {}
    found = 0
    for number, parents in history:
        reached: set[int] = set()
        pending = list(parents)
        while pending:
            at = pending.pop()
            if at in there and at not in reached:
                reached.add(at)
                pending += there[at]
        found += reached != set(there)
        there[number] = parents
    return found


@pytest.mark.parametrize("recent", [1, 1 << 16], ids=["every-parent-is-looked-up", "recent-ones-are-known"])
def test_causality_equals_a_walk_over_the_graph(recent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order of arrival, with parents that come later or never."""
    monkeypatch.setattr(arrivals, "_RECENT", recent)

    @given(histories())
    def check(history: Model) -> None:
        everything = {str(number) for number, _ in history}
        found = Arrivals(lambda op_id: op_id in everything)
        orphans = 0
        for place, (number, parents) in enumerate(history):
            found.add(str(number), 0, map(str, parents))
            orphans += not set(parents) <= {earlier for earlier, _ in history[:place]}
        assert found.concurrent == concurrent_by_walking(history)
        assert found.missing_parents == orphans
        assert found.roots == sum(not parents for _, parents in history)
        assert found.joins == sum(len(set(parents)) > 1 for _, parents in history)

    check()


def scattered(count: int, seed: int) -> list[Any]:
    """Entries of several actors, domains and kinds, with timestamps and times in disorder."""
    chance = random.Random(seed)
    times = ["", "soon", "2026-01-02T03:04:05.5", "2026-01-02T04:00:00+01:00", "2026-01-02T05:00:00Z"]
    return [
        making.entry(
            number,
            actor_id=chance.choice(["ada", "bob", "zo\u00eb"]),
            domain=chance.choice(["music", "code"]),
            domain_op=chance.choice([{"op": "insert"}, {"op": "delete"}, {"op": 7}, {}]),
            lamport_ts=chance.randrange(50),
            created_at=chance.choice(times),
        )
        for number in range(1, count + 1)
    ]


def kind_of(entry: dict[str, Any]) -> str:
    """The kind of an op, by the contract."""
    op = entry["domain_op"].get("op")
    return op if isinstance(op, str) else "untyped"


def test_everything_is_counted_as_a_plain_scan_counts_it(repo: Path) -> None:
    """Per actor, per domain, by kind, Lamport span, late ops and times that are none."""
    making.add_bytes(making.log_path(repo), b"".join(map(making.line, scattered(300, seed=1))) + b"{torn")
    entries = plain_scan.scan_file(making.log_path(repo)).entries

    with OpLog(repo, "s") as log:
        found = session_stats(log)

    stamps = [entry["lamport_ts"] for entry in entries]
    assert (found.session_id, found.ops) == ("s", 300)
    assert found.size_bytes == os.path.getsize(making.log_path(repo)) - len(b"{torn")
    assert found.kinds == Counter(map(kind_of, entries))
    assert (found.min_lamport_ts, found.max_lamport_ts) == (min(stamps), max(stamps))
    assert found.late == sum(stamp < max(stamps[:at], default=0) for at, stamp in enumerate(stamps))
    assert found.roots == 300
    assert found.wall_time.missing == sum(entry["created_at"] == "" for entry in entries)
    assert found.wall_time.unparsable == sum(entry["created_at"] == "soon" for entry in entries)
    assert list(found.actors) == sorted(found.actors, key=lambda name: (-found.actors[name].ops, name))
    for name, actor in found.actors.items():
        mine = [entry for entry in entries if entry["actor_id"] == name]
        own_stamps = [entry["lamport_ts"] for entry in mine]
        assert actor.ops == len(mine)
        assert actor.domains == Counter(entry["domain"] for entry in mine)
        assert actor.kinds == Counter(map(kind_of, mine))
        assert (actor.min_lamport_ts, actor.max_lamport_ts) == (min(own_stamps), max(own_stamps))
        assert actor.first_created_at == "2026-01-02T04:00:00+01:00"
        assert actor.last_created_at == "2026-01-02T05:00:00Z"
        assert sum(actor.bins) == sum(entry["created_at"].startswith("2026") for entry in mine)
    for name, domain in found.domains.items():
        mine = [entry for entry in entries if entry["domain"] == name]
        assert domain.ops == len(mine)
        assert domain.actors == Counter(entry["actor_id"] for entry in mine)


def test_times_out_of_order_are_those_before_one_that_came_earlier(repo: Path) -> None:
    """Counted against the latest so far, not against the one before."""
    hours = [5, 3, 4, 5, 6]
    times = [f"2026-01-02T{hour:02}:00:00Z" for hour in hours]
    making.add_bytes(
        making.log_path(repo),
        b"".join(making.line(making.entry(at, created_at=time)) for at, time in enumerate(times, 1)),
    )

    with OpLog(repo, "s") as log:
        found = session_stats(log).wall_time

    assert found.out_of_order == 2
    assert found.span_s == 3 * 3600
    assert sum(found.bins) == 5
    assert (found.first_created_at, found.last_created_at) == (times[1], times[4])
    start = datetime.fromisoformat(found.bins_start or "")
    assert start <= datetime.fromisoformat(times[1]) < start + timedelta(seconds=found.bin_width_s)


def test_the_bins_of_year_one_begin_with_it(log: OpLog) -> None:
    """There is no time before, though a bin that is a multiple of its width may begin there."""
    log.append_many([making.entry(1, created_at="0001-01-01T00:00:00Z"), making.entry(2)])

    assert session_stats(log).wall_time.bins_start == "0001-01-01T00:00:00+00:00"


def test_stats_up_to_a_cut_do_not_know_what_came_after(log: OpLog) -> None:
    """Neither entries nor bytes; pending is counted up to the cut as well."""
    log.append_many(making.entries(10))
    log.checkpoint("c1")
    log.append_many(making.entries(5, start=11))
    cut = log.cut()
    before = session_stats(log)
    log.append_many(making.entries(7, start=16))

    assert session_stats(log, upto=cut) == before
    assert (before.ops, before.pending) == (15, 5)
    assert session_stats(log).pending == 12
    with pytest.raises(InvalidCutError):
        session_stats(log, upto=Cut("other", 0, 0))
    with pytest.raises(InvalidCutError):
        session_stats(log, upto=Cut("s", cut.byte_offset * 9, cut.op_count))


def test_damaged_checkpoint_is_told_and_costs_nothing_else(log: OpLog) -> None:
    """What is pending is not known then; all else is."""
    log.append_many(making.entries(3))
    log.checkpoint("c1")
    (log.folder / "checkpoint.json").write_bytes(b"{")
    found = session_stats(log)

    assert (found.ops, found.pending, found.checkpoint) == (3, None, None)
    assert found.problem
    assert "checkpoint.json" in found.problem


def test_empty_session_has_no_stats_to_speak_of(log: OpLog) -> None:
    """Zeroes, and nothing made on disk."""
    found = session_stats(log)

    assert (found.ops, found.pending, found.actors, found.wall_time.bins) == (0, 0, {}, ())
    assert not log.folder.exists()


def test_observer_and_progress_are_told_of_each_entry_up_to_the_cut(log: OpLog) -> None:
    """What is observed is what was counted, in arrival order; the last call of the other says that all is done."""
    written = making.entries(2500)
    log.append_many(written)
    cut = log.cut()
    log.append_many(making.entries(10, start=10_000))
    observed: list[Any] = []
    told: list[tuple[int, int]] = []
    session_stats(log, upto=cut, observe=observed.append, progress=lambda done, total: told.append((done, total)))

    assert observed == written
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]
