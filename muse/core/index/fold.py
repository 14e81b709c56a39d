"""Folding: consecutive lines become a segment with a run of its own, and runs of one size become a larger one."""

from __future__ import annotations

import sqlite3
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence

from muse.core.index.blocks.links import PackedLinks
from muse.core.index.blocks.op_id_runs import Run, block_of, merged_keys, merged_summary, runs_to_merge
from muse.core.index.blocks.segment import (
    MAX_SEGMENT_BYTES,
    SUMMARY_COLUMNS,
    PackedLines,
    Summary,
    as_json,
    pack_lines,
    row_checksum,
)
from muse.core.index.file import Database
from muse.core.options import Options
from muse.core.storage.lines import Lines

NewRun = Callable[[int, Summary, bytes, bytes], Run]
"""Makes a run of (its first segment, summary, directory, block)."""

SUMMARY_WIDTH = SUMMARY_COLUMNS.count(",") + 1
SEGMENT_COLUMNS = f"number, {SUMMARY_COLUMNS}, columns_checksum, op_ids_checksum, links_checksum"
"""What the checksum of a segment's row covers."""
RUN_COLUMNS = f"first_segment, {SUMMARY_COLUMNS}, directory_checksum, block_checksum"
"""What the checksum of a run's row covers, and behind it the factor of its op_ids' hashes."""


def _insert_into(table: str, columns: str) -> str:
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"


_INSERT_SEGMENT = _insert_into("segment", f"{SEGMENT_COLUMNS}, row_checksum, columns, op_ids, links")
_INSERT_RUN = _insert_into("run", f"{RUN_COLUMNS}, row_checksum, directory, block")
_INSERT_PAGE = _insert_into("run_page", "first_segment, end_segment, page, row_checksum, content")


def end_of_segment(lines: Lines, low: int, options: Options) -> int:
    """Up to which line the next segment reaches that begins with line `low`; `low` itself if it would be too short."""
    high = min(low + options.segment_lines, len(lines))
    if high - low < options.long_batch_lines:
        return low
    return max(min(high, bisect_left(lines.offsets, lines.offsets[low] + MAX_SEGMENT_BYTES)), low + 1)


SegmentRow = tuple[Summary, int]
"""The summary of a segment, and the checksum of its row."""


def write_segment(
    database: Database, runs: Sequence[Run], new_run: NewRun, lines: Lines, links: PackedLinks
) -> list[Run]:
    """Write lines as a segment behind the last of `runs`, and a run of its own; gives all runs that there are then.

    Call inside a transaction.
    """
    last = runs[-1] if runs else None
    number = last.end_segment if last else 1
    row = insert_segment(database.connection, number, last.summary if last else None, pack_lines(lines), links)
    keys = database.op_id_hash.keys(b"".join(lines.op_ids), number)
    runs = [*runs, write_run(database, new_run, number, row[0], directory_of([row]), keys)]
    while count := runs_to_merge([run.segments for run in runs]):
        runs = [*runs[:-count], _merge(database, new_run, runs[-count:])]
    return runs


def insert_segment(
    connection: sqlite3.Connection, number: int, before: Summary | None, packed: PackedLines, links: PackedLinks
) -> SegmentRow:
    """Write the row of a segment; `before` is the summary of what lies before it."""
    summary = packed.summary._replace(
        entries_before=before.entries_before + before.entries if before else 0,
        parent_segments=as_json(links.parent_segments),
        unresolved_links=links.unresolved,
    )
    blocks = (packed.columns, packed.op_ids, links.block)
    row = (number, *summary, *map(zlib.crc32, blocks))
    checksum = row_checksum(row)
    connection.execute(_INSERT_SEGMENT, (*row, checksum, *blocks))
    return summary, checksum


def directory_of(rows: Sequence[SegmentRow]) -> bytes:
    """The directory of a run of these segments."""
    return _directory([summary.first_offset for summary, _ in rows], [checksum for _, checksum in rows])


def _directory(first_offsets: Sequence[int], checksums: Sequence[int]) -> bytes:
    return array("Q", first_offsets).tobytes() + array("I", checksums).tobytes()


def write_run(
    database: Database,
    new_run: NewRun,
    first: int,
    summary: Summary,
    directory: bytes,
    keys: array[int],
) -> Run:
    """Write a run that begins with segment `first`."""
    segments = len(directory) // 12
    block, pages = block_of(keys, segments, summary.entries)
    row = (first, *summary, zlib.crc32(directory), zlib.crc32(block))
    connection, factor = database.connection, database.op_id_hash.digits
    connection.execute(_INSERT_RUN, (*row, row_checksum((*row, factor)), directory, block))
    located = (((first, first + segments, page), content) for page, content in enumerate(pages))
    connection.executemany(
        _INSERT_PAGE, ((*key, page_checksum(key, factor, content), content) for key, content in located)
    )
    return new_run(first, summary, directory, block)


def page_checksum(key: tuple[int, int, int], factor: str, content: bytes) -> int:
    """CRC-32 of (first segment, end segment, page, factor) as a JSON array, and of the page's content behind it."""
    return zlib.crc32(content, row_checksum((*key, factor)))


def _merge(database: Database, new_run: NewRun, runs: Sequence[Run]) -> Run:
    first, end = runs[0].first_segment, runs[-1].end_segment
    keys = merged_keys([run.all_keys() for run in runs])
    summary = merged_summary([run.summary for run in runs])
    directory = _directory(
        [at for run in runs for at in run.first_offsets], [each for run in runs for each in run.segment_checksums]
    )
    for table in ("run", "run_page"):
        database.connection.execute(f"DELETE FROM {table} WHERE first_segment >= ? AND first_segment < ?", (first, end))
    return write_run(database, new_run, first, summary, directory, keys)
