"""What a report is made of: equal to a plain scan, the same each time, and never too large."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from muse.bins import Bins
from muse.report import limits
from muse.report.gathering.gather import Counts, Ranks
from muse.report.gathering.sample import Sample, draw_of
from muse.report.page.data import page_data
from tests import making, plain_scan
from tests.report import sessions


def test_density_counts_what_a_plain_scan_finds_in_each_bin(repo: Path) -> None:
    """Lane by lane, domain by domain and bin by bin, by either time, the counts in the page are those of the log."""
    path = sessions.recorded(repo, sessions.crowd(60, 5_500))
    data = sessions.data(repo)
    entries = plain_scan.scan_file(path).entries

    made_at_ms = (round(datetime.fromisoformat(entry["created_at"]).timestamp() * 1_000) for entry in entries)
    for key, times in (("density", (entry["lamport_ts"] for entry in entries)), ("timeDensity", made_at_ms)):
        width = data[key]["width"]
        found: Counter[tuple[str, str, int]] = Counter()
        for lane, domain, *gaps in data[key]["runs"]:
            for number, ops in zip(accumulate(gaps[::2]), gaps[1::2], strict=True):
                found[data["lanes"]["names"][lane], data["domains"]["names"][domain], number] = ops
        places = zip(entries, times, strict=True)
        assert found == Counter((entry["actor_id"], entry["domain"], time // width) for entry, time in places)


def test_sample_is_the_same_in_any_order() -> None:
    """Which ops are drawn depends on their op_ids alone: replicas show the same ones."""
    op_ids = [making.op_id(number) for number in range(2_000)]
    drawn = []
    for seed in range(3):
        random.Random(seed).shuffle(op_ids)
        sample: Sample[str] = Sample(50)
        for op_id in op_ids:
            sample.offer(op_id, draw_of(op_id), lambda op_id=op_id: op_id)  # type: ignore[misc] # mypy: no default
        drawn.append(sample.drawn())

    assert drawn[0] == drawn[1] == drawn[2] == sorted(op_ids, key=draw_of)[:50]


def test_two_reports_of_the_same_ops_show_the_same_ones(repo: Path) -> None:
    """But for when it was made, a page made twice is one page."""
    sessions.recorded(repo, sessions.crowd(60, 5_500))
    first, second = (sessions.data(repo) for _ in range(2))

    assert {**first, "madeAt": ""} == {**second, "madeAt": ""}


def test_sampled_ops_are_those_of_the_log(repo: Path) -> None:
    """Each op shown has the fields of its entry, and says truly when it arrived and whether it is pending."""
    path = sessions.recorded(repo, sessions.crowd(60, 5_500), checkpoint_after=4_000)
    entries = plain_scan.scan_file(path).entries
    arrivals = {entry["op_id"]: number for number, entry in enumerate(entries, start=1)}

    ops = sessions.gathered(repo).ops
    assert limits.SAMPLED_OPS < len(ops) < len(entries)
    assert len({op.op_id for op in ops}) == len(ops)
    for op in ops:
        entry = entries[arrivals[op.op_id] - 1]
        assert (op.arrival, op.pending) == (arrivals[op.op_id], arrivals[op.op_id] > 4_000)
        assert (op.actor_id, op.lamport_ts, op.domain) == (entry["actor_id"], entry["lamport_ts"], entry["domain"])
        assert list(op.parents) == entry["parent_op_ids"][: limits.MAX_PARENTS]


def test_sample_prefers_no_actor(repo: Path) -> None:
    """An actor's share of the ops drawn at random is near its share of all ops."""
    sessions.recorded(repo, sessions.evenly(20_000, actors=4))
    shown = Counter(op.actor_id for op in sessions.gathered(repo).ops)

    for ops in shown.values():
        assert 0.2 < ops / shown.total() < 0.3


def test_links_between_lanes_are_in_the_sample_with_both_ends(repo: Path) -> None:
    """Of a large session too, ops that depend on another actor are shown together with what they depend on."""
    lines = [
        making.entry(number, actor_id="ada", parent_op_ids=[making.op_id(number - 1)] if number > 1 else [])
        for number in range(1, 8_001)
    ]
    replies = [
        making.entry(10_000 + number, actor_id="bob", parent_op_ids=[making.op_id(number)]) for number in (7, 4_001)
    ]
    sessions.recorded(repo, [*lines, *replies])

    shown = {op.op_id for op in sessions.gathered(repo).ops}
    assert {making.op_id(number) for number in (7, 4_001, 10_007, 14_001)} <= shown


def test_pending_ops_below_the_covered_timestamp_are_counted(repo: Path) -> None:
    """What arrived after the checkpoint with a timestamp that it covers lies left of the line, and is said."""
    early = [making.entry(number, lamport_ts=10 * number) for number in range(1, 11)]
    late = [making.entry(100 + number, lamport_ts=stamp) for number, stamp in enumerate((5, 100, 101, 99))]
    sessions.recorded(repo, [*early, *late], checkpoint_after=10)

    assert sessions.gathered(repo).late_pending == 3


