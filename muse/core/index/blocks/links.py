"""Causal links: which entry names which as its parent.

When lines are folded, the op_ids that they name become the byte offsets of the parents' lines, and these are packed
into the segment of the children: a byte or two a link, since most parents stand shortly before their children. A
parent that no line has at that time stays an op_id, an unresolved link: it is looked for again at each question, as
it may have arrived since. docs/format.md, "Links", describes the packing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter, sub

from muse.core.entry.model import OP_ID_BYTES, split_op_ids
from muse.core.index.blocks.segment import DamagedIndexError
from muse.core.storage.lines import Lines

Link = tuple[int, int]
"""(byte offset of the child's line, byte offset of the parent's line)."""

UnresolvedLink = tuple[int, bytes]
"""(byte offset of the child's line, op_id of a parent)."""

FoundEntry = tuple[int, int]
"""(number of its segment, byte offset of its line)."""

_LENGTH = struct.Struct("<I")
_BYTES_OF_LINK = 8 + OP_ID_BYTES


@dataclass(frozen=True, slots=True)
class PackedLinks:
    """The links of one segment."""

    block: bytes
    parent_segments: tuple[int, ...]
    """The numbers of the segments in which the parents lie, ascending."""
    unresolved: int
    """How many parents are known by their op_ids alone."""


NO_LINKS = PackedLinks(b"", (), 0)


def resolve_links(
    parents: Sequence[UnresolvedLink], here: dict[bytes, int], number: int, find: Callable[[bytes], FoundEntry | None]
) -> tuple[list[Link], list[UnresolvedLink], set[int]]:
    """What some entries of segment `number` depend on.

    Args:
        parents: what they name, in the order of the lines.
        here: the byte offsets of the segment's own entries, by op_id.
        number: the segment's.
        find: looks for an entry in the segments before.

    Returns:
        The links, those whose parents were not found, and the numbers of the segments in which parents lie.
    """
    there = list(map(here.get, map(itemgetter(1), parents)))
    elsewhere = there.count(None)
    segments = {number} if elsewhere < len(there) else set()
    unresolved: list[UnresolvedLink] = []
    at = -1
    # Few, mostly: in a chain of entries it is the first one's parent alone.
    for _ in range(elsewhere):
        at = there.index(None, at + 1)
        if (found := find(parents[at][1])) is None:
            unresolved.append(parents[at])
        else:
            segments.add(found[0])
            there[at] = found[1]
    pairs = zip(map(itemgetter(0), parents), there, strict=True)
    return [(child, parent) for child, parent in pairs if parent is not None], unresolved, segments


def pack_links(
    lines: Lines,
    number: int,
    find: Callable[[bytes], FoundEntry | None],
    here: dict[bytes, int] | None = None,
) -> PackedLinks:
    """The links of the entries in `lines`, which become segment `number`; see `resolve_links`."""
    if not any(lines.parents):
        return NO_LINKS
    here = here or dict(zip(lines.op_ids, lines.offsets, strict=True))
    links, unresolved, segments = resolve_links(links_named_in(lines), here, number, find)
    return PackedLinks(pack(lines.start, links, unresolved), tuple(sorted(segments)), len(unresolved))


def links_named_in(lines: Lines) -> list[UnresolvedLink]:
    """What each entry names as its parents, each parent once, in the order of the lines."""
    pairs = zip(lines.offsets, lines.parents, strict=True)
    if set(map(len, lines.parents)) <= {OP_ID_BYTES}:
        return list(pairs)
    named = ((child, op_id) for child, packed in pairs for op_id in split_op_ids(packed))
    return list(dict.fromkeys(named))


def pack(first: int, links: Sequence[Link], unresolved: Sequence[UnresolvedLink]) -> bytes:
    """The block of links of a segment that begins at byte `first`.

    Of each link how far the child lies behind the child before, then of each how far it lies behind its parent: small
    numbers, much alike, which zlib makes smaller still.
    """
    children, parents = [child for child, _ in links], [parent for _, parent in links]
    numbers = [*_steps(first, children), *map(sub, children, parents)]
    resolved = zlib.compress(struct.pack(f"<{len(numbers)}q", *numbers), 1)
    steps = struct.pack(f"<{len(unresolved)}q", *_steps(first, [child for child, _ in unresolved]))
    rest = zlib.compress(steps + b"".join([op_id for _, op_id in unresolved]), 1) if unresolved else b""
    return _LENGTH.pack(len(resolved)) + resolved + rest


def _steps(first: int, children: Sequence[int]) -> Iterable[int]:
    """How far each child lies behind the one before, the first one behind `first`."""
    return map(sub, children, [first, *children[:-1]])


def _inflated(packed: bytes, lines_bytes: int | None) -> bytes:
    """What was packed. A link takes 38 bytes of a line at least; a block that says more was made to do harm."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(packed, 0 if lines_bytes is None else _BYTES_OF_LINK * (1 + lines_bytes // 38))
    except zlib.error as error:
        raise DamagedIndexError(f"links can't be unpacked: {error}") from None
    if not inflater.eof or len(data) % 8:
        raise DamagedIndexError("links can't be unpacked: there are more than fit into the lines, or not all")
    return data


def unpack_links(first: int, block: bytes, lines_bytes: int | None = None) -> list[Link]:
    """The links that were resolved when the segment was made; of how many bytes its lines are bounds their number."""
    if not block:
        return []
    (length,) = _LENGTH.unpack_from(block)
    data = _inflated(block[_LENGTH.size : _LENGTH.size + length], lines_bytes)
    numbers = struct.unpack(f"<{len(data) // 8}q", data)
    half = len(numbers) // 2
    children = list(accumulate(numbers[:half], initial=first))[1:]
    return list(zip(children, map(sub, children, numbers[half:]), strict=True))


def unpack_unresolved(first: int, block: bytes, lines_bytes: int | None = None) -> list[UnresolvedLink]:
    """The links whose parents are known by their op_ids alone; the same."""
    if not block:
        return []
    (length,) = _LENGTH.unpack_from(block)
    rest = block[_LENGTH.size + length :]
    if not rest:
        return []
    data = _inflated(rest, lines_bytes)
    count = len(data) // (8 + OP_ID_BYTES)
    steps = struct.unpack(f"<{count}q", data[: 8 * count])
    children = list(accumulate(steps, initial=first))[1:]
    return list(zip(children, split_op_ids(data[8 * count :]), strict=True))
