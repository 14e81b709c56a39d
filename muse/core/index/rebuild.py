"""A whole log becomes an index: packed piece by piece, in worker processes where asked to, and written in order.

A piece is sixteen segments' worth of lines, wherever it begins. So an index is the same however many processes made it.

Segments are written as if no op_id stood in the log twice, and runs only when all keys of theirs are there. Then the
keys tell, sorted by their hashes, whether that was right. If not, as in hardly any log, all is done over: the lines are
taken in one after the other, as they are when the index catches up with the log.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from muse.core import options as tuning
from muse.core.entry.model import split_op_ids
from muse.core.index.blocks.links import (
    FoundEntry,
    PackedLinks,
    pack,
    pack_links,
    resolve_links,
    unpack_links,
    unpack_unresolved,
)
from muse.core.index.blocks.op_id_keys import SEGMENT_BITS, SEGMENT_MASK, OpIdHash, renumbered
from muse.core.index.blocks.op_id_runs import (
    FAN_OUT,
    MAX_RUN_SEGMENTS,
    Run,
    equal_hashes,
    merged_keys,
    merged_summary,
)
from muse.core.index.blocks.segment import PackedLines, pack_lines
from muse.core.index.evidence import Frozen, inherit
from muse.core.index.file import Database, replacing
from muse.core.index.fold import SegmentRow, directory_of, end_of_segment, insert_segment, write_run
from muse.core.index.store import Index
from muse.core.options import Options
from muse.core.storage.lines import Lines
from muse.core.storage.log_file import CHUNK_BYTES, LogFile
from muse.core.storage.scanner import scan

Progress = Callable[[int, int], None]
"""Called with (done, total) while a long piece of work goes on."""

_WRITER_WAIT_MS = 2000
"""How long somebody is waited for who is writing into the index that is replaced."""

_PIECE_SEGMENTS = 16


@dataclass(frozen=True, slots=True)
class PackedPiece:
    """A piece as segments that were not held against the rest of the log yet, numbered from 0."""

    segments: list[tuple[PackedLines, PackedLinks]]
    keys: bytes
    """Of all segments, sorted."""
    holds_twice: bool
    """Whether an op_id stands twice in one segment."""
    rest: Lines
    """Too few for a segment: only at the end of the log."""


def replace_index(
    log: LogFile,
    remember: Callable[[Index], None],
    stuck_seconds: float,
    options: Options | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> None:
    """Make an index of a whole log, and put it in the place of what lies beside it, whose evidence it inherits.

    Args:
        log: the log.
        remember: is given the new index before it is put into place.
        stuck_seconds: how long somebody else is waited for who does the same and gives no sign of life.
        options: limits and tunables.
        progress: called with (bytes done, bytes in all).
        workers: how many processes pack the lines.

    Raises:
        sqlite3.Error, OSError, LockTimeoutError: as `replacing`.
    """
    options = options or tuning.DEFAULT
    with Frozen() as frozen, replacing(log.path.parent, stuck_seconds) as (database, old_files, sign_of_life):

        def tell(done: int, total: int) -> None:
            sign_of_life(0)
            if progress:
                progress(done, total)

        index = fill(database, log, options, tell, workers)
        # What has arrived meanwhile would else be taken in by the next append of each writer.
        _feed(index, log, options, log.size(), partial(tell, 1, 1))
        for path in old_files:
            inherit(index, path, log, _WRITER_WAIT_MS, frozen)
        _feed(index, log, options, log.size(), partial(tell, 1, 1))
        remember(index)


def fill(
    database: Database, log: LogFile, options: Options | None = None, progress: Progress | None = None, workers: int = 1
) -> Index:
    """Fill an empty index with all lines of a log; if that fails it is closed. Memory stays constant.

    Raises:
        OSError: the log could not be read, or a worker could not be started or has died.
    """
    options = options or tuning.DEFAULT
    size = log.size()
    progress = progress or (lambda _done, _total: None)
    tick = partial(progress, size, size)
    piece_lines = _PIECE_SEGMENTS * options.segment_lines
    with ExitStack() as undo:
        undo.callback(database.close)
        pack_piece = partial(_pack_piece, options, database.op_id_hash)
        packed: Iterator[PackedPiece] = map(pack_piece, _scanned_pieces(log, size, piece_lines))
        if workers > 1:
            from muse.core.index.workers import map_in_workers  # noqa: PLC0415 - takes as long to load as all of the index

            pack_piece_at = partial(_pack_piece_at, log.path, options, database.op_id_hash)
            packed = map_in_workers(pack_piece_at, _places_of_pieces(log, size, piece_lines), workers)
        with database.transaction():
            new = _NewIndex(Index(database, options))
            for piece in packed:
                new.add(piece)
                progress(new.end, size)
            index = new.finished(tick)
        if index is None:
            index = fed_with_lines(database, log, options, size, tick)
        undo.pop_all()
    tick()
    return index


def fed_with_lines(database: Database, log: LogFile, options: Options, size: int, tick: Callable[[], None]) -> Index:
    """The index of a log in which op_ids stand twice, in the place of one that was made as if none did."""
    for table in ("segment", "run", "run_page"):
        database.connection.execute(f"DELETE FROM {table}")
    index = Index(database, options)
    _feed(index, log, options, size, tick)
    return index


def _feed(index: Index, log: LogFile, options: Options, size: int, tick: Callable[[], None]) -> None:
    for lines in scan(log, index.end, size):
        index.demote_duplicates(lines)
        index.add(lines)
        if index.unwritten_lines >= options.max_unwritten_lines:
            index.write(0)
            tick()
    index.write(0)


def _scanned_pieces(log: LogFile, size: int, piece_lines: int) -> Iterator[Lines]:
    """The log's pieces: each of so many lines, but for the last."""
    pending = Lines(0)
    for lines in scan(log, 0, size):
        pending.extend(lines)
        while len(pending) >= piece_lines:
            yield pending.part(0, piece_lines)
            pending = pending.part(piece_lines, len(pending))
    yield pending


