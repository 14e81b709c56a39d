"""Op_id keys: the hash of an op_id, 40 bits, and below it the number of the segment in which the op_id stands, 24 bits.

Hashes are what an index looks for, so whoever could choose op_ids of one hash could make every lookup search every
segment. So the hash depends on a secret of the index, a random odd factor: the op_id, a number of 128 bits, is
multiplied by it modulo 2^128, and the upper 40 bits are the hash. Any two op_ids, chosen by somebody who doesn't know
the factor, have the same hash with a probability of 2^-39 at most (Dietzfelbinger, Hagerup, Katajainen and Penttonen:
"A Reliable Randomized Algorithm for the Closest-Pair Problem", 1997).
"""

from __future__ import annotations

import os
import sys
from array import array
from dataclasses import dataclass

from muse.core.entry.model import OP_ID_BYTES

HASH_BITS = 40
SEGMENT_BITS = 24
SEGMENT_MASK = (1 << SEGMENT_BITS) - 1
_HASH_MASK = (1 << HASH_BITS) - 1 << SEGMENT_BITS
_OP_ID_BITS = 8 * OP_ID_BYTES
_OP_ID_MASK = (1 << _OP_ID_BITS) - 1
_UPPER_HALVES = slice(int(sys.byteorder == "little"), None, 2)


@dataclass(frozen=True, slots=True)
class OpIdHash:
    """The hash of one index. Immutable; worker processes are sent it."""

    factor: int
    """Odd, of 128 bits."""

    @property
    def digits(self) -> str:
        """The factor as an index holds it: 32 hexadecimal digits."""
        return f"{self.factor:032x}"

    def of(self, op_id: bytes) -> int:
        """The hash of one op_id."""
        return (int.from_bytes(op_id, sys.byteorder) * self.factor & _OP_ID_MASK) >> _OP_ID_BITS - HASH_BITS

    def of_all(self, op_ids: bytes) -> array[int]:
        """The hash of each of some op_ids, 16 bytes each."""
        return hashes_in(self._upper_halves(op_ids))

    def keys(self, op_ids: bytes, number: int) -> array[int]:
        """The keys of segment `number`, sorted; `op_ids` are 16 bytes each."""
        halves = self._upper_halves(op_ids)
        count = len(halves)
        keys = from_number(as_number(halves) & repeated(_HASH_MASK, count) | repeated(number, count), count)
        # Twice the same key says no more than once.
        return array("Q", sorted(set(keys)))

    def _upper_halves(self, op_ids: bytes) -> array[int]:
        """The upper 64 bits of each product: of all at once, as two long numbers in which each has twice the room."""
        count = len(op_ids) // OP_ID_BYTES
        together = int.from_bytes(op_ids, sys.byteorder)
        every_other = int.from_bytes((b"\xff" * OP_ID_BYTES + bytes(OP_ID_BYTES)) * (count + 1 >> 1), "little")
        one = (together & every_other) * self.factor & every_other
        other = (together >> _OP_ID_BITS & every_other) * self.factor & every_other
        products = (one | other << _OP_ID_BITS).to_bytes(len(op_ids), sys.byteorder)
        return array("Q", products)[_UPPER_HALVES]


def random_hash() -> OpIdHash:
    """The hash of a new index, which nobody can foresee."""
    return OpIdHash(int.from_bytes(os.urandom(OP_ID_BYTES), sys.byteorder) | 1)


def hashes_in(keys: array[int]) -> array[int]:
    """The hash in each of some keys."""
    return from_number(as_number(keys) >> SEGMENT_BITS & repeated((1 << HASH_BITS) - 1, len(keys)), len(keys))


def renumbered(keys: array[int], by: int) -> array[int]:
    """Keys whose segments have numbers that are higher by so much."""
    return from_number(as_number(keys) + repeated(by, len(keys)), len(keys))


# Many integers at once, as one long number: Python is as fast then as C.


def as_number(integers: array[int]) -> int:
    """Integers of 64 bits as one long number."""
    return int.from_bytes(integers.tobytes(), sys.byteorder)


def from_number(number: int, count: int) -> array[int]:
    """The integers of 64 bits in a long number."""
    return array("Q", number.to_bytes(8 * count, sys.byteorder))


def repeated(integer: int, count: int) -> int:
    """A long number that holds one integer of 64 bits so many times."""
    return int.from_bytes(integer.to_bytes(8, sys.byteorder) * count, sys.byteorder)
