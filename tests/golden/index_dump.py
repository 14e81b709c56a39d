"""An index as text: every table, its blocks decoded by docs/format.md, "The index".

This module must not import `muse`: it shows that the page alone tells how to read an index. It shows of a checksum only
whether it is right, since what zlib makes of links differs from version to version.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

ROLES = ("actor", "domain", "intent", "reservation")

_SUMMARY = (
    *("first_offset", "end_offset", "lines", "entries", "entries_before", "lowest_lamport_ts", "highest_lamport_ts"),
    *("actors", "domains", "intents", "reservations", "parent_segments", "unresolved_links"),
)
_SEGMENT = ("number", *_SUMMARY, "columns_checksum", "op_ids_checksum", "links_checksum")
_RUN = ("first_segment", *_SUMMARY, "directory_checksum", "block_checksum")
_TAIL = (
    *("byte_offset", "length", "checksum", "lamport_ts", "op_id", "actor_id", "domain", "intent_id"),
    *("reservation_id", "parents", "problem"),
)


@dataclass(frozen=True)
class Columns:
    """The block `columns` of a segment."""

    widths: tuple[int, ...]
    """Bytes a line of timestamps and of each role."""
    offsets: list[int]
    checksums: list[int]
    timestamps: list[int]
    roles: dict[str, list[int]]
    problems: list[tuple[int, str, str]]


@dataclass(frozen=True)
class Links:
    """The block `links` of a segment: byte offsets of children, and what they name."""

    resolved: list[tuple[int, int]]
    unresolved: list[tuple[int, str]]


def tables(path: Path) -> dict[str, list[sqlite3.Row]]:
    """The rows of every table of an index, and of the view `entries`."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        order = {
            **dict.fromkeys(("tail", "segment", "origin", "run", "seen_checkpoint"), "1"),
            "run_page": "1, 3",
            "held_entry": "1, 2, 3",
        }
        return {
            name: db.execute(f"SELECT * FROM {name} ORDER BY {columns}").fetchall()
            for name, columns in {**order, "entries": 1}.items()
        }


# -- blocks -----------------------------------------------------------------------------------------------------


def columns_of(row: sqlite3.Row) -> Columns:
    """The block `columns` of the row of a segment."""
    block = row["columns"]
    order, lines, problem_bytes, *widths = struct.unpack_from("=III5B3x", block)
    assert order == 0x01020304
    at = 20
    found: list[list[int]] = []
    for width in (4, 4, *widths):
        letter = {0: "", 1: "B", 2: "H", 4: "I", 8: "Q"}[width]
        found.append(list(struct.unpack_from(f"={lines}{letter}", block, at)) if width else [0] * lines)
        at += width * lines
    problems = json.loads(block[at:]) if problem_bytes else []
    assert len(block) == at + problem_bytes
    offsets, checksums, timestamps, *names = found
    roles = dict(zip(ROLES, names, strict=True))
    return Columns(tuple(widths), offsets, checksums, timestamps, roles, [tuple(problem) for problem in problems])


def op_ids_of(row: sqlite3.Row) -> list[str]:
    """The op_id of each line of a segment; zeros for a line that is not an entry."""
    return _op_ids(row["op_ids"])


def _op_ids(packed: bytes) -> list[str]:
    return [str(uuid.UUID(bytes=packed[at : at + 16])) for at in range(0, len(packed), 16)]


def links_of(row: sqlite3.Row) -> Links:
    """The block `links` of the row of a segment."""
    block = row["links"]
    if not block:
        return Links([], [])
    (length,) = struct.unpack_from("<I", block)
    first, rest = zlib.decompress(block[4 : 4 + length]), block[4 + length :]
    numbers = struct.unpack(f"<{len(first) // 8}q", first)
    steps, distances = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    children = list(accumulate(steps, initial=row["first_offset"]))[1:]
    resolved = [(child, child - distance) for child, distance in zip(children, distances, strict=True)]
    second = zlib.decompress(rest) if rest else b""
    count = len(second) // 24
    children = list(accumulate(struct.unpack_from(f"<{count}q", second), initial=row["first_offset"]))[1:]
    return Links(resolved, list(zip(children, _op_ids(second[8 * count :]), strict=True)))


def directory_of(row: sqlite3.Row) -> list[tuple[int, int]]:
    """(first offset, checksum of its row) of each segment of a run."""
    count = len(row["directory"]) // 12
    numbers = struct.unpack(f"={count}Q{count}I", row["directory"])
    return list(zip(numbers[:count], numbers[count:], strict=True))


def keys_in(packed: bytes) -> list[int]:
    """Keys of 8 bytes each."""
    return list(struct.unpack(f"={len(packed) // 8}Q", packed))