def test_damaged_line_below_the_checkpoint_makes_no_op_pending(repo: Path) -> None:
    """Which ops are pending follows from the last op covered, though fewer lines can be read than were covered."""
    path = sessions.recorded(repo, sessions.evenly(20), checkpoint_after=15)
    sessions.damage_line(path, 3)

    pending = {op.op_id for op in sessions.gathered(repo).ops if op.pending}
    assert pending == {making.op_id(number) for number in range(16, 21)}


def worst_entries() -> list[Any]:
    """More ops, actors and domains than have room, every text of letters that take the most of it."""
    return [
        making.entry(
            number,
            actor_id=f"{number % 1_200}{'<' * 300}",
            domain=f"{number % 9}{'<' * 300}",
            lamport_ts=number << 30,
            domain_op={"op": f"{number}{'<' * 300}", "address": "<" * 300, "content_summary": "𝄞<" * 150},
            created_at="<" * 300,
            intent_id="<" * 300,
            reservation_id="<" * 300,
            parent_op_ids=[making.op_id(number - distance) for distance in range(1, 9) if number > distance],
        )
        for number in range(1, 5_401)
    ]


@pytest.mark.slow
def test_page_stays_below_its_limit_whatever_it_is_made_of(repo: Path) -> None:
    """The worst session there is, damage and all, gives a page below 3 MB; so does its picture."""
    path = sessions.recorded(repo, worst_entries())
    making.add_bytes(path, b"".join(b'{"%s": ' % (b"<" * 300) + b"\n" for _ in range(200)))

    assert 1_500_000 < sessions.report(repo).stat().st_size < limits.MAX_PAGE_BYTES
    assert sessions.report(repo, "svg").stat().st_size < limits.MAX_PAGE_BYTES


def test_most_cells_of_the_density_still_fit(repo: Path) -> None:
    """As many counts as are kept, each as long as can be, take less than a third of the page."""
    sessions.recorded(repo, [])
    lanes, domains = [str(lane) for lane in range(limits.MAX_LANES)], [str(domain) for domain in range(7)]
    density: Counts = Bins(limits.MAX_BINS, limits.MAX_CELLS)
    numbers = random.Random(1)
    for _ in range(limits.MAX_CELLS):
        density.add(numbers.randrange(2**53), (numbers.choice(lanes), numbers.choice(domains)))
    empty = sessions.gathered(repo)
    stats = replace(empty.stats, ops=limits.MAX_CELLS)
    full = replace(empty, stats=stats, density=density, lanes=Ranks(lanes, 1_000), domains=Ranks(domains, 7))

    data = page_data(full, made_at="", version="")["density"]
    assert sum(map(len, data["runs"])) > limits.MAX_CELLS
    assert len(json.dumps(data, separators=(",", ":"))) < limits.MAX_PAGE_BYTES / 3


@pytest.mark.slow
def test_memory_does_not_grow_with_the_session(repo: Path) -> None:
    """More than twice as many ops are gathered in much the same memory."""
    peaks = []
    for session, ops in (("small", 6_000), ("large", 14_000)):
        sessions.recorded(repo, sessions.evenly(ops), session)
        tracemalloc.start()
        sessions.gathered(repo, (), session)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.4 * peaks[0]


def test_no_text_of_the_log_can_end_the_data(repo: Path) -> None:
    """Between the tags of the data there is no `<`, and what is read from it are the hostile texts."""
    sessions.recorded(repo, sessions.hostile_entries())
    text = sessions.report(repo).read_text(encoding="utf-8")

    data = text.split('<script type="application/json" id="data">')[1].split("</script>\n<script>")[0]
    assert "<" not in data
    short = {text for text in sessions.HOSTILE if text.isprintable() and len(text) < 60}
    assert short <= set(json.loads(data)["lanes"]["names"]) | {"<script>window.hacked=1;alert(1)</script>"}


def test_policy_names_the_digests_of_style_and_script(repo: Path) -> None:
    """Nothing may run or load but what stands in the file."""
    sessions.recorded(repo, sessions.evenly(1))
    text = sessions.report(repo).read_text(encoding="utf-8")

    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"https?://", text)


@pytest.mark.parametrize("names", [0, 1, 6, 7, 50])
def test_ranks_give_every_name_a_place(names: int) -> None:
    """The first names have their own; where there are more, the last place is for all of the rest."""
    ranks = Ranks([str(number) for number in range(names)], 6)

    places = [ranks.of(str(number)) for number in range(names)]
    assert places == [min(number, 5) for number in range(names)]
    assert len(ranks) == min(names, 6)
    assert ranks.shared == (names - 5 if names > 6 else 0)
