"""Questions: every filter, page and number equals a plain look at each line, over segments, runs and the tail."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.entry.filter import END, Filter, Names
from muse.core.index import query
from muse.core.index.store import Index
from muse.core.op_log import InvalidArgumentError, OpLog
from muse.core.options import DEFAULT, MAX_LAMPORT_TS
from muse.core.storage.lines import Places
from muse.core.storage.log_file import LogFile
from tests import making, plain_scan
from tests.index.plain_lines import (
    NAMES,
    ROLES,
    PlainLine,
    fed_with,
    index_in_memory,
    offsets_of,
    plain_lines,
    segments_of_four,
    some_lines,
)
from tests.making import entries, entry
from tests.plain_scan import exact_list
from tests.small_index import limits, segments_of

Place = tuple[int, int, int]
"""(byte offset, length, checksum, timestamp) of an entry."""


def wants(names: Names, name: str) -> bool:
    """Whether a name is asked for, told without the code that is tested."""
    return (names.wanted is None or name in list(names.wanted)) and name not in list(names.unwanted)


class Model:
    """An index, and the answers of a plain look at each of its lines."""

    def __init__(self, lines: Sequence[PlainLine], portions: Sequence[int]) -> None:
        """The index is fed with portions of so many lines, and with the rest at once."""
        self.lines = lines
        self.offsets = offsets_of(lines)
        self.index = index_in_memory()
        low = 0
        for portion in (*portions, len(lines)):
            high = min(low + portion, len(lines))
            self.index.add(fed_with(lines[low:high], self.index.end))
            self.index.write(0)
            low = high

    def entries(self, wanted: Filter) -> list[tuple[int, PlainLine]]:
        """Byte offset and line of each entry that matches."""
        return [
            (at, each)
            for at, each in zip(self.offsets, self.lines, strict=False)
            if not each.problem
            and wanted.start <= at < wanted.stop
            and all(wants(names, getattr(each, role)) for role, names in wanted.names.items())
            and wanted.min_lamport_ts <= each.lamport_ts <= wanted.max_lamport_ts
        ]

    def places(self, wanted: Filter) -> list[Place]:
        """Where the entries that match lie."""
        return [(at, at + each.length, each.checksum) for at, each in self.entries(wanted)]


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Any lines in segments of four or so, runs of them, and a tail."""
    lines = draw(plain_lines(max_size=40))
    portions = draw(st.lists(st.sampled_from([1, 2, 3, 4, 8, 40]), max_size=12))
    with segments_of_four(), limits(MAX_RUN_NAMES=draw(st.sampled_from([1, 4096]))):
        return Model(lines, portions)


@st.composite
def filters(draw: st.DrawFn, offsets: list[int]) -> Filter:
    """Any filter, over the whole log or a range of it that begins and ends at or inside lines."""
    at = st.one_of(st.sampled_from(offsets), st.integers(0, offsets[-1] + 5))
    some = st.frozensets(NAMES, max_size=3)
    names = st.builds(Names, st.one_of(st.none(), NAMES.map(lambda name: frozenset({name})), some), some)
    timestamps = (st.integers(0, 20), st.integers(0, MAX_LAMPORT_TS))
    rare = draw(st.integers(0, 3)) == 0
    return Filter(
        {role: draw(names) for role in ROLES if draw(st.booleans() if role in {"actor", "domain"} else st.just(rare))},
        min_lamport_ts=draw(st.one_of(st.just(0), st.just(0), *timestamps)),
        max_lamport_ts=draw(st.one_of(st.just(MAX_LAMPORT_TS), st.just(MAX_LAMPORT_TS), *timestamps)),
        start=draw(st.one_of(st.just(0), at)),
        stop=draw(st.one_of(st.just(END), at)),
    )


def pages(model: Model, wanted: Filter, limit: int, size_bytes: int, *, reverse: bool) -> Iterator[list[Place]]:
    """Page after page, each begun where the one before says; or page before page, each ended there."""
    wanted = replace(wanted, stop=min(wanted.stop, model.offsets[-1]))
    while wanted.start < wanted.stop:
        places, resume_at = query.find_page(model.index, wanted, limit, size_bytes, reverse=reverse)
        yield plain(model, places)
        if resume_at is None:
            return
        assert wanted.start < resume_at < wanted.stop
        wanted = replace(wanted, stop=resume_at) if reverse else replace(wanted, start=resume_at)


def plain(model: Model, places: Places) -> list[Place]:
    """Line by line: those that begin in a stretch; the checksum of each must be told."""
    stretches = list(zip(places.starts, places.ends, strict=True))
    found = [each for each in model.places(Filter()) if any(start <= each[0] < end for start, end in stretches)]
    assert places.size_bytes == sum(end - start for start, end, _ in found)
    assert places.checksums == [checksum for _, _, checksum in found]
    assert set(places.starts) <= {start for start, _, _ in found}
    return found


