"""The trace of a session: read by the rules of the Trace Event Format, and equal to a plain scan of the log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import making, plain_scan
from tests.report import sessions


@dataclass
class Read:
    """What a viewer takes from a trace; the rules of the format are checked while it reads."""

    threads: dict[int, str] = field(default_factory=dict)
    slices: list[dict[str, Any]] = field(default_factory=list)
    arrows: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    """The slices that each arrow leads from and to."""
    instants: list[dict[str, Any]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    other: dict[str, Any] = field(default_factory=dict)

    def slice_at(self, event: dict[str, Any]) -> dict[str, Any]:
        """The one slice of the event's thread that is open at its time, its end not included."""
        (found,) = [
            each
            for each in self.slices
            if (each["pid"], each["tid"]) == (event["pid"], event["tid"])
            and each["ts"] <= event["ts"] < each["ts"] + each["dur"]
        ]
        return found


def read_trace(file: Path) -> Read:
    """Read a trace as the document of the format says: each phase with the fields that it needs."""
    trace = json.loads(file.read_text(encoding="utf-8"))
    assert trace["displayTimeUnit"] in ("ms", "ns")
    read, by_phase = Read(other=trace["otherData"]), dict[str, list[dict[str, Any]]]()
    for event in trace["traceEvents"]:
        by_phase.setdefault(event["ph"], []).append(event)
        assert type(event["pid"]) is int
        assert type(event["tid"]) is int
        # Perfetto's viewer would call that thread the main one.
        assert event["tid"] != event["pid"]
        assert isinstance(event["name"], str)
        if event["ph"] != "M":
            assert type(event["ts"]) in (int, float)
            assert event["ts"] >= 0
    assert set(by_phase) <= set("MXsfiC")
    names = {"process_name": "name", "thread_name": "name", "thread_sort_index": "sort_index"}
    for event in by_phase.get("M", []):
        assert set(event["args"]) == {names[event["name"]]}
    read.threads = {each["tid"]: each["args"]["name"] for each in by_phase["M"] if each["name"] == "thread_name"}
    read.slices = sorted(by_phase.get("X", []), key=lambda event: (event["tid"], event["ts"]))
    assert all(event["dur"] > 0 and event["tid"] in read.threads for event in read.slices)
    for one, other in pairwise(read.slices):
        assert one["tid"] != other["tid"] or one["ts"] + one["dur"] <= other["ts"]
    starts = {(event["cat"], event["name"], event["id"]): event for event in by_phase.get("s", [])}
    assert len(starts) == len(by_phase.get("s", [])) == len(by_phase.get("f", []))
    for end in by_phase.get("f", []):
        start = starts.pop((end["cat"], end["name"], end["id"]))
        assert end["bp"] == "e"
        assert start["ts"] <= end["ts"]
        read.arrows.append((read.slice_at(start), read.slice_at(end)))
    read.instants = by_phase.get("i", [])
    # Perfetto's viewer has no name for the place of those that are of all threads.
    assert all(event["s"] == "t" and event["tid"] in read.threads for event in read.instants)
    for event in by_phase.get("C", []):
        assert all(type(value) in (int, float) for value in event["args"].values())
    read.counts = [event["args"]["made"] for event in by_phase.get("C", [])]
    return read


def trace_of(repo: Path) -> Read:
    """Write the trace of the session and read it."""
    return read_trace(sessions.report(repo, "trace-events"))


def seconds(entry: Mapping[str, Any]) -> int:
    """The seconds within an hour that an entry of `sessions.crowd` was made at."""
    minute, second = entry["created_at"][14:19].split(":")
    return 60 * int(minute) + int(second)


def test_lanes_ops_and_arrows_are_those_of_the_log(repo: Path) -> None:
    """A thread for each actor, a slice for each op at its time, an arrow for each parent in another lane."""
    path = sessions.recorded(repo, sessions.crowd(6, 300))
    entries = {entry["op_id"]: entry for entry in plain_scan.scan_file(path).entries}
    read = trace_of(repo)

    by_id = {each["args"]["op_id"]: each for each in read.slices}
    assert by_id.keys() == entries.keys()
    start = min(map(seconds, entries.values()))
    for op_id, each in by_id.items():
        entry = entries[op_id]
        assert each["ts"] == (seconds(entry) - start) * 1_000_000
        assert read.threads[each["tid"]] == entry["actor_id"]
        assert each["name"] == f"{entry['domain_op']['op']} {entry['domain_op']['address']}"
        assert (each["cat"], each["args"]["lamport_ts"]) == (entry["domain"], entry["lamport_ts"])
    expected = Counter(
        (parent, entry["op_id"])
        for entry in entries.values()
        for parent in entry["parent_op_ids"]
        if entries[parent]["actor_id"] != entry["actor_id"]
    )
    assert Counter((one["args"]["op_id"], other["args"]["op_id"]) for one, other in read.arrows) == expected
    assert sum(read.counts) == 300
    assert read.other["clock"] == "wall time"


def test_without_times_lamport_time_is_the_clock(repo: Path) -> None:
    """If one op has no valid time, each op is a millisecond for each step after the first."""
    entries = sessions.evenly(9)
    entries[4]["created_at"] = "later"
    sessions.recorded(repo, entries)
    read = trace_of(repo)

    assert sorted(each["ts"] for each in read.slices) == [1_000 * step for step in range(9)]
    assert read.other["clock"].startswith("Lamport time")
    assert read.counts == []


def test_ops_of_one_moment_and_clocks_that_go_wrong_can_be_read(repo: Path) -> None:
    """Slices of a lane never overlap, and an arrow back in time is left out and counted."""
    same = [making.entry(number, actor_id="a") for number in range(1, 6)]
    before = making.entry(
        6,
        actor_id="b",
        created_at="2026-01-02T03:04:05+00:00",
        parent_op_ids=[making.op_id(number) for number in (1, 2)],
    )
    sessions.recorded(repo, [*same, before])
    read = trace_of(repo)

    assert len(read.slices) == 6
    assert (read.arrows, read.other["arrows_left_out"]) == ([], 2)


@pytest.mark.process
def test_commits_and_the_checkpoint_are_instants(repo: Path) -> None:
    """Each with its id, and the ops name the commit that they are in."""
    made = sessions.committed(repo, sessions.evenly(10), 4, 7)
    read = trace_of(repo)

    assert {read.threads[event["tid"]] for event in read.instants} == {"commits and checkpoint"}
    names = [event["name"] for event in read.instants]
    assert names[:2] == [f"commit {each[:12]}" for each in made]
    assert names[2].startswith("checkpoint ")
    assert Counter(each["args"].get("commit") for each in read.slices) == {made[0][:12]: 4, made[1][:12]: 3, None: 3}


def test_a_large_session_is_a_sample_that_counts_every_op(repo: Path) -> None:
    """The file stays small, says how much of the session it shows, and its counter holds all of it."""
    sessions.recorded(repo, sessions.crowd(60, 5_500))
    read = trace_of(repo)

    assert len(read.slices) == read.other["ops_shown"] < read.other["ops"] == sum(read.counts) == 5_500
    assert read.arrows


def test_hostile_and_empty_sessions_have_a_trace(repo: Path) -> None:
    """Whatever texts entries hold, and if there are none."""
    making.add_bytes(making.log_path(repo), b"")
    assert trace_of(repo).slices == []
    sessions.recorded(repo, sessions.hostile_entries())
    read = trace_of(repo)

    assert len(read.slices) == len(sessions.HOSTILE)
    assert all(name.isprintable() and len(name) <= 60 for name in read.threads.values())
