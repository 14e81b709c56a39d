"""describe_sessions: one typed summary per session, equal to what a scan of each log counts."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muse.core.op_log import OpLog, SessionSummary, describe_sessions
from tests import making, plain_scan
from tests.making import entries, entry


def expected_of(repo: Path, session: str, covered: int) -> dict[str, object]:
    """The countable part of a summary, by a plain scan."""
    found = plain_scan.scan(making.log_bytes(repo, session)).entries
    return {
        "session_id": session,
        "ops": len(found),
        "pending": len(found) - covered,
        "max_lamport_ts": plain_scan.highest_lamport_ts(found),
        "actors": plain_scan.tally(found, "actor_id"),
        "domains": plain_scan.tally(found, "domain"),
        "size_bytes": len(making.log_bytes(repo, session)),
    }


def countable(summary: SessionSummary) -> dict[str, object]:
    """The same part of what the engine said."""
    names = ("session_id", "ops", "pending", "max_lamport_ts", "actors", "domains", "size_bytes")
    return {name: getattr(summary, name) for name in names}


def test_a_summary_counts_what_a_plain_scan_counts(repo: Path) -> None:
    """Sorted by id; with and without checkpoint, duplicates, damage and late timestamps; also without any index."""
    with OpLog(repo, "b") as log:
        log.append_many([entry(1, lamport_ts=900), *entries(20, start=2)])
        log.checkpoint("one")
        log.append_many(entries(5, start=50))
    with OpLog(repo, "a") as log:
        log.append_many(entries(3))
    foreign = making.line(entry(1)) + b"damage\n" + making.line(entry(1)) + b"\n" + making.line(entry(2)) + b'{"tail'
    making.add_bytes(making.log_path(repo, "c"), foreign)
    for _ in range(2):
        found = list(describe_sessions(repo))
        assert [each.session_id for each in found] == ["a", "b", "c"]
        assert countable(found[0]) == expected_of(repo, "a", 0)
        assert countable(found[1]) == expected_of(repo, "b", 21)
        assert countable(found[2]) == expected_of(repo, "c", 0)
        assert [each.checkpoint and each.checkpoint["op_count"] for each in found] == [None, 21, None]
        assert all(each.problem is None for each in found)
        for name in "abc":
            making.drop_index(repo, name)


def test_a_summary_follows_what_others_append(repo: Path, log: OpLog) -> None:
    """Lines that the index has not seen yet are counted."""
    log.append_many(entries(4))
    making.add_bytes(log.path, making.line(entry(9)))
    (summary,) = describe_sessions(repo)
    assert (summary.ops, summary.pending) == (5, 5)


def test_a_damaged_checkpoint_is_a_problem_of_its_session_alone(repo: Path) -> None:
    """The summary says what is wrong and leaves `pending` open; other sessions are described as ever."""
    for name in ("a", "b"):
        with OpLog(repo, name) as log:
            log.append_many(entries(4))
            log.checkpoint("one")
    making.log_path(repo, "a").with_name("checkpoint.json").write_bytes(b'{"half')
    bad, good = describe_sessions(repo)
    assert (bad.ops, bad.pending, bad.checkpoint) == (4, None, None)
    assert bad.problem is not None
    assert "checkpoint.json" in bad.problem
    assert (good.ops, good.pending, good.problem) == (4, 0, None)


def test_a_summary_is_given_as_plain_json(repo: Path, log: OpLog) -> None:
    """to_dict holds every field and can be written as JSON."""
    log.append_many(entries(4))
    log.checkpoint("one")
    (summary,) = describe_sessions(repo)
    told = json.loads(json.dumps(summary.to_dict()))
    assert {name: told[name] for name in expected_of(repo, "s", 4)} == expected_of(repo, "s", 4)
    assert told["checkpoint"]["snapshot_id"] == "one"
    assert told["problem"] is None


def test_describing_sessions_changes_no_log_and_no_checkpoint(repo: Path) -> None:
    """Only an index may be made; the truth stays byte for byte."""
    making.add_bytes(making.log_path(repo, "a"), making.line(entry(1)) + b"torn")
    before = making.tree(repo)
    list(describe_sessions(repo))
    after = making.tree(repo)
    assert {name: data for name, data in after.items() if "index.db" not in name} == before


def test_pace_is_that_of_the_last_hundred_entries(repo: Path) -> None:
    """Three a minute at the end, whatever the beginning was, whether they are folded, in the tail or on both sides."""
    slow = [entry(number, created_at="2020-01-01T00:00:00Z") for number in range(1, 3000)]
    for session, later in (("a", 99), ("b", 100), ("c", 700)):
        with OpLog(repo, session) as log:
            log.append_many(slow)
            for number in range(later):
                at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=20 * number)
                log.append(entry(5000 + number, created_at=at.isoformat()))
    a, b, c = (each.ops_per_minute for each in describe_sessions(repo))
    six_years_min = (datetime(2026, 1, 1, 0, 32, 40, tzinfo=UTC) - datetime(2020, 1, 1, tzinfo=UTC)) / timedelta(
        minutes=1
    )
    assert a == pytest.approx(99 / six_years_min)
    assert [b, c] == pytest.approx([3, 3])


@pytest.mark.parametrize("times", [[""], ["", "2026-01-01"], ["2026-01-01", "soon"], ["2026-01-02", "2026-01-01"]])
def test_times_that_tell_no_span_give_no_pace(repo: Path, times: list[str]) -> None:
    """One entry, no time, or a clock that went backwards."""
    with OpLog(repo, "s") as log:
        log.append_many([entry(number, created_at=time) for number, time in enumerate(times, start=1)])
    (summary,) = describe_sessions(repo)

    assert summary.ops_per_minute is None


@pytest.mark.parametrize(
    ("number", "each_s", "pace"),
    [
        (3, 0.01, None),
        (3, 20, None),
        (3, 30, 2),
        (9, 6, None),
        (9, 7.5, 8),
        (10, 0.1, None),
        (10, 0.2, 300),
        (2, 90, 2 / 3),
    ],
)
def test_few_entries_in_a_short_time_give_no_pace(repo: Path, number: int, each_s: float, pace: float | None) -> None:
    """Three in 20 ms are no 6,000 a minute: it takes a minute, or ten entries and a second."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with OpLog(repo, "s") as log:
        for n in range(number):
            log.append(entry(n + 1, created_at=(began + timedelta(seconds=each_s * n)).isoformat()))
    (summary,) = describe_sessions(repo)

    assert summary.ops_per_minute == (None if pace is None else pytest.approx(pace))


@pytest.mark.parametrize("folded", [False, True])
def test_time_of_the_last_entry_is_that_of_the_last_to_arrive(repo: Path, folded: bool) -> None:
    """Whatever its time or timestamp; as it is written; None while there is none."""
    times = ["2026-01-03T00:00:00Z", "2026-01-02T00:00:00+02:00"]
    with OpLog(repo, "s") as log:
        log.append_many([entry(n, created_at=times[0]) for n in range(10, 3000 if folded else 12)])
        log.append(entry(1, created_at=times[1]))
    making.log_path(repo, "empty").parent.mkdir()
    making.log_path(repo, "empty").touch()

    assert [each.last_created_at for each in describe_sessions(repo)] == [None, times[1]]


def test_last_activity_is_when_the_log_was_written_to(repo: Path, log: OpLog) -> None:
    """As the file system has it, in UTC; a checkpoint is none."""
    log.append_many(entries(3))
    os.utime(log.path, (1e9, 1e9))
    log.checkpoint("one")
    (summary,) = describe_sessions(repo)

    assert summary.modified_at == "2001-09-09T01:46:40+00:00"
