"""The members of a tar that may be hostile, one after the other; whatever it holds, time and memory stay bounded.

Not by `tarfile.open`: that takes headers of any length into memory, calls itself for each header that follows another,
and believes the maps of sparse files. Here nothing but regular files is let through, each behind one header at most
that says more of it (docs/format.md, "Archive").
"""

from __future__ import annotations

# ruff: noqa: PLC0415 - tarfile loads every compressor there is, and few handles read an archive
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from muse.core.errors import ArchiveError
from muse.core.storage.log_file import CHUNK_BYTES

if TYPE_CHECKING:
    import tarfile

_BLOCK_BYTES = 512
_MAX_EXTENSION_BYTES = 1 << 16
_MAX_PADDING_BYTES = 1 << 20


class Source(Protocol):
    """Where the bytes of a tar come from."""

    def read(self, size: int, /) -> bytes:
        """So many bytes; fewer only at the end."""


@dataclass
class Member:
    """A member of a tar, to be read once."""

    file: Source
    name: str
    size_bytes: int

    def __post_init__(self) -> None:
        self._left = self.size_bytes

    def read(self, size: int) -> bytes:
        """The next bytes; b"" at its end."""
        data = _read_exactly(self.file, min(size, self._left))
        self._left -= len(data)
        return data

    def skip(self) -> None:
        """Read what is left of it, and what fills its last block."""
        while self.read(CHUNK_BYTES):
            pass
        _read_exactly(self.file, -self.size_bytes % _BLOCK_BYTES)


def _read_exactly(file: Source, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError("it ends too early")
    return data


def read_members(file: Source) -> Iterator[Member]:
    """The members of a tar, up to its very end, where gzip compares its own checksum."""
    import tarfile

    extension: dict[str, str] = {}
    while any(block := file.read(_BLOCK_BYTES)):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if header.type == tarfile.XHDTYPE and not extension:
            extension = _read_extension(file, header)
            continue
        size_bytes = int(extension.get("size", header.size))
        # Nothing is ever extracted by its name or type: a member of ours is a regular file.
        is_regular = header.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
        if not is_regular or size_bytes < 0 or any(key.startswith("GNU.sparse") for key in extension):
            raise ArchiveError(f"member {header.name[:100]!r} is not a regular file, so not one of a session's archive")
        member = Member(file, extension.get("path", header.name), size_bytes)
        yield member
        member.skip()
        extension = {}
    padding = len(block)
    while data := file.read(CHUNK_BYTES):
        padding += len(data)
        if padding > _MAX_PADDING_BYTES:
            raise ArchiveError("more follows its end than fills a block: the file is not an archive of a session")


def _read_extension(file: Source, header: tarfile.TarInfo) -> dict[str, str]:
    """What a header of pax says of the member that follows: "LENGTH KEY=VALUE" and a newline, each (pax(1))."""
    if not 0 < header.size <= _MAX_EXTENSION_BYTES:
        raise ArchiveError(f"a header of {header.size} bytes: the file is not an archive of a session")
    member = Member(file, header.name, header.size)
    data, at = member.read(header.size), 0
    member.skip()
    found = {}
    while at < len(data):
        length = int(data[at : at + 8].partition(b" ")[0])
        if length < 5:
            raise ValueError("a header of pax is damaged")
        key, _, value = data[at : at + length - 1].partition(b" ")[2].partition(b"=")
        found[key.decode()] = value.decode("utf-8", "surrogateescape")
        at += length
    return found