@given(
    models(),
    st.data(),
    st.sampled_from([1, 2, 5, 100]),
    st.sampled_from([1, 250, 600, 10**9]),
    st.sampled_from([2, 3, 64]),
)
def test_pages_in_both_directions_are_a_plain_look_at_each_line(
    model: Model, data: st.DataObject, limit: int, size_bytes: int, units: int
) -> None:
    """With any filter: pages together are what matches, none is too long, and the order is that of arrival."""
    wanted = data.draw(filters(model.offsets))
    expected = model.places(wanted)
    with limits(_UNITS_OF_A_PAGE=units):
        forward = list(pages(model, wanted, limit, size_bytes, reverse=False))
        backward = list(pages(model, wanted, limit, size_bytes, reverse=True))
    assert [place for page in forward for place in page] == expected
    assert [place for page in reversed(backward) for place in page] == expected
    for page in forward + backward:
        assert len(page) <= limit
        assert len(page) <= 1 or sum(end - start for start, end, _ in page) <= size_bytes
    model.index.database.close()


@pytest.mark.parametrize("kept_as", ["segments", "rows"])
def test_a_page_of_consecutive_entries_is_as_long_as_it_may_be(kept_as: str) -> None:
    """With any limits of lines and bytes: one entry more would be too many, or be of the next unit."""
    lines = [PlainLine(3 + each % 5, each, each, each.to_bytes(16, "big"), "ada", "music") for each in range(1, 30)]
    with limits(SEGMENT_LINES=10 if kept_as == "segments" else 100, LONG_BATCH_LINES=10):
        model = Model(lines, [])
    units = [*range(0, 20, 10), 20] if kept_as == "segments" else [0]
    for first, limit, size_bytes in product(range(29), (1, 3, 100), range(1, 60)):
        places, _ = query.find_page(model.index, Filter(start=model.offsets[first]), limit, size_bytes)
        found = plain(model, places)
        expected = first + 1
        end_of_unit = min((unit for unit in units if unit > first), default=29)
        while expected < min(end_of_unit, first + limit) and (
            model.offsets[expected + 1] - model.offsets[first] <= size_bytes
        ):
            expected += 1
        assert found[: expected - first] == model.places(Filter())[first:expected]
        assert len(found) == 1 or sum(end - start for start, end, _ in found) <= size_bytes
        assert len(found) <= limit
    model.index.database.close()


@given(models(), st.data())
def test_counts_are_those_of_a_plain_look_at_each_line(model: Model, data: st.DataObject) -> None:
    """With any filter, whether or not the summaries tell; and the totals of each name, most first."""
    wanted = data.draw(filters(model.offsets))
    assert query.count(model.index, wanted) == len(model.entries(wanted))
    for role in ROLES:
        every = [name for _, each in model.entries(Filter()) if (name := getattr(each, role))]
        for name in {*every, "", "absent"}:
            for names in (Names(frozenset({name})), Names(unwanted=frozenset({name}))):
                only = Filter({role: names}, start=wanted.start, stop=wanted.stop)
                assert query.count(model.index, only) == len(model.entries(only))
        expected = sorted(Counter(every).items(), key=lambda total: (-total[1], total[0]))
        assert list(query.totals(model.index, role).items()) == expected
    model.index.database.close()


@given(models(), st.data())
def test_what_is_asked_up_to_a_byte_is_of_the_lines_before_it(model: Model, data: st.DataObject) -> None:
    """The highest timestamp and the last op_id, wherever the byte lies: in a run, a segment, a line, the tail."""
    for stop in {*model.offsets, data.draw(st.integers(0, model.offsets[-1] + 5)), END}:
        before = model.entries(Filter(stop=stop))
        assert query.highest_lamport_ts(model.index, stop) == max((each.lamport_ts for _, each in before), default=0)
        assert query.last_op_id(model.index, stop) == (str(uuid.UUID(bytes=before[-1][1].op_id)) if before else "")
    assert query.highest_lamport_ts(model.index) == query.highest_lamport_ts(model.index, END)
    model.index.database.close()


@given(models())
def test_the_end_of_the_nth_line_with_an_entry_is_found(model: Model) -> None:
    """For each number, none and too many included; lines that repeat an entry count as well."""
    lines = zip(offsets_of(model.lines), model.lines, strict=False)
    ends = [0, *(at + each.length for at, each in lines if each.problem is None or each.problem[0] == "duplicate")]
    for number in range(len(ends) + 3):
        assert query.end_of_entry_line(model.index, number) == (ends[number] if number < len(ends) else None)
    model.index.database.close()


