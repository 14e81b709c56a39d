"""Segments: what is packed comes back, the layout is the one that is drawn, and nothing altered is believed."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.entry.filter import Names
from muse.core.index.blocks.segment import (
    DamagedIndexError,
    Segment,
    Summary,
    checked,
    location,
    pack_lines,
    places,
    row_checksum,
)
from tests.index.plain_lines import (
    NAMES,
    ROLES,
    PlainLine,
    fed_with,
    offsets_of,
    plain,
    plain_lines,
    some_lines,
    without_parents,
)

STARTS = st.sampled_from([0, 1, 12_345, 2**32 + 5, 2**50])


def only(**names: str) -> dict[str, Names]:
    """The filter for one name of each of some roles."""
    return {role: Names(frozenset({name})) for role, name in names.items()}


def packed_and_unpacked(lines: Sequence[PlainLine], start: int = 0) -> Segment:
    """A segment of these lines, as it is after it was written and read."""
    packed = pack_lines(fed_with(lines, start))
    values = json.loads(json.dumps(packed.summary))
    return Segment(7, Summary(*values), {"columns": packed.columns, "op_ids": packed.op_ids, "links": b""}.__getitem__)


@given(plain_lines(min_size=1), STARTS)
def test_any_lines_come_back_as_they_were(lines: list[PlainLine], start: int) -> None:
    """Lines, packed and unpacked again, are the same but for their parents, which the links tell."""
    found = packed_and_unpacked(lines, start).lines()
    assert plain(found) == without_parents(lines)
    assert (found.start, found.end) == (start, offsets_of(lines, start)[-1])


def columns_as_drawn(block: bytes, names: list[list[str]], lowest: int) -> list[tuple[Any, ...]]:
    """Offset, checksum, timestamp and names of each line, read by the picture in the docstring of the module."""
    little = {"little": "<", "big": ">"}[sys.byteorder]
    order, lines, problem_bytes, width, *role_widths = struct.unpack_from(little + "IIIBBBBB", block)
    assert order == 0x01020304
    at = 20
    columns = []
    for size in (4, 4, width, *role_widths):
        code = {0: "", 1: "B", 2: "H", 4: "I", 8: "Q"}[size]
        columns.append(struct.unpack_from(f"{little}{lines}{code}", block, at) if code else (0,) * lines)
        at += size * lines
    problems = {number: (kind, reason) for number, kind, reason in json.loads(block[at:] or b"[]")}
    assert len(block) == at + problem_bytes
    return [
        (
            columns[0][line],
            columns[1][line],
            0 if line in problems else columns[2][line] + (lowest if width == 4 else 0),
            *(["", *names[role]][columns[3 + role][line]] for role in range(4)),
            problems.get(line),
        )
        for line in range(lines)
    ]


@given(plain_lines(min_size=1), STARTS)
def test_the_blocks_are_laid_out_as_drawn(lines: list[PlainLine], start: int) -> None:
    """A reader that knows only the picture of the layout finds the same lines in the block."""
    packed = pack_lines(fed_with(lines, start))
    summary = packed.summary
    names = [list(json.loads(str(column))) for column in summary[7:11]]
    assert columns_as_drawn(packed.columns, names, summary.lowest_lamport_ts or 0) == [
        (at - start, each.checksum, each.lamport_ts, *(getattr(each, role) for role in ROLES), each.problem)
        for at, each in zip(offsets_of(lines, start), lines, strict=False)
    ]
    assert packed.op_ids == b"".join(each.op_id or bytes(16) for each in lines)


@given(plain_lines(min_size=1), STARTS)
def test_the_summary_is_what_a_plain_count_says(lines: list[PlainLine], start: int) -> None:
    """Offsets, numbers of lines and entries, timestamps and names."""
    entries = [each for each in lines if each.problem is None]
    timestamps = [each.lamport_ts for each in entries]
    offsets = offsets_of(lines, start)
    summary = packed_and_unpacked(lines, start).summary
    assert (summary.first_offset, summary.end_offset) == (offsets[0], offsets[-1])
    assert (summary.lines, summary.entries) == (len(lines), len(entries))
    assert summary.lowest_lamport_ts == (min(timestamps) if entries else None)
    assert summary.highest_lamport_ts == (max(timestamps) if entries else None)
    for role in ROLES:
        said = [getattr(each, role) for each in entries]
        assert summary.names(role) == {name: said.count(name) for name in set(said) - {""}}


@given(plain_lines(min_size=1), st.dictionaries(st.sampled_from(ROLES), NAMES, max_size=3), st.data())
def test_a_summary_passes_over_no_entry_that_matches(
    lines: list[PlainLine], names: dict[str, str], data: st.DataObject
) -> None:
    """With any names and timestamps asked for: if an entry matches, the summary says that one may."""
    lowest, highest = sorted(data.draw(st.tuples(st.integers(0, 20), st.integers(0, 20))))
    for summary in (
        (whole := packed_and_unpacked(lines).summary),
        whole._replace(actors=None),
        whole._replace(actors=None, domains=None, intents=None, reservations=None),
    ):
        if any(
            each.problem is None
            and lowest <= each.lamport_ts <= highest
            and all(getattr(each, role) == name for role, name in names.items())
            for each in lines
        ):
            assert summary.may_match(only(**names), lowest, highest)


def test_a_summary_passes_over_what_can_not_match() -> None:
    """Absent names, timestamps outside the range, and "without a name" if all have one, are passed over."""
    summary = packed_and_unpacked([replace(each, intent="the intent") for each in some_lines(10)]).summary
    assert summary.may_match(only(actor="actor 1", intent="the intent"), 0, 2**60)
    assert packed_and_unpacked(some_lines(10)).summary.may_match(only(intent=""), 0, 2**60)
    for names in (only(actor="absent"), only(intent=""), only(actor="actor 1", domain="absent")):
        assert not summary.may_match(names, 0, 2**60)
    assert not summary.may_match({}, (summary.highest_lamport_ts or 0) + 1, 2**60)
    assert not summary.may_match({}, 0, (summary.lowest_lamport_ts or 0) - 1)
    only_problems = packed_and_unpacked([PlainLine(3, 5, problem=("blank", ""))]).summary
    assert not only_problems.may_match({}, 0, 2**60)


@given(plain_lines(min_size=1), st.data())
def test_an_op_id_is_found_where_it_stands_and_nowhere_else(lines: list[PlainLine], data: st.DataObject) -> None:
    """Also if its bytes occur across two others, or are those that stand for a line with a problem."""
    segment = packed_and_unpacked(lines)
    op_ids = [each.op_id for each in lines]
    joined = b"".join(each or bytes(16) for each in op_ids)
    at = data.draw(st.integers(0, len(joined) - 16))
    for wanted in {*filter(None, op_ids), joined[at : at + 16], bytes(16), b"\xff" * 16}:
        assert segment.find(wanted) == (op_ids.index(wanted) if wanted in op_ids else None)
    for number, op_id in enumerate(op_ids):
        assert segment.op_id(number) == (op_id or bytes(16))


def test_an_op_id_after_two_that_contain_it_across_their_border_is_found() -> None:
    """Every false find is passed over, and the search does not end with the first."""
    halves = [bytes((each,)) * 8 for each in (1, 2, 3)]
    op_ids = [halves[0] + halves[1], halves[2] + halves[0], halves[1] + halves[2]]
    sought = [halves[1] + halves[2], halves[0] + halves[1], halves[2] + halves[0]]
    segment = packed_and_unpacked([PlainLine(9, 1, 1, op_id, "ada", "music") for op_id in op_ids])
    assert [segment.find(op_id) for op_id in op_ids] == [0, 1, 2]
    assert [segment.find(op_id) for op_id in sought] == [2, 0, 1]
    assert segment.find(halves[0] + halves[2]) is None


@given(plain_lines(min_size=1))
def test_names_are_found_as_a_plain_look_at_each_line_finds_them(lines: list[PlainLine]) -> None:
    """For every role and name, the empty one and an absent one included; a line with a problem has none."""
    segment = packed_and_unpacked(lines)
    for role in ROLES:
        said = [None if each.problem else getattr(each, role) for each in lines]
        for name in {*filter(None, said), "", "absent"}:
            assert segment.with_names(role, Names(frozenset({name}))) == [
                n for n, each in enumerate(said) if each == name
            ]
            assert segment.with_names(role, Names(unwanted=frozenset({name}))) == [
                n for n, each in enumerate(said) if each not in {name, None}
            ]


@pytest.mark.parametrize("names", [1, 255, 256, 300, 2048])
def test_any_number_of_names_is_told_apart(names: int) -> None:
    """A byte a line is enough for 255 names, two for more; each name leads to its lines."""
    lines = [replace(each, actor=f"name {n % names}") for n, each in enumerate(some_lines(2048)) if not each.problem]
    segment = packed_and_unpacked(lines)
    assert pack_lines(fed_with(lines)).columns[13] == (1 if names < 256 else 2)
    for name in (f"name {number}" for number in {0, names // 2, names - 1}):
        found = segment.with_names("actor", Names(frozenset({name})))
        assert found == [n for n, each in enumerate(lines) if each.actor == name]
    assert plain(segment.lines()) == lines


@pytest.mark.parametrize("spread", [0, 2**32 - 2, 2**32 - 1, 2**32, 2**53 - 8])
@pytest.mark.parametrize("with_problem", [False, True])
def test_timestamps_any_distance_apart_are_kept(spread: int, with_problem: bool) -> None:
    """Four bytes or eight a line, whether or not there is a line without a timestamp among them."""
    wanted = [7, 7 + spread, 8, 7]
    lines = [replace(each, lamport_ts=ts) for each, ts in zip(some_lines(4), wanted, strict=True)]
    if with_problem:
        lines.insert(2, PlainLine(3, 5, problem=("blank", "")))
    found = packed_and_unpacked(lines)
    assert [ts for ts, each in zip(found.lamport_ts, lines, strict=True) if not each.problem] == wanted
    assert plain(found.lines()) == lines


@pytest.mark.parametrize("line", [some_lines(1)[0], PlainLine(1, 0, problem=("blank", ""))])
def test_one_line_is_a_segment(line: PlainLine) -> None:
    """All that can be asked of many lines can be asked of one, be it an entry or not."""
    segment = packed_and_unpacked([line], start=50)
    assert plain(segment.lines()) == [line]
    assert len(segment) == 1
    assert segment.length(0) == line.length
    assert segment.numbers_with_problems() == ([0] if line.problem else [])
    assert segment.problems == ({50: line.problem} if line.problem else {})


@given(plain_lines(min_size=1), STARTS)
def test_places_are_those_of_the_lines(lines: list[PlainLine], start: int) -> None:
    """Number, length and location by byte offset, of the segment as of the lines that it was made of."""
    offsets = offsets_of(lines, start)
    for unit in (segment := packed_and_unpacked(lines, start), fed_with(lines, start)):
        for at in {*offsets, *(each + 1 for each in offsets), max(start - 1, 0), 0}:
            assert unit.number_at(at) == sum(each < at for each in offsets[:-1])
        assert [unit.length(number) for number in range(len(lines))] == [each.length for each in lines]
        entries = [number for number, each in enumerate(lines) if not each.problem]
        assert [location(unit, number) for number in entries] == [
            (offsets[n], lines[n].length, lines[n].checksum, lines[n].lamport_ts) for n in entries
        ]
        for numbers in (entries, entries[::2], entries[:1], range(len(lines)), ()):
            found = places(unit, numbers)
            covered = [
                n for n, at in enumerate(offsets[:-1]) if any(s <= at < e for s, e in zip(*found[:2], strict=True))
            ]
            assert covered == list(numbers)
            assert found.size_bytes == sum(lines[n].length for n in numbers)
            assert found.checksums == [lines[n].checksum for n in numbers]
        assert unit.numbers_with_problems() == [n for n, each in enumerate(lines) if each.problem]
    assert segment.problems == {at: each.problem for at, each in zip(offsets, lines, strict=False) if each.problem}


def test_a_segment_of_another_byte_order_is_refused() -> None:
    """An index that was copied from a machine with the other byte order is not read wrongly."""
    packed = pack_lines(fed_with(some_lines(5)))
    turned = packed.columns[3::-1] + packed.columns[4:]
    with pytest.raises(DamagedIndexError, match="byte order"):
        Segment(1, packed.summary, lambda _name: turned).number_at(0)


def test_a_row_checksum_is_the_crc_of_the_values_as_json() -> None:
    """Anyone can compute it: CRC-32 of a JSON array without spaces, in UTF-8."""
    values = (5, None, "Zoë", 2**53 - 1, "")
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    assert row_checksum(values) == zlib.crc32(text.encode())


def test_a_row_with_a_value_of_a_foreign_type_is_damage() -> None:
    """Bytes in place of a number or text, as a damaged row may give them, are refused by the index's own error."""
    with pytest.raises(DamagedIndexError):
        row_checksum((1, b"bytes"))


@pytest.mark.parametrize("block", [b"other", b"", "text", None, 5])
def test_an_altered_block_is_not_believed(block: object) -> None:
    """A block is given only if it is bytes and has the checksum that is expected."""
    expected = zlib.crc32(b"block")
    assert checked(b"block", expected, "it") == b"block"
    with pytest.raises(DamagedIndexError, match="it is altered"):
        checked(block, expected, "it")
