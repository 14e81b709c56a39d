"""A short run of the fuzzer; `nox -s fuzz` takes a million inputs."""

from __future__ import annotations

import zlib

import pytest

from muse.core.entry.codec import decode_line
from muse.core.errors import DamagedLineError
from tests.reliability import fuzz


def test_decoder_and_checkpoint_reader_agree_with_the_strict_plain_reading(request: pytest.FixtureRequest) -> None:
    """Rows 14, 15 and 17: nothing but the library's own errors comes out, and every value is the oracle's."""
    seed = zlib.crc32(str(request.config.getoption("--hypothesis-seed")).encode())
    told = fuzz.run(5_000, seed)
    assert told.problems == [], f"python -m tests.reliability.fuzz --seed {seed}"
    for outcome in ("entry", "damage", "record", "refused record"):
        assert told.outcomes[outcome] > 50, told.outcomes


def test_same_seed_makes_the_same_inputs() -> None:
    """A problem can be repeated by its seed and number."""
    one, two = (fuzz.Mutator(5, fuzz.valid_lines()) for _ in range(2))
    assert [one.make() for _ in range(200)] == [two.make() for _ in range(200)]


@pytest.mark.parametrize("piece", [b"[],", b"{},", b"0,", b"1e5,", b'"\\u0041",', b'{"a":1},', b"-9223372036854,"])
@pytest.mark.parametrize("end", [b"0]}", b"9" * 30 + b"]}"])
def test_long_line_takes_memory_in_proportion(piece: bytes, end: bytes) -> None:
    """Row 13: a line of 100 KB, whole or damaged at its end, takes a bounded number of bytes for each of it."""
    fuzz.check_memory(b'{"x":[' + piece * (100_000 // len(piece)) + end)


@pytest.mark.parametrize("piece", [b"\xff", b"\0", b'"', b"\\", b"{", b"\xef\xbb\xbf", b"\r"])
def test_long_noise_is_refused_in_a_short_message(piece: bytes) -> None:
    """Row 15: the reason of a damaged line is short, however long the line."""
    with pytest.raises(DamagedLineError) as caught:
        decode_line(b'{"x": ' + piece * 500_000 + b"}")
    assert len(str(caught.value)) < 500
