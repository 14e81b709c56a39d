"""Op_id runs: no op_id is passed over, hardly one is found that is not there, and runs merge as digits carry."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.entry.filter import Names
from muse.core.index.blocks.op_id_keys import random_hash
from muse.core.index.blocks.op_id_runs import (
    FAN_OUT,
    FILTERED_SEGMENTS,
    MAX_RUN_SEGMENTS,
    PAGE_KEYS,
    Filter,
    Lookup,
    Run,
    block_of,
    merged_keys,
    merged_summary,
    runs_to_merge,
)
from muse.core.index.blocks.segment import Summary, as_json, pack_lines
from tests.index.plain_lines import OP_IDS, PlainLine, fed_with, offsets_of, plain_lines, some_lines
from tests.small_index import limits

HASH = random_hash()
SUMMARY = pack_lines(fed_with(some_lines(1))).summary


def run_of(keys: Iterable[int], segments: int, first: int = 1) -> Run:
    """A run of these keys, which loads what a database would keep."""
    sorted_keys = array("Q", sorted(keys))
    block, pages = block_of(sorted_keys, segments, len(sorted_keys))
    directory = array("Q", range(segments)).tobytes() + array("I", range(segments)).tobytes()
    summary = SUMMARY._replace(entries=len(sorted_keys))
    return Run(first, summary, directory, lambda _run: block, lambda _run, page: pages[page])


def run_of_segments(op_ids: Sequence[Sequence[bytes]], first: int = 1) -> Run:
    """A run of segments that hold these op_ids."""
    keys = [key for number, each in enumerate(op_ids, first) for key in HASH.keys(b"".join(each), number)]
    return run_of(keys, len(op_ids), first)


@given(st.lists(st.lists(OP_IDS, max_size=8), min_size=1, max_size=40), st.integers(1, 50), st.data())
def test_the_segments_of_an_op_id_are_found(op_ids: list[list[bytes]], first: int, data: st.DataObject) -> None:
    """By a run alone all segments with its hash; a look through several runs, small and large, finds the run."""
    hashes = [set(map(HASH.of, each)) for each in op_ids]
    cut = data.draw(st.integers(0, len(op_ids)))
    runs = [run_of_segments(op_ids[:cut], first), run_of_segments(op_ids[cut:], first + cut)]
    lookup = Lookup([run for run in runs if run.segments])
    one = run_of_segments(op_ids, first)
    for hashed in {*set().union(*hashes), 0, 2**40 - 1, data.draw(st.integers(0, 2**40 - 1))}:
        numbers = [number for number, each in enumerate(hashes, first) if hashed in each]
        assert one.segments_with(hashed) == numbers
        found = lookup.runs_with(hashed)
        assert sorted(number for run in found for number in run.segments_with(hashed)) == numbers
        assert lookup.runs_with_any([hashed]) == ({hashed: found} if found else {})
    assert one.is_filtered == (len(op_ids) >= FILTERED_SEGMENTS)


@pytest.mark.parametrize("segments", [1, FILTERED_SEGMENTS - 1, FILTERED_SEGMENTS, 64])
def test_of_what_is_not_there_hardly_anything_is_found(segments: int) -> None:
    """Of ten thousand random op_ids none of which is in the run, a small one's set and a filter let few through."""
    chance = random.Random(segments)
    there = [[chance.randbytes(16) for _ in range(50)] for _ in range(segments)]
    run = run_of_segments(there)
    lookup = Lookup([run])
    asked = {HASH.of(chance.randbytes(16)) for _ in range(10_000)}
    found = lookup.runs_with_any(asked)
    assert len(found) < 300
    assert found == {hashed: [run] for hashed in asked if lookup.runs_with(hashed)}
    assert all(run.segments_with(hashed) == [] for hashed in asked)
    inside = {HASH.of(op_id) for each in there for op_id in each}
    assert lookup.runs_with_any(inside | asked).keys() == inside | found.keys()


