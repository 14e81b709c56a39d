"""Real editing traces: queries, replay and deltas equal a plain scan, and big sessions answer by seeking.

The traces are not part of the project; where ../shared/data is absent these tests are skipped. Of the largest one the
default suite takes the first part; `nox -s traces` takes all of it.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from muse.core.op_log import OpEntry, OpLog, describe_sessions
from tests import children, making, plain_scan
from tests.cli.running import muse
from tests.plain_graph import PlainGraph, total_order
from tests.plain_scan import Entry, exact, exact_list

pytestmark = pytest.mark.slow

WHOLE = os.environ.get("MUSE_TEST_TRACES") == "whole"
MUSIC = ("music-mozart-k465", "music-lieder-revisions")
CODE = ("code-friendsforever", "code-automerge-paper")
LINES = {
    "code-friendsforever": 26_078,
    "code-automerge-paper": 259_778 if WHOLE else 15_000,
    "music-mozart-k465": 12_951,
    "music-lieder-revisions": 14_042,
}
BATCH = 2_000


def trace_entries(folder: Path, name: str) -> Iterator[OpEntry]:
    """The entries of a trace: parents by their op_ids, timestamps 1 + the highest of parents and same actor before."""
    ids: list[str] = []
    stamps: list[int] = []
    last: dict[str, int] = {}
    numbers = random.Random(name)
    with gzip.open(folder / f"{name}.jsonl.gz", "rb") as file:
        for text in itertools.islice(file, LINES[name]):
            edit = json.loads(text)
            actor, parents = edit["actor_id"], edit["parents"]
            stamp = 1 + max((stamps[parent] for parent in parents), default=0)
            stamp = max(stamp, 1 + last.get(actor, 0))
            made = f"{numbers.getrandbits(128):032x}"
            ids.append(f"{made[:8]}-{made[8:12]}-4{made[13:16]}-a{made[17:20]}-{made[20:]}")
            stamps.append(stamp)
            last[actor] = stamp
            yield OpEntry(
                op_id=ids[-1],
                actor_id=actor,
                lamport_ts=stamp,
                parent_op_ids=[ids[parent] for parent in parents],
                domain=edit["domain"],
                domain_op=edit["domain_op"],
                created_at=edit["t"] or "2026-01-01T00:00:00+00:00",
                intent_id="",
                reservation_id="",
            )


def append_all(log: OpLog, entries: Iterator[OpEntry]) -> int:
    """Append in batches; how many were added."""
    added = 0
    while batch := list(itertools.islice(entries, BATCH)):
        added += log.append_many(batch)
    return added


@dataclass
class Recorded:
    """A repository whose session "all" holds the four traces, and what a plain scan of it says."""

    repo: Path
    entries: list[Entry]
    deltas: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def recorded(traces: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """All four traces in one session, in two domains, read back by the plain scan."""
    repo = tmp_path_factory.mktemp("traces")
    with OpLog(repo, "all") as log:
        for name in MUSIC + CODE:
            assert append_all(log, trace_entries(traces, name)) == LINES[name]
    scanned = plain_scan.scan_file(making.log_path(repo, "all"))
    assert [*scanned.damaged, *scanned.duplicates, *scanned.conflicts] == []
    made = Recorded(repo, scanned.entries)
    made.deltas = {domain: exact(plain_scan.delta(made.entries, domain)) for domain in ("music", "code")}
    yield made
    shutil.rmtree(repo)


@pytest.fixture(scope="module")
def big(recorded: Recorded) -> Recorded:
    """A second session "paper" beside the first: the edits of the largest trace, the last 1,000 after a checkpoint."""
    entries = plain_scan.select(recorded.entries, actor_id="automerge-paper-author")
    assert len(entries) == LINES[CODE[1]]
    with OpLog(recorded.repo, "paper") as log:
        append_all(log, iter(cast("list[OpEntry]", entries[:-1_000])))
        log.checkpoint("before the last thousand")
        log.append_many(cast("list[OpEntry]", entries[-1_000:]))
    return Recorded(recorded.repo, entries)


@pytest.fixture(scope="module")
def graph(recorded: Recorded) -> PlainGraph:
    """The same as a graph of dicts."""
    return PlainGraph(recorded.entries)


def op_ids(entries: Iterable[OpEntry]) -> list[str]:
    """The op_ids of entries, in their order."""
    return [entry["op_id"] for entry in entries]


def test_causal_queries_equal_a_plain_graph_walk(recorded: Recorded, graph: PlainGraph) -> None:
    """Heads, roots, neighbours and walks over all four traces, of which one has 2,258 entries with two parents."""
    two_parents = [entry for entry in recorded.entries if len(entry["parent_op_ids"]) > 1]
    chance = random.Random(5)
    with OpLog(recorded.repo, "all") as log:
        asked = log.history
        assert op_ids(asked.heads()) == graph.heads
        assert op_ids(asked.roots()) == graph.roots
        for wanted in chance.sample(two_parents, 200):
            assert op_ids(asked.parents(wanted["op_id"])) == graph.parents(wanted["op_id"])
            assert op_ids(asked.children(wanted["op_id"])) == graph.children[wanted["op_id"]]
        for wanted in chance.sample(two_parents, 2):
            assert op_ids(asked.ancestors(wanted["op_id"])) == graph.ancestors(wanted["op_id"])
            assert op_ids(asked.descendants(wanted["op_id"])) == graph.descendants(wanted["op_id"])
            assert op_ids(asked.concurrent(wanted["op_id"])) == graph.concurrent(wanted["op_id"])
    friends = [entry for entry in two_parents if entry["actor_id"].startswith("friendsforever")]
    assert len(friends) == 2_258


def test_causal_order_of_the_traces_is_their_total_order(recorded: Recorded) -> None:
    """Every timestamp lies above those of its parents, so nothing has to wait: the order is the total order."""
    with OpLog(recorded.repo, "all") as log:
        found = log.history.causal_order()
        for each, wanted in zip(found, sorted(recorded.entries, key=total_order), strict=True):
            assert (each.entry["op_id"], each.complete) == (wanted["op_id"], True)


@pytest.mark.browser
@pytest.mark.skipif(not WHOLE, reason="what is shown of all the traces is looked at by nox -s traces")
def test_report_of_the_traces_works_in_a_browser(recorded: Recorded, tmp_path: Path) -> None:
    """Of all edits by 44 actors: below 3 MB, bars that tell their numbers, single ops by zoom."""
    pytest.importorskip("selenium", reason="selenium (the dev group) is not here")
    from tests.report.page.browser import Page, chromium

    path = tmp_path / "all.html"
    with chromium(tmp_path / "profile") as driver:
        result = muse("report", "all", "-o", path, "--repo", recorded.repo)
        assert result.exit_code == 0
        assert path.stat().st_size < 3_000_000
        page = Page(driver, path)
        assert page.requests() == [page.url]
        about = page.point(700, 40)
        found = re.search(r"([\d,]+) ops? at Lamport ([\d,]+) to ([\d,]+)", about)
        assert found, about
        ops, low, high = (int(text.replace(",", "")) for text in found.groups())
        largest = plain_scan.select(recorded.entries, actor_id="automerge-paper-author")
        assert ops == sum(low <= entry["lamport_ts"] <= high for entry in largest)
        page.press(*"+++++++++")
        page.press("n")
        shown = re.search(r"op_id([0-9a-f-]{36})", page.text("#details"))
        assert shown
        assert any(entry["op_id"] == shown[1] for entry in recorded.entries)
        assert page.complaints() == []


def assert_deltas(log: OpLog, recorded: Recorded) -> None:
    """Both deltas of a log equal the independent scan of the session."""
    for domain in ("music", "code"):
        assert exact(log.to_structured_delta(domain)) == recorded.deltas[domain]


def test_the_recorded_session_is_the_traces(recorded: Recorded, traces: Path) -> None:
    """The plain scan of the log gives the traces' entries, in their order, unchanged."""
    expected = itertools.chain.from_iterable(trace_entries(traces, name) for name in MUSIC + CODE)
    for found, wanted in zip(recorded.entries, expected, strict=True):
        assert found == wanted
    assert len(recorded.entries) == sum(LINES.values())