def _places_of_pieces(log: LogFile, size: int, piece_lines: int) -> Iterator[tuple[int, int]]:
    """The byte ranges of the same pieces, found without reading what is in the lines."""
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


def _pack_piece_at(path: Path, options: Options, op_id_hash: OpIdHash, place: tuple[int, int]) -> PackedPiece:
    piece = Lines(place[0])
    for lines in scan(_opened(path), *place):
        piece.extend(lines)
    return _pack_piece(options, op_id_hash, piece)


def _pack_piece(options: Options, op_id_hash: OpIdHash, piece: Lines) -> PackedPiece:
    segments: list[tuple[PackedLines, PackedLinks]] = []
    keys: list[array[int]] = []
    places: list[dict[bytes, int]] = []

    def find(op_id: bytes) -> FoundEntry | None:
        for number in reversed(range(len(places))):
            if (at := places[number].get(op_id)) is not None:
                return number, at
        return None

    low, holds_twice = 0, False
    while (high := end_of_segment(piece, low, options)) > low:
        lines, number = piece.part(low, high), len(segments)
        here = dict(zip(lines.op_ids, lines.offsets, strict=True))
        segments.append((pack_lines(lines), pack_links(lines, number, find, here)))
        keys.append(op_id_hash.keys(b"".join(lines.op_ids), number))
        holds_twice |= len(here) - (b"" in here) < len(lines) - len(lines.problems)
        places.append(here)
        low = high
    return PackedPiece(segments, merged_keys(keys).tobytes(), holds_twice, piece.part(low, len(piece)))


# -- writing, in order ------------------------------------------------------------------------------------------


class _PieceRun(Run):
    """The run of a piece, which is only in memory: one block of keys, however many segments it covers."""

    is_filtered = False

    def __init__(self, first_segment: int, rows: Sequence[SegmentRow], keys: array[int]) -> None:
        summary = merged_summary([summary for summary, _ in rows])
        super().__init__(first_segment, summary, directory_of(rows), lambda _run: b"", lambda _run, _page: b"")
        self._block = keys


