"""Numbers over time as one line of text, for a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_ASCII = ".:-=+*#@"


def levels_for(stream: TextIO) -> str:
    """The eight signs to draw with, lowest first: blocks, or ASCII where the stream's encoding lacks them."""
    try:
        BLOCKS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return BLOCKS


def sparkline(numbers: Sequence[int], levels: str, width: int) -> str:
    """At most `width` signs, each for as many numbers; a blank is 0, the highest sign the largest sum."""
    each = -(-len(numbers) // width) or 1
    sums = [sum(numbers[start : start + each]) for start in range(0, len(numbers), each)]
    return draw_levels(sums, levels, max(sums, default=0))


def draw_levels(numbers: Sequence[int], levels: str, highest: int) -> str:
    """One sign for each number; a blank is 0, the highest sign `highest`."""
    return "".join(levels[(number * len(levels) - 1) // max(highest, number)] if number else " " for number in numbers)
