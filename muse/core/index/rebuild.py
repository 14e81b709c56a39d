"""A whole log becomes an index: packed piece by piece, in worker processes where asked to, and written in order.

A piece is sixteen segments' worth of lines, wherever it begins. So an index is the same however many processes made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from muse.core import options as tuning
from muse.core.entry.model import split_op_ids
from muse.core.index.blocks.links import (
    NO_LINKS,
    Link,
    PackedLinks,
    UnresolvedLink,
    links_named_in,
    pack,
    resolve_links,
)
from muse.core.index.blocks.op_id_runs import hashes_of
from muse.core.index.blocks.segment import PackedLines, pack_lines
from muse.core.index.file import Database
from muse.core.index.fold import end_of_segment
from muse.core.index.store import Index
from muse.core.options import Options
from muse.core.storage.lines import Lines
from muse.core.storage.log_file import CHUNK_BYTES, LogFile
from muse.core.storage.scanner import scan

Progress = Callable[[int, int], None]
"""Called with (done, total) while a long piece of work goes on."""

_PIECE_SEGMENTS = 16


@dataclass(frozen=True, slots=True)
class PackedPart:
    """Some lines of a piece, as a segment that was not held against the rest of the log yet."""

    packed: PackedLines
    links: list[Link]
    """The links within these lines."""
    unresolved: list[UnresolvedLink]


def fill(
    database: Database, log: LogFile, options: Options | None = None, progress: Progress | None = None, workers: int = 1
) -> Index:
    """Fill an empty index with all lines of a log; if that fails it is closed. Memory stays constant.

    Raises:
        OSError: the log could not be read, or a worker could not be started or has died.
    """
    options = options or tuning.DEFAULT
    size = log.size()
    pieces = _pieces(log, size, _PIECE_SEGMENTS * options.segment_lines)
    packed: Iterator[list[PackedPart | Lines]] = map(partial(_pack_piece, log, options), pieces)
    if workers > 1:
        from muse.core.index.workers import map_in_workers  # noqa: PLC0415 - takes as long to load as all of the index

        packed = map_in_workers(partial(_pack_piece_at, log.path, options), pieces, workers)
    with ExitStack() as undo:
        undo.callback(database.close)
        index = Index(database, options)
        with database.transaction():
            for parts in packed:
                for part in parts:
                    _add(index, log, part)
                if progress:
                    progress(index.end, size)
            index.write_rows()
        undo.pop_all()
    if progress:
        progress(size, size)
    return index


def _pieces(log: LogFile, size: int, piece_lines: int) -> Iterator[tuple[int, int]]:
    """The byte ranges of the log's pieces: each of so many lines, but for the last."""
    start = at = lines = 0
    while at < size:
        chunk = log.read(at, min(at + CHUNK_BYTES, size))
        if not chunk:
            break
        count = chunk.count(b"\n")
        while lines + count >= piece_lines:
            end = _after_newlines(chunk, piece_lines - lines)
            at += end
            yield start, at
            chunk = chunk[end:]
            start, lines = at, 0
            count = chunk.count(b"\n")
        lines += count
        at += len(chunk)
    if start < size:
        yield start, size


def _after_newlines(chunk: bytes, number: int) -> int:
    at = 0
    for _ in range(number):
        at = chunk.index(b"\n", at) + 1
    return at


# -- packing, in any process ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _opened(path: Path) -> LogFile:
    log = LogFile(path, durable_names=False)
    log.size()
    return log


def _pack_piece_at(path: Path, options: Options, piece: tuple[int, int]) -> list[PackedPart | Lines]:
    return _pack_piece(_opened(path), options, piece)


def _pack_piece(log: LogFile, options: Options, piece: tuple[int, int]) -> list[PackedPart | Lines]:
    parts: list[PackedPart | Lines] = []
    pending: Lines | None = None
    for lines in scan(log, *piece):
        if pending is None:
            pending = lines
        else:
            pending.extend(lines)
        while len(pending) >= options.segment_lines:
            high = end_of_segment(pending, 0, options)
            parts.append(_pack(pending.part(0, high)))
            pending = pending.part(high, len(pending))
    while pending:
        high = end_of_segment(pending, 0, options)
        parts.append(_pack(pending.part(0, high)) if high else pending)
        pending = pending.part(high, len(pending)) if high else None
    return parts


def _pack(lines: Lines) -> PackedPart:
    here = dict(zip(lines.op_ids, lines.offsets, strict=True))
    links, unresolved, _ = resolve_links(links_named_in(lines), here, 0, lambda _op_id: None)
    return PackedPart(pack_lines(lines), links, unresolved)


# -- writing, in order ------------------------------------------------------------------------------------------


def _add(index: Index, log: LogFile, part: PackedPart | Lines) -> None:
    if isinstance(part, Lines):
        # Too few for a segment: the end of the log.
        index.demote_duplicates(part)
        index.add(part)
        return
    if _holds_duplicate(index, part.packed):
        summary = part.packed.summary
        lines = Lines(summary.first_offset)
        for some in scan(log, summary.first_offset, summary.end_offset):
            lines.extend(some)
        index.demote_duplicates(lines)
        part = _pack(lines)
    index.add_segment(part.packed, _with_links_to_earlier(index, part))


def _holds_duplicate(index: Index, packed: PackedLines) -> bool:
    """Whether an op_id stands in there twice, or is in the index already; lines with problems may make it say so."""
    hashes = hashes_of(packed.op_ids)
    distinct = set(hashes)
    if len(distinct) < len(hashes):
        return True
    # The hashes that may be there; only the op_ids themselves can tell.
    there = index.lookup().those_there(distinct)
    op_ids = split_op_ids(packed.op_ids) if there else []
    return any(index.find_folded(op_id) for op_id, hashed in zip(op_ids, hashes, strict=False) if hashed in there)


def _with_links_to_earlier(index: Index, part: PackedPart) -> PackedLinks:
    if not (part.links or part.unresolved):
        return NO_LINKS
    links, unresolved, segments = resolve_links(part.unresolved, {}, 0, index.find_folded)
    if part.links:
        segments.add(index.runs[-1].end_segment if index.runs else 1)
    block = pack(part.packed.summary.first_offset, sorted([*part.links, *links]), unresolved)
    return PackedLinks(block, tuple(sorted(segments)), len(unresolved))
