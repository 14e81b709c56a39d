"""The line decoder: what it takes is what a strict plain reading takes, and foreign lines survive it."""

from __future__ import annotations

import contextlib
import json
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muse.core.entry.codec import decode_plain_lines, parse_object
from muse.core.entry.columns import columns_of
from muse.core.op_log import InvalidEntryError, OpLog
from tests import making, plain_scan
from tests.making import entry, op_id
from tests.plain_scan import exact, exact_list
from tests.samples import JSON, examples

DAMAGE: dict[str, bytes] = {
    "a duplicate key": b'{"a":1,"a":1}',
    "a duplicate key below": b'{"a":[{"b":1,"c":2,"b":3}]}',
    "a duplicate key by escape": b'{"a":1,"\\u0061":2}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "-Infinity": b'{"a":-Infinity}',
    "1e400": b'{"a":1e400}',
    "-1e400": b'{"a":-1e400}',
    "2**64": b'{"a":18446744073709551616}',
    "-2**63-1": b'{"a":-9223372036854775809}',
    "a number of 5000 digits": b'{"a":' + b"9" * 5000 + b"}",
    "a lone high surrogate": b'{"a":"\\ud800"}',
    "a lone low surrogate": b'{"a":"x\\udc00"}',
    "a lone surrogate in a key": b'{"\\ud800":1}',
    "swapped surrogates": b'{"a":"\\udc00\\ud800"}',
    "invalid UTF-8": b'{"a":"\xff"}',
    "an overlong UTF-8 form": b'{"a":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "null": b"null",
    "an array": b"[]",
    "a string": b'"text"',
    "a number": b"5",
    "nothing": b"",
    "two objects": b'{"a":1}{"b":2}',
    "a trailing comma": b'{"a":1,}',
    "single quotes": b"{'a':1}",
    "a comment": b'{"a":1} // note',
    "a raw control character": b'{"a":"\x01"}',
    "a raw NUL": b'{"a":"\x00"}',
    "a NUL behind": b'{"a":1}\x00',
    "a leading zero": b'{"a":01}',
    "a plus sign": b'{"a":+1}',
    "a hexadecimal number": b'{"a":0x10}',
    "a bare dot": b'{"a":1.}',
    "an unfinished object": b'{"a":{"b":1}',
    "an unfinished escape": b'{"a":"\\u12"}',
    "an unknown escape": b'{"a":"\\x41"}',
    "100,000 arrays": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 unclosed arrays": b'{"a":' + b"[" * 100_000,
    "a form feed around": b'\x0c{"a":1}',
    "a no-break space around": b'\xc2\xa0{"a":1}',
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_line_that_is_no_strict_json_object_is_refused(name: str) -> None:
    """The decoder raises InvalidEntryError with a reason, and so does the plain reading."""
    line = DAMAGE[name]
    with contextlib.suppress(plain_scan.Damaged):
        assert not isinstance(plain_scan.parse(line), dict), "the oracle takes it: the table is wrong"
    with pytest.raises(InvalidEntryError) as caught:
        parse_object(line)
    assert 0 < len(str(caught.value)) < 2_000


@pytest.mark.parametrize("name", [name for name in DAMAGE if b"\n" not in DAMAGE[name] and DAMAGE[name]])
def test_a_damaged_domain_op_costs_its_line_alone(log: OpLog, name: str) -> None:
    """Between two good lines, the damaged one is never returned, is reported, and the others are read."""
    whole = making.line(entry(2, domain_op={"op": "x", "value": "HERE"}))
    bad = whole.replace(b'"HERE"', DAMAGE[name].removeprefix(b'{"a":').removesuffix(b"}"))
    if plain_scan.scan(bad).entries:
        bad = DAMAGE[name] + b"\n"
    making.add_bytes(log.path, making.line(entry(1)) + bad + making.line(entry(3)))
    scanned = making.assert_same_as_scan(log, log.path)
    assert scanned.op_ids == [op_id(1), op_id(3)]
    damage = [each for each in log.verify().findings if each.severity == "damage"]
    assert [each.byte_offset for each in damage] == [span.byte_offset for span, _ in scanned.damaged]


@pytest.mark.parametrize(
    "line",
    [
        b' {"a" : 1 ,\t"b":[ ] } \r',
        b'{"a":"\\u0041\\/\\ud834\\udd1e","\\u00e9":"\xc3\xa9"}',
        b'{"a":-0,"b":-0.0,"c":1E5,"d":1e-400,"e":0.1e1}',
        b'{"a":9223372036854775807,"b":-9223372036854775808}',
        '{"a":"\u2028\u2029\x7f\u0085"}'.encode(),
        b"{}",
    ],
)
def test_any_way_to_write_json_is_read(line: bytes) -> None:
    """Spaces, escapes and number forms of other programs give the values that plain json gives."""
    assert exact(parse_object(line)) == exact(plain_scan.parse(line))


def _plain_line(value: object) -> bytes:
    """A line without spaces and escapes, as the engine writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("between", [b",", b",0,", b",null,", b',"",'])
def test_lines_that_reach_into_each_other_are_no_entries_when_decoded_together(between: bytes) -> None:
    """One entry broken over two lines and two in one line are as many as lines, and yet all three are damage."""
    broken, *two = (_plain_line(entry(number, domain_op={"op": [{"a": 1}, {"b": 2}]})) for number in (1, 2, 3))
    opened, closed = broken.split(b'{"a":1},')
    lines = [opened + b'{"a":1}\n', closed, two[0][:-1] + between + two[1]]
    assert plain_scan.scan(b"".join(lines)).entries == []
    assert decode_plain_lines(lines) is None


@pytest.mark.parametrize("name", DAMAGE)
def test_one_damaged_line_is_not_lost_among_plain_ones(name: str) -> None:
    """Decoded together with plain lines, a damaged one sends all of them to be decoded one by one."""
    plain = [_plain_line(entry(each)) for each in range(3)]
    assert decode_plain_lines(plain) == columns_of(cast(Any, [entry(each) for each in range(3)]))
    for number in range(3):
        lines = list(plain)
        lines[number] = lines[number].replace(b'"domain_op":{', b'"domain_op":{"bad":' + DAMAGE[name] + b",")
        scanned = plain_scan.scan(b"".join(lines))
        together = decode_plain_lines(lines)
        assert together is None or (together == columns_of(cast(Any, scanned.entries)) and len(scanned.entries) == 3)


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"a":1e400}')
@examples(300)
def test_the_decoder_agrees_with_a_strict_plain_reading_on_any_bytes(data: bytes) -> None:
    """For any bytes at all the decoder gives the plain reading's object or InvalidEntryError, nothing else."""
    agree(data)


@given(JSON, st.integers(0, 10**6), st.integers(0, 255), st.booleans(), st.booleans())
@examples(300)
def test_the_decoder_agrees_with_a_strict_plain_reading_on_spoiled_json(
    value: Any,
    position: int,
    byte: int,
    ascii_only: bool,
    cut: bool,
) -> None:
    """Valid JSON with one byte changed, or cut off, is judged as the plain reading judges it."""
    data = bytearray(json.dumps({"v": value}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    if cut:
        del data[position % len(data) :]
    else:
        data[position % len(data)] = byte
    agree(bytes(data))


def agree(data: bytes) -> None:
    """Assert that the decoder and the plain reading say the same of `data`."""
    try:
        expected = plain_scan.parse(data)
    except plain_scan.Damaged:
        expected = None
    if isinstance(expected, dict):
        assert exact(parse_object(data)) == exact(expected)
    else:
        with pytest.raises(InvalidEntryError):
            parse_object(data)


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=6),
    st.booleans(),
    st.booleans(),
)
@examples(100)
def test_a_foreign_line_is_read_exactly(domain_op: dict[str, Any], ascii_only: bool, spaced: bool) -> None:
    """A line that json.dumps wrote, with any separators and escapes, in any key order, is read as it is."""
    made = dict(reversed(entry(1, domain_op=domain_op, further={"key": [1]}).items()))
    text = json.dumps(made, ensure_ascii=ascii_only, separators=(" , ", " :\t") if spaced else (",", ":"))
    with making.fresh_repo() as repo:
        making.add_bytes(making.log_path(repo), text.encode() + b"\n")
        with OpLog(repo, "s") as log:
            assert exact_list(log) == [exact(made)]
            log.append(entry(2))
            assert exact(log.get(op_id(1))) == exact(made)
