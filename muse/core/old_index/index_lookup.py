"""An op by the beginning of its op_id: a seek by the first four bytes, and a look at the lines it leads to."""

from __future__ import annotations

import uuid

from muse.core.old_index.index import Index
from muse.core.old_index.index_check import check_op_refs
from muse.core.storage.record import op_id_of

PREFIX_DIGITS = 8
"""Hexadecimal digits of the four bytes by which op_ids are sorted in the index."""


def op_ids_beginning(index: Index, digits: str, limit: int) -> list[str]:
    """At most `limit` op_ids that begin with these hexadecimal digits (without dashes), sorted.

    Raises:
        DamagedIndexError: the index can't be trusted to know all of them.
    """
    low, high = _range(digits)
    check_op_refs(index)
    with index.snapshot():
        rows = index.connection.execute(
            "SELECT op_high, op_low FROM tail WHERE op_high IS NOT NULL AND op_high >> 32 BETWEEN ?1 AND ?2 "
            "UNION SELECT op_high, op_low FROM op_ref CROSS JOIN line USING (byte_offset) "
            "WHERE prefix BETWEEN ?1 AND ?2",
            (low, high),
        )
        found = []
        for numbers in rows:
            op_id = op_id_of(*numbers)
            if op_id is not None and op_id.hex().startswith(digits):
                found.append(str(uuid.UUID(bytes=op_id)))
    return sorted(found)[:limit]


def _range(digits: str) -> tuple[int, int]:
    """The lowest and the highest first four bytes, as the signed integers of the index."""
    begun = digits[:PREFIX_DIGITS]
    low, high = (bytes.fromhex(begun.ljust(PREFIX_DIGITS, filler)) for filler in "0f")
    return int.from_bytes(low, "big", signed=True), int.from_bytes(high, "big", signed=True)
