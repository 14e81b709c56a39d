"""From the bytes of the log to index rows: the one place where every line is read and judged.

Catching up, rebuilding and verifying all go through here, so they agree on what an entry is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import accumulate, chain, pairwise, repeat
from operator import itemgetter
from typing import Any

from muse.core.entry.codec import checksum, decode_line, decode_plain_lines
from muse.core.entry.model import OpEntry, op_id_bytes, op_ids_bytes
from muse.core.errors import DamagedLineError
from muse.core.options import MAX_LINE_BYTES
from muse.core.storage.log_file import LogFile, split_lines
from muse.core.storage.record import Row

_CHUNK_BYTES = 256 << 10
"""How much is parsed at a time: enough to make it quick, and not so much that memory grows."""


def scan_rows(log: LogFile, start: int, stop: int) -> Iterator[Row]:
    """A row for every terminated line in [start, stop). Duplicates are not looked for."""
    while start < stop:
        chunk = log.read(start, min(start + _CHUNK_BYTES, stop))
        end = start + chunk.rfind(b"\n") + 1
        lines = BytesIO(chunk[: end - start]).readlines()
        entries = decode_plain_lines(lines) if lines else None
        if entries is not None:
            yield from entry_rows(start, lines, entries)
            start = end
            continue
        # One of them is damaged or spelled by another program, or a line is longer than the chunk.
        for byte_offset, length, line in split_lines(log, start, end if lines else stop):
            yield row_of(byte_offset, length, line)
            start = byte_offset + length
            if not lines:
                break
        else:
            if not lines:
                return


def row_of(byte_offset: int, length: int, line: bytes) -> Row:
    """What the index keeps of one line as `split_lines` gives it."""
    if length > MAX_LINE_BYTES:
        problem = ("damaged", f"{length} bytes long, the limit is {MAX_LINE_BYTES}")
        return Row(byte_offset, length, checksum(line), problem=problem)
    try:
        entry = decode_line(line)
    except DamagedLineError as error:
        return Row(byte_offset, length, checksum(line), problem=("damaged", str(error)))
    if entry is None:
        return Row(byte_offset, length, checksum(line), problem=("blank", ""))
    return entry_row(byte_offset, line, entry, op_id_bytes(entry["op_id"]))


def entry_row(byte_offset: int, line: bytes, entry: Any, op_id: bytes) -> Row:
    """The row of a line whose entry is known to be valid."""
    return Row(
        byte_offset,
        len(line),
        checksum(line),
        entry["lamport_ts"],
        op_id,
        entry["actor_id"],
        entry["domain"],
        entry["intent_id"] or None,
        entry["reservation_id"] or None,
        op_ids_bytes(entry["parent_op_ids"]),
    )


def entry_rows(byte_offset: int, lines: Sequence[bytes], entries: Sequence[OpEntry]) -> list[Row]:
    """`entry_row` for consecutive lines, column by column: a third of the time of one after the other."""
    lengths = list(map(len, lines))
    op_ids = op_ids_bytes(map(itemgetter("op_id"), entries))
    columns = zip(
        accumulate(lengths[:-1], initial=byte_offset),
        lengths,
        map(checksum, lines),
        map(itemgetter("lamport_ts"), entries),
        [op_ids[at : at + 16] for at in range(0, len(op_ids), 16)],
        map(itemgetter("actor_id"), entries),
        map(itemgetter("domain"), entries),
        [entry["intent_id"] or None for entry in entries],
        [entry["reservation_id"] or None for entry in entries],
        _parents(entries),
        repeat(None, len(lines)),
        strict=True,
    )
    return list(map(Row._make, columns))


def _parents(entries: Sequence[OpEntry]) -> list[bytes]:
    each = list(map(itemgetter("parent_op_ids"), entries))
    packed = op_ids_bytes(chain.from_iterable(each))
    ends = accumulate((16 * len(parents) for parents in each), initial=0)
    return [packed[start:end] for start, end in pairwise(ends)]


def describes(row: Row, found: bytes) -> bool:
    """Whether the row's line is at its place. `found` is that line with the byte before it, if any.

    The checksum alone would take one flipped bit for another log, so the op_id counts as well: a
    damaged line is still this log's, and stays for `verify` to report.
    """
    line = found[1:] if row.byte_offset else found
    if not line.endswith(b"\n") or (row.byte_offset and not found.startswith(b"\n")):
        return False
    return checksum(line) == row.checksum or (
        row.op_id is not None and str(uuid.UUID(bytes=row.op_id)).encode() in line
    )
