"""A random sample that is the same whenever it is drawn.

Each op has a number made of its op_id by a hash, and the sample is the ops with the lowest ones. So any two
reports of the same ops show the same ones, on any replica and in any order of arrival, and no op is preferred.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from heapq import heappush, heapreplace
from typing import Generic, TypeVar

Op = TypeVar("Op")


def draw_of(op_id: str) -> int:
    """The number that decides whether an op is drawn: the lower, the sooner."""
    return int.from_bytes(blake2b(op_id.encode(), digest_size=8).digest())


class Sample(Generic[Op]):
    """The ops with the lowest draws among those offered, in memory for `size` of them."""

    def __init__(self, size: int) -> None:
        """`size` is how many are kept at most."""
        self._size = size
        # The highest draw first, which is the next to be given up.
        self._heap: list[tuple[int, str, Op]] = []

    def offer(self, op_id: str, draw: int, make: Callable[[], Op]) -> None:
        """Keep the op if it is drawn so far; only then it is made."""
        if len(self._heap) < self._size:
            heappush(self._heap, (-draw, op_id, make()))
        elif -draw > self._heap[0][0]:
            heapreplace(self._heap, (-draw, op_id, make()))

    def drawn(self) -> list[Op]:
        """What is kept, the lowest draw first."""
        return [op for _, _, op in sorted(self._heap, key=lambda kept: (-kept[0], kept[1]))]