@given(models(), st.data())
def test_op_ids_are_completed(model: Model, data: st.DataObject) -> None:
    """Those that begin with some digits, sorted as text, so many at most; a line with a problem has none."""
    op_ids = sorted(str(uuid.UUID(bytes=each.op_id)) for _, each in model.entries(Filter()))
    some = data.draw(st.sampled_from([*op_ids, "00000000-0000", "f"])).replace("-", "")
    digits = some[: data.draw(st.integers(0, 32))]
    matching = [op_id for op_id in op_ids if op_id.replace("-", "").startswith(digits)]
    for limit in (1, 3, 100):
        assert query.op_ids_beginning(model.index, digits, limit) == matching[:limit]
    model.index.database.close()


def test_a_question_for_a_rare_name_looks_into_few_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and segments whose summaries do not list the name are passed over."""
    lines = [replace(each, intent="rare" if number == 700 else "often") for number, each in enumerate(some_lines(990))]
    with segments_of_four():
        model = Model([each for each in lines if not each.problem], [])
    seen: list[int] = []
    segment = Index.segment

    def noting(index: Index, number: int) -> Any:
        seen.append(number)
        return segment(index, number)

    monkeypatch.setattr(Index, "segment", noting)
    askings = [
        (partial(query.find_page, limit=5, size_bytes=10**9, reverse=reverse), Filter({"intent": names}))
        for reverse in (False, True)
        for names in (Names(frozenset({"rare"})), Names(unwanted=frozenset({"often"})))
    ]
    for ask, rare in askings:
        places, _ = ask(model.index, rare)
        assert plain(model, places) == model.places(rare)
    for names in (Names(frozenset({"rare"})), Names(unwanted=frozenset({"often"}))):
        assert query.count(model.index, Filter({"intent": names})) == 1
    for names in (Names(frozenset({"often"})), Names(unwanted=frozenset({"rare"}))):
        assert query.count(model.index, Filter({"intent": names})) == len(model.lines) - 1
    assert len(seen) == len(askings)
    model.index.database.close()


# -- by the public class, over segments of the usual size -----------------------------------------------------

MADE = 5 * DEFAULT.segment_lines // 2
FILTERS: list[dict[str, Any]] = [
    {},
    {"domain": "music"},
    {"domain": "absent"},
    {"actor_id": "rare"},
    {"actor_id": "bob", "domain": "code"},
    {"intent_id": "i1"},
    {"intent_id": ""},
    {"reservation_id": "r2", "intent_id": "i1"},
    {"min_lamport_ts": 100, "max_lamport_ts": 140},
    {"max_lamport_ts": 3},
    {"min_lamport_ts": MADE - 5, "actor_id": "ada"},
    {"actor_id": ("rare", "absent")},
    {"actor_id": frozenset({"rare"}), "not_domain": "music"},
    {"not_actor_id": ["ada", "bob"]},
    {"actor_id": ["ada", "rare"], "not_actor_id": "ada"},
    {"actor_id": []},
    {"not_domain": []},
    {"intent_id": ("", "i2")},
    {"where": {"position": 1500}},
    {"where": {"op": "move", "position": None}},
    {"where": {"op": "move"}, "actor_id": "bob", "not_domain": "code"},
]


def fill(log: OpLog) -> None:
    """Folded segments of entries, damaged lines and duplicates, a checkpoint in the second, and a tail of each."""
    made = [
        entry(number, **{**each, "intent_id": ("", "i1", "i2")[number % 3], "reservation_id": f"r{number % 5}"})
        for number, each in enumerate(map(dict, entries(MADE)), 1)
    ]
    made[1500]["actor_id"] = made[40]["actor_id"] = "rare"
    log.append_many(made[:2500])
    making.add_bytes(log.path, b"no entry\n" + making.line(made[7]) + b"\n")
    log.append_many(made[2500:3000])
    log.checkpoint("one")
    log.append_many(made[3000:-60])
    making.add_bytes(log.path, b"no entry\n" + making.line(made[-70]) + b"\n")
    for each in made[-60:]:
        log.append(each)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpLog]:
    """One log for all questions of this file; nobody writes to it."""
    with OpLog(tmp_path_factory.mktemp("reverse"), "s") as log:
        fill(log)
        yield log


@pytest.fixture(scope="module")
def scanned(filled: OpLog) -> list[plain_scan.Entry]:
    """What a plain scan finds in it."""
    return plain_scan.scan_file(filled.path).entries


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_reverse_is_the_plain_scan_backwards(
    filled: OpLog, scanned: list[plain_scan.Entry], filters: dict[str, Any]
) -> None:
    """With any filter, limit and checkpoint the answer is the end of the plain scan's, newest first."""
    expected = exact_list(plain_scan.select(scanned, **filters)[::-1])
    pending = exact_list(plain_scan.select(scanned[3000:], **filters)[::-1])
    assert exact_list(filled.query(reverse=True, **filters)) == expected
    assert exact_list(filled.query(reverse=True, since_checkpoint=True, **filters)) == pending
    for limit in (0, 1, 20, 61, DEFAULT.segment_lines + 1):
        assert exact_list(filled.query(reverse=True, limit=limit, **filters)) == expected[:limit]


