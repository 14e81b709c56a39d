"""Op_id keys: many hashes at once are those of one by one, and none can be foreseen without the factor."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.index.blocks.op_id_keys import OpIdHash, random_hash
from tests.index.plain_lines import OP_IDS

FACTORS = st.integers(0, 2**127 - 1).map(lambda number: 2 * number + 1)


def hash_by_hand(op_id: bytes, factor: int) -> int:
    """The op_id as a number, the lowest byte first, times the factor; of the lower 128 bits the upper 40."""
    number = sum(byte << 8 * place for place, byte in enumerate(op_id))
    return number * factor % 2**128 // 2**88


@given(st.lists(OP_IDS, max_size=20), st.integers(1, 2**24 - 1), FACTORS)
def test_hashes_and_keys_of_many_are_those_of_each(op_ids: list[bytes], number: int, factor: int) -> None:
    """In their order the hashes; each once, sorted, the keys: 40 bits of the hash above 24 of the segment's number."""
    hashed = OpIdHash(factor)
    by_hand = [hash_by_hand(op_id, factor) for op_id in op_ids]
    assert [hashed.of(op_id) for op_id in op_ids] == by_hand
    assert hashed.of_all(b"".join(op_ids)).tolist() == by_hand
    expected = sorted({each * 2**24 + number for each in by_hand})
    assert hashed.keys(b"".join(op_ids), number).tolist() == expected


@given(FACTORS)
def test_a_factor_is_32_hexadecimal_digits(factor: int) -> None:
    """However small it is."""
    assert len(OpIdHash(factor).digits) == 32
    assert int(OpIdHash(factor).digits, 16) == factor


def test_each_index_draws_a_factor_of_its_own() -> None:
    """Odd and random: over some hundred each bit but the lowest is 0 and 1."""
    drawn = [random_hash().factor for _ in range(200)]
    assert len(set(drawn)) == len(drawn)
    for place in range(128):
        assert {factor >> place & 1 for factor in drawn} == ({0, 1} if place else {1})


ALIKE: dict[str, Callable[[int], bytes]] = {
    "the first 32 bits": lambda n: b"\7" * 4 + n.to_bytes(12, "big"),
    "the first 64 bits": lambda n: b"\7" * 8 + n.to_bytes(8, "big"),
    "the last 64 bits": lambda n: n.to_bytes(8, "big") + b"\7" * 8,
    "the last 64 bits, counted from the left": lambda n: n.to_bytes(8, "little") + b"\7" * 8,
    "the XOR of the halves": lambda n: n.to_bytes(8, "big") + (n ^ 5).to_bytes(8, "big"),
    "the lowest 88 bits": lambda n: b"\7" * 11 + n.to_bytes(5, "big"),
}


def alike_under(factor: int) -> Iterator[uuid.UUID]:
    """UUIDs of version 4, without end, all of which have the hash 7 under a factor."""
    inverse = pow(factor, -1, 2**128)
    for number in count(7 * 2**88):
        op_id = (number * inverse % 2**128).to_bytes(16, "little")
        if op_id[6] >> 4 == 4 and op_id[8] >> 6 == 2:
            yield uuid.UUID(bytes=op_id)


@pytest.mark.parametrize("how", ALIKE)
def test_op_ids_alike_by_design_have_different_hashes(how: str) -> None:
    """Op_ids that somebody chose without the factor hardly ever share a hash, and never many of them."""
    op_ids = [ALIKE[how](number) for number in range(2_000)]
    assert len(set(op_ids)) == len(op_ids)
    for _ in range(20):
        assert max(Counter(random_hash().of_all(b"".join(op_ids))).values()) <= 2


def test_whoever_knows_the_factor_can_make_op_ids_look_alike() -> None:
    """So it has to stay secret: a counterexample to any other hope."""
    hashed = random_hash()
    op_ids = [op_id.bytes for op_id in islice(alike_under(hashed.factor), 100)]
    assert len(set(op_ids)) == 100
    assert set(hashed.of_all(b"".join(op_ids))) == {7}
