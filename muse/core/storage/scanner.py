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
from muse.core.storage.lines import Lines, op_ids_of
from muse.core.storage.log_file import LogFile, split_lines

_CHUNK_BYTES = 256 << 10
"""How much is parsed at a time: enough to make it quick, and not so much that memory grows."""


def scan(log: LogFile, start: int, stop: int) -> Iterator[Lines]:
    """Every terminated line in [start, stop), some hundred at a time. Duplicates are not looked for."""
    while start < stop:
        chunk = log.read(start, min(start + _CHUNK_BYTES, stop))
        end = start + chunk.rfind(b"\n") + 1
        plain = BytesIO(chunk[: end - start]).readlines()
        entries = decode_plain_lines(plain) if plain else None
        lines = Lines(start)
        if entries is not None:
            lines.add_entries(entries, op_ids_of(entries), list(map(len, plain)), map(checksum, plain))
        elif plain:
            # One of them is damaged, or spelled by another program.
            for _, length, line in split_lines(log, start, end):
                add_line(lines, length, line)
        else:
            # A line is longer than the chunk.
            first = next(split_lines(log, start, stop), None)
            if first is None:
                return
            add_line(lines, *first[1:])
        start = lines.end
        yield lines


def add_line(lines: Lines, length: int, line: bytes) -> None:
    """Judge one line, as `split_lines` gives it, and add it."""
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
