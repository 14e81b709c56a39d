"""Causal history: every answer equals a plain walk over the graph, wherever the index keeps its links."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.index import query
from muse.core.index.blocks.links import unpack_links
from muse.core.op_log import CausalEntry, CausalHistory, OpEntry, OpLog, UnknownOpError
from muse.core.paging import PageSize
from tests import making, plain_scan
from tests.making import entry, op_id
from tests.plain_graph import PlainGraph
from tests.small_index import segments_of


def short_segments(lines: int) -> AbstractContextManager[None]:
    """Let an index fold every few lines and give pages of three, so that a handful of entries lie in many of both."""
    return segments_of(lines, WHOLE_PAGE=PageSize(3, 2000))


def ids(entries: Iterable[OpEntry]) -> list[str]:
    """The op_ids of entries, in their order."""
    return [entry["op_id"] for entry in entries]


def marks(entries: Iterable[CausalEntry]) -> list[tuple[str, bool, tuple[str, ...]]]:
    """Causal entries as the plain graph gives them."""
    return [(each.entry["op_id"], each.complete, each.missing_parent_op_ids) for each in entries]


def assert_same_as_graph(log: OpLog, sample: Iterable[str] | None = None) -> None:
    """Every question, about every operation or a sample of them, against the graph of a plain scan."""
    plain = PlainGraph(plain_scan.scan_file(log.path).entries)
    asked: CausalHistory = log.history
    assert ids(asked.heads()) == plain.heads
    assert ids(asked.roots()) == plain.roots
    for each in plain.by_op_id if sample is None else sample:
        assert ids(asked.parents(each)) == plain.parents(each)
        assert asked.missing_parents(each) == plain.missing(each)
        assert ids(asked.children(each)) == plain.children[each]
        assert ids(asked.ancestors(each)) == plain.ancestors(each)
        assert ids(asked.descendants(each)) == plain.descendants(each)
        assert ids(asked.concurrent(each)) == plain.concurrent(each)


@st.composite
def graphs(draw: st.DrawFn) -> list[OpEntry]:
    """Entries that name each other in any way: earlier ones, later ones, themselves, twice, and what is not there."""
    number = draw(st.integers(1, 24))
    named = st.lists(st.integers(0, number + 2), max_size=3)
    return [
        entry(
            each,
            actor_id=draw(st.sampled_from(["ada", "bob", "Zoë", "\U0001f3b5", "~"])),
            lamport_ts=draw(st.integers(0, 6)),
            parent_op_ids=[op_id(parent) for parent in draw(named)],
        )
        for each in range(number)
    ]


@given(graphs(), st.integers(1, 9), st.integers(1, 9), st.data())
def test_every_answer_equals_a_plain_walk(
    entries: list[OpEntry], segment_lines: int, batch: int, data: st.DataObject
) -> None:
    """Whatever names whatever, in the tail or folded, in batches of any size, said twice, also after a rebuild."""
    again = data.draw(st.lists(st.sampled_from(entries), max_size=4))
    with (
        short_segments(segment_lines),
        tempfile.TemporaryDirectory() as repo,
        OpLog(repo, "s") as log,
    ):
        for start in range(0, len(entries), batch):
            log.append_many(entries[start : start + batch])
            if data.draw(st.booleans()):
                making.add_bytes(log.path, b"".join(making.line(each) for each in again) + b"\n{torn\n")
        expected = PlainGraph(plain_scan.scan_file(log.path).entries).order
        assert_same_as_graph(log)
        assert marks(log.history.causal_order()) == expected
        log.rebuild_index()
        assert_same_as_graph(log)
        assert marks(log.history.causal_order()) == expected


def branching(number: int, seed: int) -> list[OpEntry]:
    """A history of a few actors who work beside each other and take over each other's work now and then."""
    chance = random.Random(seed)
    heads: dict[str, str] = {}
    made = []
    for each in range(1, number + 1):
        actor = chance.choice(["ada", "bob", "cyn"])
        parents = [heads[actor]] if actor in heads else []
        if heads and chance.random() < 0.1:
            parents.append(chance.choice(list(heads.values())))
        made.append(entry(each, actor_id=actor, parent_op_ids=parents))
        heads[actor] = made[-1]["op_id"]
    return made


def test_answers_over_segments_of_the_usual_size(log: OpLog) -> None:
    """A few thousand operations, in folded segments and the tail, by append and by rebuild."""
    entries = branching(5_000, seed=1)
    log.append_many(entries[:4_500])
    for each in entries[4_500:4_600]:
        log.append(each)
    log.append_many(entries[4_600:])
    sample = ids(random.Random(2).sample(entries, 4))
    assert_same_as_graph(log, sample)
    log.rebuild_index()
    assert_same_as_graph(log, sample)
    assert ids(each.entry for each in log.history.causal_order()) == ids(entries)