def test_reverse_of_a_rebuilt_index_is_the_same(repo: Path) -> None:
    """Where nothing is in the tail the answers are as before, and so are they when the next entries arrive."""
    with OpLog(repo, "s") as log:
        fill(log)
        log.rebuild_index()
        assert exact_list(log.query(reverse=True)) == exact_list(plain_scan.scan_file(log.path).entries[::-1])
        log.append(entry(99_999))
        assert exact_list(log.query(reverse=True)) == exact_list(plain_scan.scan_file(log.path).entries[::-1])


def test_a_torn_tail_is_not_given(repo: Path, log: OpLog) -> None:
    """What has no newline yet is no entry, from the end neither; an empty log has no last entry."""
    assert list(log.query(reverse=True)) == []
    log.append_many(entries(3))
    making.add_bytes(log.path, making.line(entry(4))[:-1])
    assert exact_list(log.query(reverse=True, limit=1)) == exact_list([entries(3)[-1]])


def test_what_arrives_and_folds_meanwhile_changes_no_answer(repo: Path, log: OpLog) -> None:
    """A query that is under way gives what had arrived when it began, however the index is moved about."""
    log.append_many(entries(DEFAULT.segment_lines + 300))
    for each in entries(1500, start=DEFAULT.segment_lines + 301):
        log.append(each)
    before = plain_scan.scan_file(log.path).entries[::-1]
    some: list[dict[str, Any]] = [{}, {"domain": "music"}]
    for filters in some:
        running = log.query(reverse=True, **filters)
        taken = list(islice(running, 100))
        with OpLog(repo, "s") as other:
            other.append_many(entries(700, start=10_000 + 1000 * len(filters)))
            other.rebuild_index()
        assert exact_list([*taken, *running]) == exact_list(plain_scan.select(before, **filters))
        before = plain_scan.scan_file(log.path).entries[::-1]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The ranges of bytes that are read from any log."""
    seen: list[tuple[int, int]] = []
    read = LogFile.read

    def noting(file: LogFile, start: int, stop: int) -> bytes:
        seen.append((start, stop))
        return read(file, start, stop)

    monkeypatch.setattr(LogFile, "read", noting)
    return seen


@pytest.mark.parametrize("filters", [{}, {"domain": "music"}, {"min_lamport_ts": 5}], ids=str)
def test_the_last_entries_are_sought(
    filled: OpLog, scanned: list[plain_scan.Entry], reads: list[tuple[int, int]], filters: dict[str, Any]
) -> None:
    """Of the log no more is read than the lines that are given."""
    wanted = exact_list(plain_scan.select(scanned, **filters)[-20:])
    assert exact_list(filled.query(reverse=True, limit=20, **filters)) == wanted[::-1]
    assert min(start for start, _ in reads) > filled.path.stat().st_size - 2 * 20 * 500


def test_long_lines_are_read_in_bounded_pieces(repo: Path, log: OpLog, reads: list[tuple[int, int]]) -> None:
    """A page is bounded in bytes too: long lines come a few at a time."""
    made = [entry(number, domain_op={"op": "x", "text": "x" * 400_000}) for number in range(1, 12)]
    log.append_many(made)
    reads.clear()
    assert exact_list(log.query(reverse=True)) == exact_list(made[::-1])
    assert max(stop - start for start, stop in reads) < 1_300_000


@pytest.mark.parametrize("filters", [{"limit": -1}, {"domain": 5}], ids=str)
def test_bad_arguments_are_refused(log: OpLog, filters: dict[str, Any]) -> None:
    """The same arguments are refused as forward."""
    with pytest.raises(InvalidArgumentError):
        log.query(reverse=True, **filters)


def test_names_that_a_run_of_one_segment_does_not_list_are_counted(tmp_path: Path) -> None:
    """A segment lists them all the same: the totals are those of the entries, maintained and rebuilt."""
    made = entries(8)
    wanted = {"actor": Counter(each["actor_id"] for each in made), "domain": Counter(each["domain"] for each in made)}
    assert len(wanted["actor"]) > 1
    with segments_of(8, long_batch=8, MAX_RUN_NAMES=1), OpLog(tmp_path, "s") as log:
        log.append_many(made)
        assert (log.actors(), log.domains()) == (wanted["actor"], wanted["domain"])
        log.rebuild_index()
        assert (log.actors(), log.domains()) == (wanted["actor"], wanted["domain"])
