"""The layout of the index: a golden dump of one, and docs/format.md held against a plain scan of its log."""

from __future__ import annotations

import json
import sqlite3
import uuid
import zlib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests import plain_scan
from tests.golden import index_dump
from tests.golden.make import CHANGED, INDEX, LARGE_RUN_SEGMENTS, PART_BITS, index_in, make_index
from tests.making import op_id

LOG = (INDEX / "ops.jsonl").read_bytes()
SCANNED = plain_scan.scan(LOG)
LINES = LOG.split(b"\n")[:-1]
Tables = dict[str, list[sqlite3.Row]]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """The rows of the index that the dump shows."""
    return index_dump.tables(index_in(tmp_path_factory.mktemp("repo")))


def test_index_made_today_is_the_golden_one(tmp_path: Path) -> None:
    """The layout is that of the dump in the tree, to the byte; `python -m tests.golden.make` writes it anew."""
    make_index(tmp_path)

    assert (tmp_path / "ops.jsonl").read_bytes() == LOG
    assert (tmp_path / "dump.txt").read_text("utf-8") == (INDEX / "dump.txt").read_text("utf-8")


def test_golden_index_shows_everything() -> None:
    """Each table has rows, with runs of three sizes and lines of every kind, and each checksum is right."""
    text = (INDEX / "dump.txt").read_text("utf-8")
    titles = [line.split(" ")[0] for line in text.splitlines() if line and not line.startswith(" ")]

    assert set(titles) == {
        "segment",
        "origin",
        "run",
        "run_page",
        "tail",
        "seen_checkpoint",
        "held_entry",
        "view",
    }
    assert (titles.count("segment"), titles.count("run"), titles.count("run_page")) == (7, 3, 5)
    assert all(f": {kind}" in text for kind in ("blank", "damaged", "duplicate"))
    assert "t 8," in text
    assert "1 unresolved" in text
    assert " right\n" in text
    assert "WRONG" not in text


def test_lines_decoded_by_the_page_tile_the_log(tables: Tables) -> None:
    """Offset and checksum of each line are those of its bytes, first in the segments, then in the tail."""
    found = []
    for row in tables["segment"]:
        columns = index_dump.columns_of(row)
        found += [(row["first_offset"] + at, crc) for at, crc in zip(columns.offsets, columns.checksums, strict=True)]
    found += [(row["byte_offset"], row["checksum"]) for row in tables["tail"]]
    expected, at = [], 0
    for line in LINES:
        expected.append((at, zlib.crc32(line + b"\n")))
        at += len(line) + 1

    assert found == expected


def entries_in(tables: Tables) -> list[tuple[Any, ...]]:
    """Every entry of an index, decoded by the page: all that it knows but for its parents."""
    found: list[tuple[Any, ...]] = []
    for row in tables["segment"]:
        columns = index_dump.columns_of(row)
        base = row["lowest_lamport_ts"] if columns.widths[0] == 4 else 0
        listed = [["", *json.loads(row[f"{role}s"])] for role in index_dump.ROLES]
        problems = {number for number, _, _ in columns.problems}
        for number, named in enumerate(index_dump.op_ids_of(row)):
            if number not in problems:
                names = [
                    all_names[columns.roles[role][number]]
                    for role, all_names in zip(index_dump.ROLES, listed, strict=True)
                ]
                timestamp = base + columns.timestamps[number]
                found.append((row["first_offset"] + columns.offsets[number], timestamp, named, *names))
    return found + [tuple(row)[:1] + tuple(row)[3:9] for row in tables["tail"] if row["problem"] is None]


def test_entries_decoded_by_the_page_are_those_of_a_plain_scan(tables: Tables) -> None:
    """Timestamps, op_ids and names come out of the blocks as they stand in the log, and the view gives the same."""
    fields = ("lamport_ts", "op_id", "actor_id", "domain", "intent_id", "reservation_id")
    expected = [
        (span.byte_offset, *(entry[field] for field in fields))
        for span, entry in zip(SCANNED.spans, SCANNED.entries, strict=True)
    ]

    assert entries_in(tables) == expected
    assert [tuple(row) for row in tables["entries"]] == [entry[:5] for entry in expected]


