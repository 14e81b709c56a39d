"""Sparklines: numbers over time drawn as one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_ASCII = ".:-=+*#@"


def levels_for(stream: TextIO) -> str:
    """The eight characters to draw with, lowest first: blocks, or ASCII if the stream's encoding lacks blocks."""
    try:
        BLOCKS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return BLOCKS


def sparkline(numbers: Sequence[int], levels: str, width: int) -> str:
    """Draw at most `width` characters, each for the sum of the same count of neighbouring numbers.

    A blank is 0; the highest level is the largest sum.
    """
    each = -(-len(numbers) // width) or 1
    sums = [sum(numbers[start : start + each]) for start in range(0, len(numbers), each)]
    return draw_levels(sums, levels, max(sums, default=0))


def draw_levels(numbers: Sequence[int], levels: str, highest: int) -> str:
    """Draw one character for each number; a blank is 0, the top level is `highest`."""
    return "".join(levels[(number * len(levels) - 1) // max(highest, number)] if number else " " for number in numbers)