def test_a_filter_loads_only_the_parts_that_are_asked_for() -> None:
    """Each once, when a hash of theirs is first looked for; whatever is there passes, be its part loaded or not."""
    chance = random.Random(7)
    keys = sorted(chance.getrandbits(40) << 24 | 1 for _ in range(2_000))
    loaded = []
    with limits(_PART_BITS=12):
        _, pages = block_of(array("Q", keys), FILTERED_SEGMENTS, len(keys))
        parts = pages[:8]
        assert [len(part) for part in parts] == [2**12 // 8] * 8

        def load(part: int) -> bytes:
            loaded.append(part)
            return parts[part]

        one = Filter(len(keys), load)
    assert keys[0] >> 24 in one
    assert keys[1] >> 24 in one
    assert loaded == [0]
    assert all(key >> 24 in one for key in keys)
    one.load()
    assert loaded == list(range(8))
    assert sum(chance.getrandbits(40) in one for _ in range(10_000)) < 200


@pytest.mark.parametrize("segments", [3, FILTERED_SEGMENTS, 4 * PAGE_KEYS + 7])
def test_a_hash_that_every_segment_has_leads_to_each_of_them(segments: int) -> None:
    """However many pages its keys take, between others or alone, at the first page and at the last."""
    every = list(range(1, segments + 1))
    for below, above in ((0, 0), (PAGE_KEYS - 1, 5), (PAGE_KEYS, PAGE_KEYS), (3 * PAGE_KEYS + 1, 1)):
        others = [*(2**24 * (number + 1) + 1 for number in range(below))]
        others += [2**24 * (5_001 + number) + 1 for number in range(above)]
        run = run_of([*others, *(2**24 * 5_000 + number for number in every)], segments)
        assert run.segments_with(5_000) == every
        assert Lookup([run]).runs_with(5_000) == [run]
        assert run.segments_with(4_999) == run.segments_with(6_000) == []
        assert run.all_keys().tolist() == sorted([*others, *(2**24 * 5_000 + number for number in every)])
        assert all(run.segments_with(key // 2**24) == [1] for key in others)


def test_an_empty_run_has_nothing() -> None:
    """Segments without an entry have no key: whatever is asked for, it is not there."""
    for segments in (1, FILTERED_SEGMENTS):
        run = run_of([], segments)
        assert run.all_keys().tolist() == []
        assert run.segments_with(5) == []
        assert Lookup([run]).runs_with(5) == []


def digits(number: int, base: int, most: int) -> list[int]:
    """The sizes of runs that a number of segments makes: as coins of 1, base, base², … up to `most`, largest first."""
    sizes = []
    while number:
        coin = max(base**power for power in range(6) if base**power <= min(number, most))
        sizes.append(coin)
        number -= coin
    return sizes


def test_runs_merge_as_digits_carry() -> None:
    """After each segment the sizes are the digits of the number of segments, up to the largest size."""
    sizes: list[int] = []
    for number in range(1, 3 * MAX_RUN_SEGMENTS):
        sizes.append(1)
        while count := runs_to_merge(sizes):
            sizes[-count:] = [sum(sizes[-count:])]
        assert sizes == digits(number, FAN_OUT, MAX_RUN_SEGMENTS)


def test_the_largest_runs_stay_apart() -> None:
    """Four of them are not merged, so that no fold takes long."""
    assert runs_to_merge([MAX_RUN_SEGMENTS] * 8) == 0
    assert runs_to_merge([MAX_RUN_SEGMENTS // FAN_OUT] * 4) == 4


@given(st.lists(st.lists(OP_IDS, max_size=5), min_size=20, max_size=40), st.integers(0, 20))
def test_merged_keys_are_all_keys_sorted(op_ids: list[list[bytes]], cut: int) -> None:
    """None is lost or doubled, be the runs small or large."""
    parts = [run_of_segments(op_ids[:cut]), run_of_segments(op_ids[cut:], cut + 1)]
    assert merged_keys([part.all_keys() for part in parts]).tolist() == run_of_segments(op_ids).all_keys().tolist()


@given(st.lists(plain_lines(min_size=2, max_size=8), min_size=1, max_size=5))
def test_a_merged_summary_is_that_of_all_lines_together(parts: list[list[PlainLine]]) -> None:
    """The summaries of parts, merged, say what the summary of the whole says."""
    start, before, summaries = 3, 0, []
    for part in parts:
        summary = pack_lines(fed_with(part, start)).summary
        summaries.append(with_more(summary, before, (1, 3 + len(part)), 2))
        start, before = offsets_of(part, start)[-1], before + summary.entries
    whole = pack_lines(fed_with([each for part in parts for each in part], 3)).summary
    parents = tuple(sorted({1, *(3 + len(part) for part in parts)}))
    assert merged_summary(summaries) == with_more(whole, 0, parents, 2 * len(parts))


def with_more(summary: Summary, before: int, parents: tuple[int, ...] | None, unresolved: int) -> Summary:
    """The summary of a segment as it lies in the log and with links."""
    return summary._replace(
        entries_before=before,
        parent_segments=None if parents is None else as_json(parents),
        unresolved_links=unresolved,
    )


def test_names_that_are_too_many_are_not_listed() -> None:
    """Past the limit a merged summary has no list for that role, nor has any that is made of it."""
    summaries = [
        pack_lines(fed_with([replace(each, actor=f"{number}") for each in some_lines(4)])).summary
        for number in range(6)
    ]
    with limits(MAX_RUN_NAMES=5):
        some, many = merged_summary(summaries[:5]), merged_summary(summaries)
    assert some.names("actor") == dict.fromkeys("01234", 4)
    assert many.names("actor") is None
    assert many.names("domain") == Counter(each.domain for _ in summaries for each in some_lines(4))
    assert merged_summary([many, summaries[0]]).names("actor") is None
    assert many.may_match({"actor": Names(frozenset({"whoever"}))}, 0, 2**60)


def test_parent_segments_that_are_too_many_are_not_listed() -> None:
    """Past the limit, or if a part does not list its own, a merged summary does not list them."""
    parts = [with_more(SUMMARY, 0, (number, number + 1), 0) for number in range(1, 5)]
    with limits(MAX_RUN_NAMES=4):
        assert merged_summary(parts[:3]).parents_in() == [1, 2, 3, 4]
        assert merged_summary(parts).parents_in() is None
    assert merged_summary([parts[0], with_more(SUMMARY, 0, None, 0)]).parents_in() is None


def test_a_byte_of_the_log_leads_to_its_segment() -> None:
    """By the directory of the run: the last segment that does not begin after it."""
    directory = array("Q", [10, 20, 35]).tobytes() + array("I", [7, 8, 9]).tobytes()
    run = Run(4, SUMMARY, directory, lambda _run: b"", lambda _run, _page: b"")
    assert (run.segments, run.end_segment) == (3, 7)
    assert run.segment_checksums.tolist() == [7, 8, 9]
    assert [run.segment_at(at) for at in (10, 19, 20, 34, 35, 1000)] == [4, 4, 5, 5, 6, 6]
