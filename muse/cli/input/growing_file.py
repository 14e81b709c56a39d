"""A file that another program writes, line by line: read as far as it goes, again and again.

A line is read when its newline is there. If the file is replaced by another one under its name, or cut short, what the
old one still had is read, and then the new one from its beginning.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

from muse.cli.input.lines import LONGEST_LINE_BYTES, Line
from muse.cli.output.failures import BadDataFound

_READ_BYTES = 1 << 20
_NOT_PLAIN = (b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff")


class GrowingFile:
    """One file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.began_anew = False
        """Whether the lines of the last `read` are the first of another file than before."""
        self._was_opened = False
        self._file: FileIO | None = None
        self._at = 0
        self._number = 1
        self._begun = b""
        self._is_too_long = False

    def read(self) -> list[Line]:
        """The next whole lines, up to a limit; none if no whole line is there yet.

        A `BadDataFound` if the file is compressed or in UTF-16: of such a file there are no lines as it grows.
        """
        self.began_anew = False
        file = self._file = self._file or self._open()
        if file is None:
            return []
        while data := file.read(_READ_BYTES):
            if self._at == 0 and data[:2] in _NOT_PLAIN:
                raise BadDataFound(
                    f"{self.path}: compressed, or in UTF-16: it can be read at once, and not be followed"
                )
            self._at += len(data)
            if lines := self._lines(data):
                return lines
        return self._next_file() if self._was_replaced(file) else []

    def _open(self) -> FileIO | None:
        try:
            file = FileIO(self.path)
        except FileNotFoundError:
            return None
        self.began_anew, self._was_opened = self._was_opened, True
        return file

    def _was_replaced(self, file: FileIO) -> bool:
        mine = os.fstat(file.fileno())
        try:
            there = self.path.stat()
        except FileNotFoundError:
            # It was renamed, and the next one is not there yet.
            return False
        return not os.path.samestat(mine, there) or mine.st_size < self._at

    def _next_file(self) -> list[Line]:
        # The last line has its newline, or nobody will ever write it.
        rest = [Line(self._number, self._begun)] if self._begun else []
        self.close()
        self._at, self._number, self._begun, self._is_too_long = 0, 1, b"", False
        return rest

    def _lines(self, data: bytes) -> list[Line]:
        *ended, self._begun = (self._begun + data).split(b"\n")
        lines = []
        for text in ended:
            lines.append(Line(self._number, text, self._is_too_long))
            self._number, self._is_too_long = self._number + 1, False
        if len(self._begun) > LONGEST_LINE_BYTES:
            # Its parts are of no use.
            self._begun, self._is_too_long = b"", True
        return lines

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()
            self._file = None
