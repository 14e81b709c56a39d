"""From index rows back to entries: the bytes are fetched, held against the row, and parsed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise

import orjson

from muse.core.entry import OpEntry
from muse.core.errors import DamagedLineError
from muse.core.index import Row
from muse.core.line import checksum, decode_line, tidy
from muse.core.log_file import LogFile
from muse.core.scan import op_id_bytes
from muse.core.sidecar import StaleIndexError

_MAX_GAP_BYTES = 16 << 10
_MAX_RUN_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def read_entries(log: LogFile, rows: Sequence[Row]) -> Iterator[OpEntry]:
    """The entries that `rows` point at, in their order; raises as `read_lines`."""
    for line in read_lines(log, rows):
        # Only a line from another program can begin with a byte order mark.
        yield orjson.loads(line if line.startswith(b"{") else tidy(line))


def read_lines(log: LogFile, rows: Sequence[Row]) -> Iterator[bytes]:
    """The lines that `rows` point at, in their order, each known to be a valid entry.

    A line whose checksum is the row's was found valid when it was indexed. Any other line is judged
    anew: the log decides.

    Raises:
        StaleIndexError: a line is not the entry that its row speaks of.
        OSError: the log could not be read.
    """
    for run in _runs(rows):
        start = run[0].byte_offset
        data = log.read(start, run[-1].end)
        for row in run:
            line = data[row.byte_offset - start : row.end - start]
            if checksum(line) != row.checksum:
                _judge_anew(log, row, line)
            yield line


def _judge_anew(log: LogFile, row: Row, line: bytes) -> None:
    try:
        entry = decode_line(line)
    except DamagedLineError as error:
        raise StaleIndexError(f"the line at byte {row.byte_offset} has become damage: {error}") from None
    if entry is None or op_id_bytes(entry["op_id"]) != row.op_id or not line.endswith(b"\n"):
        raise StaleIndexError(f"another entry than the one indexed lies at byte {row.byte_offset}")
    _log.warning(
        "%s: the entry at byte %d is not what it was when it was indexed; run verify",
        log.path,
        row.byte_offset,
    )


def _runs(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Rows that lie close together, to be fetched in one read."""
    run: list[Row] = list(rows[:1])
    for before, row in pairwise(rows):
        if row.byte_offset - before.end > _MAX_GAP_BYTES or row.end - run[0].byte_offset > _MAX_RUN_BYTES:
            yield run
            run = []
        run.append(row)
    if run:
        yield run
