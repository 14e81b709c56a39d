"""A whole log becomes an index: packed piece by piece, in worker processes where asked to, and written in order.

A piece is sixteen segments' worth of lines, wherever it begins. So an index is the same however many processes made it.
A worker is this module started by itself, `python -c "…work()"`: it depends on no state of the process that starts it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from muse.core import options as tuning
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
_PIECES_AHEAD = 2
"""How many pieces a worker is given before it has given back the first: it need not wait, and memory stays bounded."""


_PackAll = Callable[[Iterator[tuple[int, int]]], Iterator[list["PackedPart | Lines"]]]


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
    with ExitStack() as stack:
        undo = stack.enter_context(ExitStack())
        undo.callback(database.close)
        index = Index(database, options)
        pack_all: _PackAll = partial(map, partial(_pack_piece, log, options))
        if workers > 1:
            pack_all = stack.enter_context(_with_workers(log.path, options, workers))
        with database.transaction():
            for parts in pack_all(_pieces(log, size, _PIECE_SEGMENTS * options.segment_lines)):
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
    hashes = set(hashes_of(part.packed.op_ids))
    # Two hashes may be alike without two op_ids being so; then it costs a second look and nothing else.
    if len(hashes) < part.packed.summary.lines or index.lookup().those_there(hashes):
        summary = part.packed.summary
        lines = Lines(summary.first_offset)
        for some in scan(log, summary.first_offset, summary.end_offset):
            lines.extend(some)
        index.demote_duplicates(lines)
        part = _pack(lines)
    index.add_segment(part.packed, _with_links_to_earlier(index, part))


def _with_links_to_earlier(index: Index, part: PackedPart) -> PackedLinks:
    if not (part.links or part.unresolved):
        return NO_LINKS
    links, unresolved, segments = resolve_links(part.unresolved, {}, 0, index.find_folded)
    if part.links:
        segments.add(index.runs[-1].end_segment if index.runs else 1)
    block = pack(part.packed.summary.first_offset, sorted([*part.links, *links]), unresolved)
    return PackedLinks(block, tuple(sorted(segments)), len(unresolved))


# -- worker processes -------------------------------------------------------------------------------------------


@contextmanager
def _with_workers(path: Path, options: Options, workers: int) -> Iterator[_PackAll]:
    """Worker processes that pack pieces of the log at `path`; they end with the block."""
    with ExitStack() as stack:
        started = [_start_worker(path, options, stack) for _ in range(workers)]

        def pack_all(pieces: Iterator[tuple[int, int]]) -> Iterator[list[PackedPart | Lines]]:
            waiting: deque[subprocess.Popen[bytes]] = deque()
            for number, piece in enumerate(pieces):
                worker = started[number % workers]
                _send(worker, piece)
                waiting.append(worker)
                if len(waiting) == _PIECES_AHEAD * workers:
                    yield _received(waiting.popleft())
            while waiting:
                yield _received(waiting.popleft())

        yield pack_all


def _start_worker(path: Path, options: Options, stack: ExitStack) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from muse.core.index.rebuild import work; work()", os.fspath(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    worker = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603 - ours
    )
    stack.callback(worker.kill)
    _send(worker, options)
    return worker


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("a worker is started with pipes")
    return stream


def _send(worker: subprocess.Popen[bytes], value: object) -> None:
    try:
        # Few bytes, which a pipe takes at once; through the buffer of the pipe they would be written again on closing.
        os.write(_pipe(worker.stdin).fileno(), pickle.dumps(value))
    except BrokenPipeError:
        raise _death_of(worker) from None


def _received(worker: subprocess.Popen[bytes]) -> list[PackedPart | Lines]:
    try:
        parts: list[PackedPart | Lines] = pickle.load(_pipe(worker.stdout))  # noqa: S301 - a process started here
    except (EOFError, pickle.UnpicklingError):
        raise _death_of(worker) from None
    return parts


def _death_of(worker: subprocess.Popen[bytes]) -> ChildProcessError:
    worker.kill()
    return ChildProcessError(f"a worker of the rebuild died, exit status {worker.wait()}")


def work() -> None:
    """Pack the pieces that come over standard input, until it ends; the log's path is the last argument."""
    log = LogFile(Path(sys.argv[-1]), durable_names=False)
    log.size()
    options = pickle.load(sys.stdin.buffer)  # noqa: S301 - the process that started this one
    while True:
        try:
            piece = pickle.load(sys.stdin.buffer)  # noqa: S301 - the process that started this one
        except EOFError:
            return
        pickle.dump(_pack_piece(log, options, piece), sys.stdout.buffer, protocol=pickle.HIGHEST_PROTOCOL)
        sys.stdout.buffer.flush()
