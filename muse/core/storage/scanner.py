"""From the bytes of the log to lines that are judged: the one place where it is decided what an entry is.

Catching up, rebuilding and verifying all go through here, so they agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from muse.core.entry.codec import checksum, decode_line, decode_plain_lines
from muse.core.entry.model import op_id_bytes
from muse.core.errors import DamagedLineError
from muse.core.options import MAX_LINE_BYTES
from muse.core.storage.lines import Lines
from muse.core.storage.log_file import CHUNK_BYTES, LogFile

_PARSED_AT_ONCE_BYTES = 128 << 10
"""Enough to make it quick, and not so much that memory grows."""

_FEW_LINES = 12
"""Up to so many are read one by one, which takes less time then."""

_OVERSIZED_HEAD_BYTES = 4096
"""How much is looked at of a line beyond the limit."""


def scan(log: LogFile, start: int, stop: int) -> Iterator[Lines]:
    """Every terminated line in [start, stop), some hundred at a time. Duplicates are not looked for."""
    while start < stop:
        chunk = log.read(start, min(start + _PARSED_AT_ONCE_BYTES, stop))
        end = start + chunk.rfind(b"\n") + 1
        plain = BytesIO(chunk[: end - start]).readlines()
        columns = decode_plain_lines(plain) if len(plain) > _FEW_LINES else None
        lines = Lines(start)
        if columns is not None:
            lines.add_entries(columns, map(len, plain), map(checksum, plain))
        elif plain:
            # Few, or one of them is damaged or spelled by another program.
            for line in plain:
                _add_line(lines, len(line), line)
        elif long_line := _long_line(log, start, stop):
            _add_line(lines, *long_line)
        else:
            return
        start = lines.end
        yield lines


def _long_line(log: LogFile, start: int, stop: int) -> tuple[int, bytes] | None:
    """The length and the bytes of the line at `start`; None if it does not end before `stop`.

    Of a line longer than `MAX_LINE_BYTES` only the first bytes are given, so that memory stays bounded.
    """
    pieces: list[bytes] = []
    length = 0
    while piece := log.read(start + length, min(start + length + CHUNK_BYTES, stop)):
        newline = piece.find(b"\n") + 1
        length += newline or len(piece)
        if length <= MAX_LINE_BYTES or not pieces:
            pieces.append(piece[:newline] if newline else piece)
        if newline:
            return length, b"".join(pieces) if length <= MAX_LINE_BYTES else pieces[0][:_OVERSIZED_HEAD_BYTES]
    return None


def _add_line(lines: Lines, length: int, line: bytes) -> None:
    """Judge one line, and add it."""
    try:
        if length > MAX_LINE_BYTES:
            raise DamagedLineError(f"{length} bytes long, the limit is {MAX_LINE_BYTES}")
        entry = decode_line(line)
    except DamagedLineError as error:
        lines.add_problem(length, checksum(line), ("damaged", str(error)))
        return
    if entry is None:
        lines.add_problem(length, checksum(line), ("blank", ""))
    else:
        lines.add_entry(entry, op_id_bytes(entry["op_id"]), length, checksum(line))
