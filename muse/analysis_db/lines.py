"""Where the entries lie in `ops.jsonl`, and which of its lines gave no entry.

The engine gives the entries; the lines are read beside it and matched with them one after the other. So the engine
alone decides what an entry is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

import orjson

from muse.core.op_log import Cut, InvalidEntryError, LogReplacedError, OpEntry, OpLog, parse_object

_LONGEST_LINE_BYTES = 64 << 20  # The engine takes a longer one for damage.
_TOO_LONG = b"not JSON"
_JSON_SPACES = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"

PassOver = Callable[[int, int, str], None]
"""Called with byte offset, length and reason of each line that gave no entry."""


class LineWalk:
    """One walk over the lines below a cut, in step with the entries. Close it."""

    def __init__(self, log: OpLog, cut: Cut, pass_over: PassOver) -> None:
        self._log = log
        self._cut = cut
        self._pass_over = pass_over
        # An empty session may have no file.
        self._file: IO[bytes] | None = log.path.open("rb") if cut.byte_offset else None
        self.at = 0
        """The byte offset reached."""

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def place_of(self, entry: OpEntry) -> tuple[int, int]:
        """(byte offset, length) of the next line that is this entry; the lines before it are passed over.

        Raises:
            LogReplacedError: there is no such line below the cut.
        """
        wanted = orjson.dumps(entry)
        while True:
            byte_offset, line = self.at, self._next_line()
            # The engine's own lines are equal at once; another program may spell an entry otherwise.
            if line[:-1] == wanted or _as_engine_spells(line) == wanted:
                return byte_offset, self.at - byte_offset
            self._judge(byte_offset, line)

    def pass_over_the_rest(self) -> None:
        """Pass over the lines between the last entry and the cut."""
        while self.at < self._cut.byte_offset:
            self._judge(self.at, self._next_line())

    def _next_line(self) -> bytes:
        line = self._read()
        if line.endswith(b"\n"):
            return line
        while not self._read().endswith(b"\n"):
            pass
        return _TOO_LONG

    def _read(self) -> bytes:
        left = self._cut.byte_offset - self.at
        piece = self._file.readline(min(left, _LONGEST_LINE_BYTES)) if self._file else b""
        if not piece:
            raise LogReplacedError(f"{self._log.path}: its bytes were altered while they were exported: run verify")
        self.at += len(piece)
        return piece

    def _judge(self, byte_offset: int, line: bytes) -> None:
        if _bare(line):
            self._pass_over(byte_offset, self.at - byte_offset, self._reason(byte_offset, line))

    def _reason(self, byte_offset: int, line: bytes) -> str:
        """What `verify` calls it."""
        try:
            found = parse_object(_bare(line))
        except InvalidEntryError:
            return "damaged-line"
        op_id = found.get("op_id")
        first = self._log.locate(op_id) if isinstance(op_id, str) else None
        if first is None or first[0] > byte_offset or not OpEntry.__annotations__.keys() <= found.keys():
            return "damaged-line"
        return "duplicate" if _sorted(found) == _sorted(self._log.get(str(op_id))) else "conflicting-duplicate"


def _bare(line: bytes) -> bytes:
    """The line without byte order mark and blanks."""
    return line.removeprefix(_BOM).strip(_JSON_SPACES)


def _as_engine_spells(line: bytes) -> bytes | None:
    try:
        return orjson.dumps(parse_object(_bare(line)))
    except InvalidEntryError:
        return None


def _sorted(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