class _NewIndex:
    """Writes pieces into an empty index: their segments at once, runs when all their segments are there."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._written: list[Run] = []
        self._pieces: list[Run] = []
        """What is not in a written run yet, or not all of it."""
        self._rows: list[SegmentRow] = []
        """Of the segments that are not in a written run yet."""
        self._holds_twice = False
        self._rest = Lines(0)

    @property
    def end(self) -> int:
        """How far the pieces reach."""
        return self._rest.end

    def add(self, piece: PackedPiece) -> None:
        """Write the segments of the next piece."""
        index = self._index
        first = index.segment_numbers().stop
        before = index.runs[-1].summary if index.runs else None
        rows: list[SegmentRow] = []
        for number, (packed, links) in enumerate(piece.segments, first):
            rows.append(insert_segment(index.connection, number, before, packed, self._numbered(packed, links, first)))
            before = rows[-1][0]
        if rows:
            keys = renumbered(array("Q", piece.keys), first)
            self._pieces.append(_PieceRun(first, rows, keys))
            self._rows += rows
            if len(self._rows) >= MAX_RUN_SEGMENTS:
                self._write_run(MAX_RUN_SEGMENTS)
            index.replace_runs([*self._written, *self._pieces])
        # In one segment, equal op_ids have one key, and so do two by chance.
        self._holds_twice |= piece.holds_twice
        self._rest = piece.rest

    def _numbered(self, packed: PackedLines, links: PackedLinks, first: int) -> PackedLinks:
        """Links with the numbers that segments have in the index, and with those to earlier pieces."""
        parents = {first + number for number in links.parent_segments}
        if not links.unresolved:
            return PackedLinks(links.block, tuple(sorted(parents)), 0)
        start = packed.summary.first_offset
        missing = unpack_unresolved(start, links.block)
        found, unresolved, segments = resolve_links(missing, {}, 0, self._index.find_folded)
        parents |= segments
        block = pack(start, sorted([*unpack_links(start, links.block), *found]), unresolved) if found else links.block
        return PackedLinks(block, tuple(sorted(parents)), len(unresolved))

    def _write_run(self, segments: int) -> None:
        """Write the run of the first segments that have none."""
        rows, self._rows = self._rows[:segments], self._rows[segments:]
        first = self._written[-1].end_segment if self._written else 1
        end = first + segments
        keys = []
        for run in self._pieces:
            keys.append(run.all_keys())
            if run.first_segment < first or run.end_segment > end:
                keys[-1] = array("Q", [key for key in keys[-1] if first <= key & SEGMENT_MASK < end])
        summary = merged_summary([summary for summary, _ in rows])
        index = self._index
        run = write_run(index.database, index.new_run, first, summary, directory_of(rows), merged_keys(keys))
        self._written.append(run)
        self._pieces = [run for run in self._pieces if run.end_segment > end]

    def finished(self, tick: Callable[[], None]) -> Index | None:
        """Write what is left; None if an op_id stands there twice. Now and then `tick` is called."""
        index = self._index
        if self._holds_twice:
            return None
        for alike in equal_hashes(index.runs):
            tick()
            if any(map(self._is_one_op_id, alike)):
                return None
        size = MAX_RUN_SEGMENTS
        while self._rows:
            while size > len(self._rows):
                size //= FAN_OUT
            self._write_run(size)
            tick()
        index.replace_runs(self._written)
        index.demote_duplicates(self._rest)
        index.add(self._rest)
        index.write_rows()
        return index

    def _is_one_op_id(self, keys: list[int]) -> bool:
        """Whether of the op_ids with these keys, whose hashes are equal, two are equal."""
        op_ids = [
            op_id
            for number in {key & SEGMENT_MASK for key in keys}
            for op_id in split_op_ids(self._index.segment(number).op_ids)
            if self._index.database.op_id_hash.of(op_id) == keys[0] >> SEGMENT_BITS
        ]
        return len(set(op_ids)) < len(op_ids)
