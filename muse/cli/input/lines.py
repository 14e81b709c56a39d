"""The lines of an input: a file or a pipe, plain or compressed with gzip, in UTF-8.

Lines come in batches, each from a single read, so no line waits for input that has not come yet. A line takes time in
proportion to its length, however small the pieces in which it comes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Final, cast

from muse.cli.output.failures import BadDataFound

LONGEST_LINE_BYTES: Final = 64 << 20
"""How long a line of a log can be, so how much of a line is held in memory."""

_BATCH_LINES = 1000
_READ_BYTES = 1 << 20
_GZIP_BYTES = 1 << 14
_GZIP = b"\x1f\x8b"
# With a byte order mark or, if there is none, by the first character of a JSON line. UTF-32 begins like UTF-16.
_OTHER_ENCODINGS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"{\0": "UTF-16",
    b"\0{": "UTF-16",
}


@dataclass(frozen=True)
class Line:
    """A line of input, or a part of one that is too long."""

    number: int
    """From 1, blank lines counted."""
    text: bytes
    """Without its newline."""
    is_too_long: bool = False
    """Whether it is longer than `LONGEST_LINE_BYTES`. Such a line comes in parts, which have the same number."""
    ends: bool = True
    """Whether this is the end of the line."""

    @property
    def content(self) -> bytes:
        """Its text without blanks around it, and without a byte order mark; b"" if it is blank."""
        return self.text.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")


def read_lines(file: IO[bytes]) -> Iterator[list[Line]]:
    """The lines of a file or a pipe in batches, as they come.

    Raises:
        BadDataFound: the input is in UTF-16 or UTF-32, or its gzip data are damaged. All lines before were given.
    """
    number, begun, begun_bytes, is_too_long = 1, [b""], 0, False
    for piece in _in_utf8(_uncompressed(_pieces(file))):
        *ended, rest = piece.split(b"\n")
        lines = []
        for part in ended:
            begun.append(part)
            lines.append(Line(number, b"".join(begun), is_too_long))
            number, begun, begun_bytes, is_too_long = number + 1, [], 0, False
            if len(lines) == _BATCH_LINES:
                yield lines
                lines = []
        begun.append(rest)
        begun_bytes += len(rest)
        if begun_bytes > LONGEST_LINE_BYTES:
            lines.append(Line(number, b"".join(begun), is_too_long=True, ends=False))
            begun, begun_bytes, is_too_long = [], 0, True
        if lines:
            yield lines
    yield [Line(number, b"".join(begun), is_too_long)]


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    # read1 returns what is available; read would wait for the full amount.
    while piece := cast("Any", file).read1(_READ_BYTES):
        yield piece


def _uncompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    first = _beginning(pieces, [_GZIP])
    together = chain([first], pieces)
    return _gunzipped(together) if first.startswith(_GZIP) else together


def _in_utf8(pieces: Iterator[bytes]) -> Iterator[bytes]:
    first = _beginning(pieces, _OTHER_ENCODINGS)
    for mark, name in _OTHER_ENCODINGS.items():
        if first.startswith(mark):
            raise BadDataFound(f"the input is in {name}; make it UTF-8 first: iconv -f {name} -t UTF-8")
    yield from chain([first], pieces)


def _beginning(pieces: Iterator[bytes], marks: Any) -> bytes:
    """The first bytes of the input, as many as it takes to tell whether it begins with one of the marks."""
    first = b""
    while any(len(first) < len(mark) and mark.startswith(first) for mark in marks):
        piece = next(pieces, b"")
        if not piece:
            break
        first += piece
    return first


def _gunzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unzip = _gunzip()
    # In small parts: where a file has one member for each line, what is left of the part is copied for each.
    parts = (piece[at : at + _GZIP_BYTES] for piece in pieces for at in range(0, len(piece), _GZIP_BYTES))
    for part in parts:
        left = part
        while left:
            if unzip.eof:
                # Another member may follow, or the zeros with which some tools fill up.
                left = left.lstrip(b"\0")
                if not left:
                    break
                unzip = _gunzip()
            try:
                plain = unzip.decompress(left, _READ_BYTES)
            except zlib.error as error:
                raise BadDataFound(f"the gzip data of the input are damaged: {error}") from None
            if plain:
                yield plain
            left = unzip.unused_data if unzip.eof else unzip.unconsumed_tail
    if not unzip.eof:
        raise BadDataFound("the gzip data of the input end too early: the rest is missing")


def _gunzip() -> Any:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
