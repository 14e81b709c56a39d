"""A random but reproducible sample of ops.

The hash of an op's op_id is its draw, and the sample consists of the ops with the lowest draws. So two reports of the
same ops show the same sample, on any replica and in any order of arrival, and every op has the same chance.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from heapq import heappush, heapreplace
from typing import Generic, TypeVar

Op = TypeVar("Op")


def draw_of(op_id: str) -> int:
    """The number that decides whether an op is in the sample; lower numbers come first."""
    return int.from_bytes(blake2b(op_id.encode(), digest_size=8).digest())


class Sample(Generic[Op]):
    """The `size` ops with the lowest draws among those offered."""

    def __init__(self, size: int) -> None:
        """`size` is the largest number of ops to keep."""
        self._size = size
        # A heap of negated draws: its first item has the highest draw and is the next to be dropped.
        self._heap: list[tuple[int, str, Op]] = []

    def offer(self, op_id: str, draw: int, make: Callable[[], Op]) -> None:
        """Keep the op if its draw is low enough. Only then `make` is called."""
        if len(self._heap) < self._size:
            heappush(self._heap, (-draw, op_id, make()))
        elif -draw > self._heap[0][0]:
            heapreplace(self._heap, (-draw, op_id, make()))

    def drawn(self) -> list[Op]:
        """The ops in the sample, the lowest draw first."""
        return [op for _, _, op in sorted(self._heap, key=lambda kept: (-kept[0], kept[1]))]
