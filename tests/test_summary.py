"""describe_sessions: one typed summary per session, equal to what a scan of each log counts."""

from __future__ import annotations

import json
from pathlib import Path

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
