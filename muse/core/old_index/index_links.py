"""Causal links as the index keeps them: which entry names which as its parent.

A row of the tail keeps its parents' op_ids as they are, sealed by a checksum. When the tail is folded, each op_id
becomes the byte offset of the parent's line, and the links are packed: one row for each two segments with links
between them. That takes a byte or two a link, since most parents stand right before their children. A parent that
no line has at that time stays an op_id, in a row whose `parents_in` is `MISSING`: whoever asks looks for it
again, as it may have arrived since. docs/format.md, "The index", describes the packing.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

from muse.core.storage.record import DamagedIndexError, integer, op_id_of, op_numbers

MISSING = -1
"""Stands for the segment of parents that are known by their op_ids alone."""

Link = tuple[int, int]
"""(byte offset of the child's line, byte offset of the parent's line)."""
Loose = tuple[int, bytes]
"""(byte offset of the child's line, op_id of a parent)."""

_ID_BYTES = 16
_SEAL_BYTES = 4


def seal(byte_offset: int, parents: bytes) -> bytes | None:
    """What the tail keeps of the parents of the line at `byte_offset`; None where it has none."""
    return parents + _seal_of(byte_offset, parents) if parents else None


def unseal(byte_offset: int, sealed: bytes | None) -> list[bytes]:
    """The op_ids that `seal` was given.

    Raises:
        DamagedIndexError: they are not what they were.
    """
    if sealed is None:
        return []
    # A column of a damaged index holds a value of any type.
    parents = sealed[:-_SEAL_BYTES] if type(sealed) is bytes else b""
    if not parents or len(parents) % _ID_BYTES or _seal_of(byte_offset, parents) != sealed[-_SEAL_BYTES:]:
        raise DamagedIndexError(f"the parents of the line at byte {byte_offset} are altered")
    return split_op_ids(parents)


def _seal_of(byte_offset: int, parents: bytes) -> bytes:
    return zlib.crc32(parents, byte_offset & 0xFFFFFFFF).to_bytes(_SEAL_BYTES, "big")


def split_op_ids(packed: bytes) -> list[bytes]:
    """The op_ids, 16 bytes each, that stand one after the other in `packed`."""
    return [packed[at : at + _ID_BYTES] for at in range(0, len(packed), _ID_BYTES)]


def link_lines(
    connection: sqlite3.Connection, first: int, end: int, wanted: Iterable[Loose], segments: Sequence[int]
) -> int:
    """Keep the links of the children in [first, end), a new segment, to the parents they name.

    Args:
        connection: the index's, inside a transaction, in which these lines and their op_ids are there.
        first: byte offset of the segment.
        end: byte offset after it.
        wanted: what its entries name, in the order of the lines.
        segments: the first offsets of all segments, this one too, ascending.

    Returns:
        The sum of the digests of what was kept.
    """
    here = _op_ids_between(connection, first, end)
    links: defaultdict[int, list[Link]] = defaultdict(list)
    loose: list[Loose] = []
    # A parent that is named twice is one parent.
    for child, op_id in dict.fromkeys(wanted):
        parent = here.get(op_id)
        if parent is None:
            parent = _folded_at(connection, op_id)
        if parent is None:
            loose.append((child, op_id))
        else:
            links[segments[bisect_right(segments, parent) - 1]].append((child, parent))
    digest = sum(_insert(connection, segment, first, _pack(first, pairs)) for segment, pairs in links.items())
    return digest + (_insert(connection, MISSING, first, _pack_loose(first, loose)) if loose else 0)


def _op_ids_between(connection: sqlite3.Connection, first: int, end: int) -> dict[bytes | None, int]:
    rows = connection.execute(
        "SELECT op_high, op_low, byte_offset FROM line WHERE byte_offset >= ? AND byte_offset < ? "
        "AND op_high IS NOT NULL",
        (first, end),
    )
    return {op_id_of(high, low): byte_offset for high, low, byte_offset in rows}


def _folded_at(connection: sqlite3.Connection, op_id: bytes) -> int | None:
    # A parent that a damaged index does not find here is kept by its op_id, and looked for again.
    high, low = op_numbers(op_id)
    found = connection.execute(
        "SELECT byte_offset FROM op_ref CROSS JOIN line USING (byte_offset) "
        "WHERE prefix = ? AND op_high = ? AND op_low = ?",
        (int.from_bytes(op_id[:4], "big", signed=True), high, low),
    ).fetchone()
    return integer(found) if found else None


def _insert(connection: sqlite3.Connection, parents_in: int, children_in: int, packed: bytes) -> int:
    inserted = connection.execute(
        "INSERT INTO link (parents_in, children_in, checksum, packed) VALUES (?, ?, ?, ?) RETURNING digest_now",
        (parents_in, children_in, zlib.crc32(packed), packed),
    )
    return integer(inserted.fetchone())


def _pack(first: int, links: Sequence[Link]) -> bytes:
    """How far each child lies behind the one before, the first one behind `first`, then how far behind its parent:
    small numbers, much alike, which zlib makes smaller still.
    """
    children = [child for child, _ in links]
    steps = [after - before for before, after in pairwise([first, *children])]
    distances = [child - parent for child, parent in links]
    return zlib.compress(struct.pack(f"<{2 * len(links)}q", *steps, *distances), 1)


def _pack_loose(first: int, loose: Sequence[Loose]) -> bytes:
    steps = [after - before for before, after in pairwise([first, *(child for child, _ in loose)])]
    return zlib.compress(struct.pack(f"<{len(loose)}q", *steps) + b"".join(op_id for _, op_id in loose), 1)


def unpack(first: int, checksum: int, packed: bytes) -> Iterator[Link]:
    """The links of a row whose children lie in the segment that begins at `first`.

    Raises:
        DamagedIndexError: they are not what they were.
    """
    data = _checked(checksum, packed)
    numbers = struct.unpack(f"<{len(data) // 8}q", data)
    half = len(numbers) // 2
    children = list(accumulate(numbers[:half], initial=first))[1:]
    return zip(children, map(int.__sub__, children, numbers[half:]), strict=True)


def unpack_loose(first: int, checksum: int, packed: bytes) -> Iterator[Loose]:
    """The same of a row whose parents are known by their op_ids; raises as `unpack`."""
    data = _checked(checksum, packed)
    number = len(data) // (8 + _ID_BYTES)
    steps = struct.unpack(f"<{number}q", data[: 8 * number])
    children = list(accumulate(steps, initial=first))[1:]
    return zip(children, split_op_ids(data[8 * number :]), strict=True)


def _checked(checksum: int, packed: bytes) -> bytes:
    if type(packed) is not bytes or zlib.crc32(packed) != checksum:
        raise DamagedIndexError("causal links are altered")
    return zlib.decompress(packed)