def test_counts_and_queries_equal_a_plain_scan(recorded: Recorded) -> None:
    """Actors, domains, counts, seeks and filtered queries over real edits."""
    entries = recorded.entries
    middle = entries[len(entries) // 2]["lamport_ts"]
    with OpLog(recorded.repo, "all") as log:
        assert len(log) == log.count() == len(entries)
        assert log.actors() == plain_scan.tally(entries, "actor_id")
        assert (
            log.domains()
            == plain_scan.tally(entries, "domain")
            == {"code": sum(LINES[name] for name in CODE), "music": 26_993}
        )
        for wanted in random.Random(1).sample(entries, 300):
            found = log.get(wanted["op_id"])
            assert found is not None
            assert exact(found) == exact(wanted)
        assert log.count(min_lamport_ts=middle) == len(plain_scan.select(entries, min_lamport_ts=middle))
        for actor in ("friendsforever-agent-1", "mozart-k465/Violoncello", "nobody"):
            expected = plain_scan.select(entries, actor_id=actor)
            assert exact_list(log.query(actor_id=actor)) == exact_list(expected)
            assert log.count(actor_id=actor) == len(expected)
        for low, high in ((0, 3), (middle, middle + 5), (100, 101), (200_000, 200_100)):
            span = plain_scan.select(entries, min_lamport_ts=low, max_lamport_ts=high)
            assert exact_list(log.query(min_lamport_ts=low, max_lamport_ts=high)) == exact_list(span)
            music = plain_scan.select(entries, domain="music", min_lamport_ts=low, max_lamport_ts=high)
            assert exact_list(log.query(domain="music", min_lamport_ts=low, max_lamport_ts=high)) == exact_list(music)
            assert log.count(domain="music", min_lamport_ts=low, max_lamport_ts=high) == len(music)
        assert exact_list(log.query(domain="code", limit=500)) == exact_list(
            plain_scan.select(entries, domain="code", limit=500)
        )
        for found, wanted in zip(log, entries, strict=True):
            assert found == wanted


def test_deltas_equal_an_independent_scan_before_and_after_a_rebuild(recorded: Recorded) -> None:
    """Delta music and delta code, from the maintained index and from one made anew."""
    with OpLog(recorded.repo, "all") as log:
        assert_deltas(log, recorded)
        log.rebuild_index()
        assert_deltas(log, recorded)
        assert log.domains() == plain_scan.tally(recorded.entries, "domain")
        assert log.actors() == plain_scan.tally(recorded.entries, "actor_id")
        assert len(log) == len(recorded.entries)


def test_a_replica_filled_by_merges_in_another_order_gives_the_same_deltas(
    recorded: Recorded, big: Recorded, traces: Path, tmp_path: Path
) -> None:
    """Two partial replicas merged in another order than the original arrived: same set, same deltas, nothing twice."""
    with (
        OpLog(big.repo, "paper") as late,
        OpLog(tmp_path, "early") as early,
        OpLog(tmp_path, "replica") as replica,
    ):
        for name in (CODE[0], MUSIC[1], MUSIC[0]):
            append_all(early, trace_entries(traces, name))
        early.append_many(list(itertools.islice(trace_entries(traces, CODE[1]), 5_000)))
        assert replica.merge(early) == len(recorded.entries) - LINES[CODE[1]] + 5_000
        assert replica.merge(late) == LINES[CODE[1]] - 5_000
        assert replica.merge(early) == 0
        assert len(replica) == len(recorded.entries)
        assert next(iter(replica))["op_id"] != recorded.entries[0]["op_id"]
        assert_deltas(replica, recorded)
        assert replica.next_lamport_ts() == plain_scan.highest_lamport_ts(recorded.entries) + 1


@pytest.mark.parametrize("name", [*MUSIC, CODE[0]])
def test_replay_of_a_trace_after_each_checkpoint_equals_a_plain_slice(traces: Path, tmp_path: Path, name: str) -> None:
    """A trace recorded in several stretches with a checkpoint at each: replay and delta are the rest."""
    entries = list(trace_entries(traces, name))
    plain = [dict(each) for each in entries]
    domain = name.split("-", maxsplit=1)[0]
    stops = sorted(random.Random(name).sample(range(1, len(entries)), 4))
    covered = 0
    for start, stop in itertools.pairwise([0, *stops, len(entries)]):
        with OpLog(tmp_path, "s") as log:
            log.append_many(entries[start:stop])
            cut = log.cut()
            assert exact_list(log.replay_since_checkpoint(upto=cut)) == exact_list(plain[covered:stop])
            assert exact(log.to_structured_delta(domain)) == exact(plain_scan.delta(plain[covered:stop], domain))
            assert log.count(since_checkpoint=True) == stop - covered
            if stop in stops:
                covered = log.checkpoint(f"at {stop}", upto=cut)["op_count"]
                assert covered == stop


def read_bytes_so_far() -> int:
    """How many bytes this process has read by system calls, from anywhere."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


def test_a_reopened_big_session_answers_without_reading_the_log(big: Recorded) -> None:
    """Timestamp, count, domains, replay of the last 1,000 and describe_sessions read few of the log's bytes."""
    if not Path("/proc/self/io").exists():
        pytest.skip("needs /proc/self/io to count the bytes read")
    with OpLog(big.repo, "warm") as log:
        log.append_many(making.entries(5))
        log.checkpoint("one")
        assert len(log.replay_since_checkpoint()) == 0
        list(describe_sessions(big.repo))
    size = making.log_path(big.repo, "paper").stat().st_size
    before = read_bytes_so_far()
    with OpLog(big.repo, "paper") as log:
        assert log.next_lamport_ts() == plain_scan.highest_lamport_ts(big.entries) + 1
        assert len(log) == log.count() == len(big.entries)
        assert log.domains() == {"code": len(big.entries)}
        assert exact_list(log.replay_since_checkpoint()) == exact_list(big.entries[-1_000:])
        described = {each.session_id: each for each in describe_sessions(big.repo)}
    read = read_bytes_so_far() - before
    assert described["paper"].ops == len(big.entries)
    assert described["paper"].pending == 1_000
    assert read < size // 10, f"{read:,} bytes were read of a log of {size:,}"


@pytest.mark.process
def test_a_reopened_big_session_seeks_in_the_log_by_stracing(big: Recorded, tmp_path: Path) -> None:
    """By strace of a fresh process: the bytes read or mapped from ops.jsonl are about those of the last 1,000 lines."""
    strace = shutil.which("strace")
    if (
        strace is None
        or subprocess.run([strace, "-o", os.devnull, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("needs strace that may trace")
    output = tmp_path / "trace"
    prefix = [strace, "-f", "-y", "-s", "0", "-e", "trace=read,pread64,readv,preadv,mmap", "-o", str(output)]
    told = children.run_worker("answer_big_session", big.repo, "paper", before=prefix)
    count = len(big.entries)
    assert told["next"] == plain_scan.highest_lamport_ts(big.entries) + 1
    assert told["count"] == told["length"] == told["count of a domain"] == count
    assert told["domains"] == {"code": count}
    assert told["actors"] == plain_scan.tally(big.entries, "actor_id")
    assert told["replay"] == [each["op_id"] for each in big.entries[-1_000:]]
    assert ["paper", count, 1_000] in told["summaries"]
    data = making.log_path(big.repo, "paper").read_bytes()
    last = len(data) - [match.end() for match in re.finditer(b"\n", data)][-1_001]
    read = 0
    for line in output.read_text(errors="replace").splitlines():
        if "ops.jsonl>" not in line:
            continue
        if "mmap(" in line:
            read += int(line.split(",")[1])
        elif (match := re.search(r"= (\d+)$", line)) is not None:
            read += int(match.group(1))
    assert read >= last, "the trace shows less than the replay must have read: the test does not measure"
    assert read < last * 2 + len(data) // 50, f"{read:,} bytes of {len(data):,} were read for {last:,}"
