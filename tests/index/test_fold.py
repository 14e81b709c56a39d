"""Folding: where segments end, what a fold writes, and that runs cover the segments without a gap."""

from __future__ import annotations

import json
import sqlite3
import struct
import sys
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core import options
from muse.core.index.blocks.links import NO_LINKS
from muse.core.index.blocks.op_id_runs import FAN_OUT, FILTERED_SEGMENTS, Run
from muse.core.index.fold import end_of_segment, page_checksum, write_segment
from muse.core.index.store import Index
from tests.index.blocks.test_op_id_keys import hash_by_hand
from tests.index.blocks.test_op_id_runs import digits
from tests.index.plain_lines import PlainLine, fed_with, index_in_memory, offsets_of, plain_lines, some_lines
from tests.samples import examples
from tests.small_index import limits

MAX_SEGMENT_BYTES = 2**32


@given(st.lists(st.sampled_from([1, 2, 2**31, 2**32 - 1, 2**32, 2**32 + 1]), max_size=20), st.data())
def test_a_segment_ends_where_it_is_full(lengths: list[int], data: st.DataObject) -> None:
    """It takes so many lines at most, none that begins too far from its start for four bytes, and one at least."""
    lines = fed_with([PlainLine(length, 0, problem=("blank", "")) for length in lengths])
    low = data.draw(st.integers(0, len(lengths)))
    with limits(SEGMENT_LINES=8, LONG_BATCH_LINES=3):
        high = end_of_segment(lines, low, options.DEFAULT)
    rest = lengths[low:]
    if len(rest) < 3:
        assert high == low
        return
    expected = 1
    while expected < min(8, len(rest)) and sum(rest[:expected]) < MAX_SEGMENT_BYTES:
        expected += 1
    assert high == low + expected


def folded(lines: list[list[PlainLine]]) -> Index:
    """An index into which each of some lists of lines was folded as a segment."""
    index = index_in_memory()
    runs: list[Run] = []
    start = 0
    for part in lines:
        runs = write_segment(index.database, runs, index.new_run, fed_with(part, start), NO_LINKS)
        start = offsets_of(part, start)[-1]
    index.refresh()
    assert [run.first_segment for run in index.runs] == [run.first_segment for run in runs]
    return index


def rows(connection: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    """The rows of a table by the names of its columns."""
    found = connection.execute(f"SELECT * FROM {table}")
    names = [each[0] for each in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def factor_of(connection: sqlite3.Connection) -> str:
    """The factor by which an index hashes op_ids, in hexadecimal."""
    (row,) = rows(connection, "origin")
    return str(row["factor"])


PARTS = st.one_of(
    st.lists(plain_lines(min_size=2, max_size=6), min_size=1, max_size=40),
    # So many that runs with pages become one.
    st.lists(plain_lines(min_size=2, max_size=3), min_size=66, max_size=68),
)


@given(PARTS)
@examples(40)
def test_segments_tile_the_lines_and_runs_tile_the_segments(parts: list[list[PlainLine]]) -> None:
    """In the tables each begins where the one before ends: bytes, numbers of segments and of entries."""
    index = folded(parts)
    offsets = offsets_of([each for part in parts for each in part])
    segments = rows(index.connection, "segment")
    assert [row["number"] for row in segments] == list(range(1, len(parts) + 1))
    for table in ("segment", "run"):
        end = entries = 0
        for row in rows(index.connection, table):
            assert (row["first_offset"], row["entries_before"]) == (end, entries)
            end, entries = row["end_offset"], entries + row["entries"]
        assert end == offsets[-1]
        assert entries == sum(not each.problem for part in parts for each in part)
    index.database.close()


@given(PARTS)
@examples(40)
def test_runs_are_as_large_as_the_digits_of_their_number(parts: list[list[PlainLine]]) -> None:
    """Four of one size became one; a run's directory has its segments' starts and checksums; large ones have pages."""
    index = folded(parts)
    code = {"little": "<", "big": ">"}[sys.byteorder]
    segments = rows(index.connection, "segment")
    sizes, pages = [], {row["first_segment"] for row in rows(index.connection, "run_page")}
    for row in rows(index.connection, "run"):
        size = len(row["directory"]) // 12
        covered = segments[row["first_segment"] - 1 :][:size]
        expected = [*(each["first_offset"] for each in covered), *(each["row_checksum"] for each in covered)]
        assert list(struct.unpack(f"{code}{size}Q{size}I", row["directory"])) == expected
        assert (row["first_segment"] in pages) == (size >= FILTERED_SEGMENTS)
        sizes.append(size)
    assert sizes == digits(len(parts), FAN_OUT, 4**5)
    ends = {(run.first_segment, run.end_segment) for run in index.runs}
    assert {(row["first_segment"], row["end_segment"]) for row in rows(index.connection, "run_page")} <= ends
    index.database.close()


@given(PARTS)
@examples(40)
def test_each_op_id_is_in_exactly_one_run(parts: list[list[PlainLine]]) -> None:
    """All keys of all runs are one for each hash of a segment, however the runs were merged."""
    index = folded(parts)
    found = [key for run in index.runs for key in run.all_keys()]
    factor = factor_of(index.connection)
    expected = [
        hashed * 2**24 + number
        for number, part in enumerate(parts, 1)
        for hashed in {hash_by_hand(each.op_id, int(factor, 16)) for each in part if not each.problem}
    ]
    assert sorted(found) == sorted(expected)
    index.database.close()


def test_every_row_has_the_checksums_that_are_described() -> None:
    """CRC-32 of each block, and of the row's other values as JSON; of a page of keys its place comes first.

    Of runs and pages also of the factor by which the index hashes op_ids: so they belong to no other index.
    """
    index = folded([some_lines(5, start=5 * number) for number in range(20)])
    factor = factor_of(index.connection)
    for table, blocks in (("segment", ["columns", "op_ids", "links"]), ("run", ["directory", "block"])):
        for row in rows(index.connection, table):
            for block in blocks:
                assert row[f"{block}_checksum"] == zlib.crc32(row[block])
            values = [value for name, value in row.items() if name not in {*blocks, "row_checksum"}]
            values += [factor] if table == "run" else []
            text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
            assert row["row_checksum"] == zlib.crc32(text.encode())
    pages = rows(index.connection, "run_page")
    assert pages
    for page in pages:
        key = (page["first_segment"], page["end_segment"], page["page"])
        text = json.dumps([*key, factor], separators=(",", ":"))
        expected = zlib.crc32(text.encode() + page["content"])
        assert page["row_checksum"] == page_checksum(key, factor, page["content"]) == expected
    (row,) = rows(index.connection, "origin")
    assert row["row_checksum"] == zlib.crc32(json.dumps(["", factor], separators=(",", ":")).encode())
    index.database.close()


@pytest.mark.parametrize("role", ["actors", "domains", "intents", "reservations"])
def test_sql_adds_up_the_names_of_the_segments(role: str) -> None:
    """`json_each` over the summaries gives how many entries have each name."""
    lines = some_lines(60)
    index = folded([lines[at : at + 6] for at in range(0, 60, 6)])
    for table in ("segment", "run"):
        found = index.connection.execute(f"SELECT key, sum(value) FROM {table}, json_each({role}) GROUP BY key")
        said = [getattr(each, role[:-1]) for each in lines]
        assert dict(found.fetchall()) == {name: said.count(name) for name in set(said) - {""}}
    index.database.close()
