"""Links: whatever names whatever, what is packed comes back, and each parent is found, left open or named once."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from muse.core.index.blocks.links import (
    NO_LINKS,
    links_named_in,
    pack,
    pack_links,
    resolve_links,
    unpack_links,
    unpack_unresolved,
)
from tests.index.plain_lines import OP_IDS, PlainLine, fed_with, offsets_of, plain_lines, some_lines

OFFSETS = st.integers(0, 2**62)


@given(OFFSETS, st.lists(st.tuples(OFFSETS, OFFSETS)), st.lists(st.tuples(OFFSETS, OP_IDS)))
def test_any_links_come_back_as_they_were(
    first: int, links: list[tuple[int, int]], unresolved: list[tuple[int, bytes]]
) -> None:
    """In any order, to parents before and after, resolved or not, many or none."""
    block = pack(first, links, unresolved)
    assert unpack_links(first, block) == links
    assert unpack_unresolved(first, block) == unresolved


def test_links_are_laid_out_as_described() -> None:
    """A length, then zlib of steps from child to child and distances to parents, then zlib of steps and op_ids."""
    op_ids = [bytes(range(16)), b"\xff" * 16]
    block = pack(100, [(110, 40), (110, 110), (150, 200)], [(120, op_ids[0]), (150, op_ids[1])])
    (length,) = struct.unpack_from("<I", block)
    assert struct.unpack("<6q", zlib.decompress(block[4 : 4 + length])) == (10, 0, 40, 70, 0, -50)
    assert zlib.decompress(block[4 + length :]) == struct.pack("<2q", 20, 30) + b"".join(op_ids)


def test_lines_without_parents_take_no_block() -> None:
    """And an empty block has no links of either kind."""
    packed = pack_links(fed_with(some_lines(20)), 3, lambda op_id: None)
    assert packed == NO_LINKS
    assert (packed.block, packed.parent_segments, packed.unresolved) == (b"", (), 0)
    assert unpack_links(7, b"") == []
    assert unpack_unresolved(7, b"") == []


@given(plain_lines(min_size=1), st.dictionaries(st.integers(0, 39), st.integers(1, 8)), st.integers(0, 10**12))
def test_parents_are_resolved_as_a_plain_look_finds_them(
    lines: list[PlainLine], elsewhere: dict[int, int], start: int
) -> None:
    """Here, in an earlier segment, or nowhere; in the order of the lines, and a parent named twice is one."""
    everywhere = {number: f"{number:>16}".encode() for number in range(40)}
    lines = [
        each if each.problem else replace(each, parents=(*each.parents, everywhere[number % 7], everywhere[number]))
        for number, each in enumerate(lines)
    ]
    found_elsewhere = {everywhere[number]: (segment, 1000 * number) for number, segment in elsewhere.items()}
    offsets = offsets_of(lines, start)
    here = {each.op_id: at for at, each in zip(offsets, lines, strict=False) if not each.problem}
    links, unresolved, segments = [], [], set()
    for at, each in zip(offsets, lines, strict=False):
        for parent in dict.fromkeys(each.parents):
            if parent in here:
                links.append((at, here[parent]))
                segments.add(9)
            elif parent in found_elsewhere:
                links.append((at, found_elsewhere[parent][1]))
                segments.add(found_elsewhere[parent][0])
            else:
                unresolved.append((at, parent))
    fed = fed_with(lines, start)
    assert resolve_links(links_named_in(fed), here, 9, found_elsewhere.get) == (links, unresolved, segments)
    packed = pack_links(fed, 9, found_elsewhere.get)
    assert unpack_links(start, packed.block) == links
    assert unpack_unresolved(start, packed.block) == unresolved
    assert packed.parent_segments == tuple(sorted(segments))
    assert packed.unresolved == len(unresolved)