def test_an_actor_on_two_branches_at_once_has_two(log: OpLog) -> None:
    """What one actor does on one branch is beside what it does on the other, until it joins them."""
    root = log.record("ada", "code", {})
    left = log.record("ada", "code", {}, parent_op_ids=[root["op_id"]])
    right = log.record("ada", "code", {}, parent_op_ids=[root["op_id"]])
    assert ids(log.history.heads()) == ids([left, right])
    assert ids(log.history.concurrent(left["op_id"])) == ids([right])
    joined = log.record("ada", "code", {}, parent_op_ids=ids([right, left]))
    assert ids(log.history.heads()) == ids([joined])
    assert ids(log.history.parents(joined["op_id"])) == ids([right, left])
    assert list(log.history.concurrent(joined["op_id"])) == []


@pytest.mark.parametrize("segment_lines", [2, 2048])
def test_a_parent_that_arrives_after_its_child_is_found(tmp_path: Path, segment_lines: int) -> None:
    """While it is missing the child is marked and comes last; as soon as it is there, it is a parent like any other."""
    parent, child, other = entry(1), entry(2, parent_op_ids=[op_id(1)]), entry(3)
    with short_segments(segment_lines), OpLog(tmp_path, "s") as log:
        log.append_many([child, other])
        assert log.history.missing_parents(child["op_id"]) == [op_id(1)]
        assert marks(log.history.causal_order()) == [
            (op_id(3), True, ()),
            (op_id(2), False, (op_id(1),)),
        ]
        assert ids(log.history.roots()) == ids([other])
        log.append(parent)
        log.append_many([entry(number) for number in range(4, 10)])
        assert log.history.missing_parents(child["op_id"]) == []
        assert ids(log.history.children(op_id(1))) == ids([child])
        assert marks(log.history.causal_order())[:3] == [(op_id(number), True, ()) for number in (1, 2, 3)]


def test_what_depends_on_something_missing_is_marked_too(log: OpLog) -> None:
    """A child of an operation whose own parent is missing is incomplete, though it misses none itself."""
    log.append_many([entry(1, parent_op_ids=[op_id(99)]), entry(2, parent_op_ids=[op_id(1)]), entry(3)])
    assert marks(log.history.causal_order()) == [
        (op_id(3), True, ()),
        (op_id(1), False, (op_id(99),)),
        (op_id(2), False, ()),
    ]


def test_a_link_to_a_place_without_a_line_costs_a_rebuild_not_the_answer(
    log: OpLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only an index that contradicts its log has one; it is made anew and asked again."""
    log.append_many(entries := branching(1_000, seed=6))
    wrong = [[(0, 1)]]
    monkeypatch.setattr(query, "unpack_links", lambda *packed: wrong.pop() if wrong else unpack_links(*packed))
    assert ids(each.entry for each in log.history.causal_order()) == ids(entries)
    assert "a link leads to byte 1" in caplog.text


def test_causal_order_is_the_same_on_replicas_that_merged(tmp_path: Path) -> None:
    """Replicas that hold the same operations in another arrival order give the same causal order."""
    entries = branching(300, seed=3)
    with OpLog(tmp_path / "a", "s") as one, OpLog(tmp_path / "b", "s") as two:
        one.append_many(entries[::2])
        two.append_many(entries[1::2])
        one.merge(two)
        two.merge(one)
        assert ids(one) != ids(two)
        assert marks(one.history.causal_order()) == marks(two.history.causal_order())


@pytest.mark.parametrize("ask", ["parents", "missing_parents", "children", "ancestors", "descendants", "concurrent"])
@pytest.mark.parametrize("unknown", [op_id(77), "no op_id", ""])
def test_an_unknown_op_id_is_an_error_that_names_it(log: OpLog, ask: str, unknown: str) -> None:
    """Nothing can be said about an operation that the log does not hold; "nothing" would be a wrong answer."""
    question: Any = getattr(log.history, ask)
    with pytest.raises(UnknownOpError, match=repr(unknown)):
        question(unknown)
    log.append(entry(1))
    with pytest.raises(LookupError, match=repr(unknown)):
        question(unknown)


def test_an_empty_log_has_an_empty_history(log: OpLog) -> None:
    """No file is needed, and none is made."""
    assert [*log.history.heads(), *log.history.roots(), *log.history.causal_order()] == []
    assert not log.folder.exists()


def test_an_answer_is_of_the_moment_it_was_asked_for(log: OpLog) -> None:
    """What arrives while an answer is read does not change it."""
    log.append_many(entries := branching(20, seed=4))
    order = log.history.causal_order()
    before = next(order)
    log.append(entry(100, lamport_ts=0))
    assert ids([before.entry, *(each.entry for each in order)]) == ids(entries)


def test_only_the_lines_asked_for_are_read(log: OpLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads and children come from the index: of a log of a megabyte a few lines are read."""
    log.append_many(entries := branching(4_000, seed=5))
    read: list[int] = []
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        read.append(length)
        return pread(fd, length, offset)

    monkeypatch.setattr(os, "pread", counted)
    assert len(list(log.history.heads())) <= 3
    log.history.children(entries[7]["op_id"])
    log.history.parents(entries[2_000]["op_id"])
    next(log.history.ancestors(entries[10]["op_id"]))
    # What stands between two lines that lie close together is read with them.
    assert sum(read) < 100_000 < log.path.stat().st_size