def test_links_decoded_by_the_page_are_those_of_a_plain_scan(tables: Tables) -> None:
    """Each parent that an entry names is in a link, by its place or by its op_id, or in the row of the tail."""
    op_ids = {span.byte_offset: entry["op_id"] for span, entry in zip(SCANNED.spans, SCANNED.entries, strict=True)}
    found = []
    for row in tables["segment"]:
        links = index_dump.links_of(row)
        found += [(child, op_ids[parent]) for child, parent in links.resolved]
        found += links.unresolved
    for row in tables["tail"]:
        found += [(row["byte_offset"], op_id) for op_id in (row["parents"] or "").split()]

    assert sorted(found) == sorted(
        (span.byte_offset, parent)
        for span, entry in zip(SCANNED.spans, SCANNED.entries, strict=True)
        for parent in entry["parent_op_ids"]
    )


def test_keys_and_filter_follow_from_the_op_ids_as_the_page_says(tables: Tables) -> None:
    """A run has the keys of all entries of its segments, sorted, and in a filter the four bits of each."""
    pages = {(row["first_segment"], row["page"]): row["content"] for row in tables["run_page"]}
    places = {at: op_id for at, _, op_id, *_ in entries_in(tables)}
    (secret,) = tables["origin"]
    for row in tables["run"]:
        first, segments = row["first_segment"], len(index_dump.directory_of(row))
        expected = sorted(
            hash_of(op_id, int(secret["factor"], 16)) << 24 | segment["number"]
            for segment in tables["segment"][first - 1 : first - 1 + segments]
            for at, op_id in places.items()
            if segment["first_offset"] <= at < segment["end_offset"]
        )
        block = index_dump.keys_in(row["block"])
        if segments < LARGE_RUN_SEGMENTS:
            assert block == expected
            continue
        k = next(k for k in range(3, 64) if 2**k > 12 * row["entries"])
        part_bits = min(k, PART_BITS)
        parts = [pages[first, part] for part in range(2 ** (k - part_bits))]
        assert {8 * len(part) for part in parts} == {2**part_bits}
        of_run = [index_dump.keys_in(pages[first, len(parts) + page]) for page in range(len(block))]
        assert list(chain.from_iterable(of_run)) == expected
        assert block == [keys[0] for keys in of_run]
        assert (first, len(parts) + len(block)) not in pages
        zeros = set()
        for key in expected:
            part, one = divmod(key >> 64 - k, 2**part_bits)
            other = (key >> 24) % 2**part_bits
            zeros |= {(part, one), (part, other), (part, one ^ other), (part, one ^ other // 2)}
        found = {(number, bit) for number, part in enumerate(parts) for bit in index_dump.zeros_of(part)}
        assert found == zeros


def hash_of(op_id: str, factor: int) -> int:
    """The upper 40 bits of the lower 128 of an op_id, on a little-endian machine, times the factor."""
    return int.from_bytes(uuid.UUID(op_id).bytes, "little") * factor % 2**128 >> 88


def test_evidence_is_what_happened_to_the_log(tables: Tables) -> None:
    """The first line has changed since it was indexed first, and a checkpoint covers the whole log."""
    before = (LINES[0] + b"\n").replace(*CHANGED)

    assert before not in LOG
    held = (0, len(before), zlib.crc32(before), 1, op_id(1))
    assert [tuple(row)[:5] for row in tables["held_entry"]] == [held]
    (seen,) = tables["seen_checkpoint"]
    assert (seen["byte_offset"], json.loads(seen["record"])["snapshot_id"]) == (len(LOG), "snapshot-1")