def zeros_of(part: bytes) -> list[int]:
    """The numbers of the bits of a filter's part that are 0; bit 0 is the highest of the first byte."""
    return [number for number in range(8 * len(part)) if not part[number // 8] & 128 >> number % 8]


def json_checksum(values: Sequence[Any]) -> int:
    """The checksum of a row's values."""
    return zlib.crc32(json.dumps(list(values), separators=(",", ":"), ensure_ascii=False).encode())


# -- text -------------------------------------------------------------------------------------------------------


def dump(path: Path, large_run_segments: int) -> str:
    """The index at `path` as text; runs of so many segments or more have pages and a filter."""
    rows = tables(path)
    checksums = {row["number"]: row["row_checksum"] for row in rows["segment"]}
    pages = Counter(row["first_segment"] for row in rows["run_page"])
    parts_of = {row["first_segment"]: pages[row["first_segment"]] - len(keys_in(row["block"])) for row in rows["run"]}
    ((_, _, factor, _),) = rows["origin"]
    parts: list[Iterator[str]] = [
        *(_segment(row) for row in rows["segment"]),
        *(_plain("origin", row, ("session", "factor"), row["id"]) for row in rows["origin"]),
        *(_run(row, checksums, factor, large_run_segments) for row in rows["run"]),
        *(_page(row, factor, parts_of[row["first_segment"]]) for row in rows["run_page"]),
        *(_plain("tail", row, _TAIL, row["byte_offset"]) for row in rows["tail"]),
        *(_plain("seen_checkpoint", row, ("byte_offset", "record"), row["id"]) for row in rows["seen_checkpoint"]),
        *(_plain("held_entry", row, row.keys()[:-1], row["byte_offset"]) for row in rows["held_entry"]),
        _view(rows["entries"]),
    ]
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts)


def _segment(row: sqlite3.Row) -> Iterator[str]:
    yield f"segment {row['number']}"
    yield from _values(row, _SUMMARY)
    for block in ("columns", "op_ids", "links"):
        yield _checksum(f"{block}_checksum", row[f"{block}_checksum"], zlib.crc32(row[block]))
    yield _row_checksum(row, _SEGMENT)
    columns = columns_of(row)
    widths = ", ".join(f"{letter} {width}" for letter, width in zip("tadir", columns.widths, strict=True))
    yield f"  columns: {len(columns.offsets)} lines, {len(columns.problems)} problems; bytes a line: {widths}"
    yield "    line   offset  checksum         timestamp  actor  domain  intent  reservation"
    of_lines = zip(columns.offsets, columns.checksums, columns.timestamps, *columns.roles.values(), strict=True)
    for number, (offset, checksum, timestamp, *names) in enumerate(of_lines):
        shown = "".join(f"{name:>{width}}" for name, width in zip(names, (7, 8, 8, 13), strict=True))
        yield f"    {number:>4}{offset:>9}  {checksum:08x}{timestamp:>18}{shown}"
    for number, kind, reason in columns.problems:
        yield f"    problem of line {number}: {kind}{reason and '; '}{reason}"
    yield "  op_ids"
    for number, op_id in enumerate(op_ids_of(row)):
        yield f"    {number:>4}  {op_id}"
    links = links_of(row)
    yield f"  links: {len(links.resolved)} resolved, {len(links.unresolved)} unresolved"
    for child, parent in links.resolved:
        yield f"    the line at {child} names the line at {parent}"
    for child, op_id in links.unresolved:
        yield f"    the line at {child} names {op_id}"


def _run(row: sqlite3.Row, checksums: dict[int, int], factor: str, large_run_segments: int) -> Iterator[str]:
    directory = directory_of(row)
    first = row["first_segment"]
    yield f"run of the segments {first} to {first + len(directory) - 1}"
    yield from _values(row, _SUMMARY)
    for block in ("directory", "block"):
        yield _checksum(f"{block}_checksum", row[f"{block}_checksum"], zlib.crc32(row[block]))
    yield _row_checksum(row, _RUN, factor)
    yield "  directory"
    for number, (first_offset, checksum) in enumerate(directory, start=first):
        verdict = _verdict(checksum, checksums[number])
        yield f"    segment {number} begins at {first_offset}, checksum of its row: {verdict}"
    yield f"  block: {'the first key of each page' if len(directory) >= large_run_segments else 'its keys'}"
    yield from _keys(keys_in(row["block"]))


def _page(row: sqlite3.Row, factor: str, parts: int) -> Iterator[str]:
    """One of so many parts of a filter, or a page of keys behind them."""
    key = (row["first_segment"], row["end_segment"], row["page"])
    yield f"run_page {row['page']} of the segments {key[0]} to {key[1] - 1}"
    yield _checksum("row_checksum", row["row_checksum"], zlib.crc32(row["content"], json_checksum([*key, factor])))
    if row["page"] >= parts:
        yield from _keys(keys_in(row["content"]))
    else:
        zeros = " ".join(map(str, zeros_of(row["content"])))
        yield f"    part {row['page']} of the filter: {8 * len(row['content'])} bits, 0 are: {zeros}"


def _keys(keys: Sequence[int]) -> Iterator[str]:
    for key in keys:
        yield f"    {key >> 24:010x} in segment {key & 0xFFFFFF}"


def _plain(table: str, row: sqlite3.Row, columns: Sequence[str], key: int) -> Iterator[str]:
    yield f"{table} {key}"
    yield from _values(row, columns)
    yield _row_checksum(row, columns)


def _view(rows: Sequence[sqlite3.Row]) -> Iterator[str]:
    yield "view entries"
    for row in rows:
        yield "  " + json.dumps(list(row), ensure_ascii=True)


def _values(row: sqlite3.Row, columns: Sequence[str]) -> Iterator[str]:
    for column in columns:
        value = row[column]
        text = "NULL" if value is None else value if isinstance(value, str) else str(value)
        # U+2028 would look like the end of a line.
        yield f"  {column:<19} {text.encode('unicode_escape').decode()}".rstrip()


def _row_checksum(row: sqlite3.Row, columns: Sequence[str], *more: str) -> str:
    return _checksum("row_checksum", row["row_checksum"], json_checksum([*(row[column] for column in columns), *more]))


def _checksum(name: str, found: int, expected: int) -> str:
    return f"  {name:<19} {_verdict(found, expected)}"


def _verdict(found: int, expected: int) -> str:
    return "right" if found == expected else "WRONG"
