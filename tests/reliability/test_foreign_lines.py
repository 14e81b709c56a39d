"""Rows 14 and 15: what other programs write is read where it is an entry, and damage where it is not exact."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import InvalidEntryError, OpLog
from tests import making, plain_scan
from tests.making import add_bytes, entries, entry, line, op_id
from tests.reliability.faults import filled
from tests.samples import FOREIGN


def in_place_of_text(number: int, value: bytes) -> bytes:
    """A valid line in which one text value is replaced by other bytes."""
    return line(entry(number)).replace(b'"C4"', value)


INEXACT: dict[str, bytes] = {
    "NaN": in_place_of_text(50, b"NaN"),
    "Infinity": in_place_of_text(50, b"Infinity"),
    "-Infinity": in_place_of_text(50, b"-Infinity"),
    "1e400": in_place_of_text(50, b"1e400"),
    "2**64": in_place_of_text(50, b"%d" % 2**64),
    "-2**63-1": in_place_of_text(50, b"%d" % (-(2**63) - 1)),
    "an integer of 5000 digits": in_place_of_text(50, b"9" * 5_000),
    "a lone high surrogate": in_place_of_text(50, b'"\\ud834"'),
    "a lone low surrogate": in_place_of_text(50, b'"\\udd1e"'),
    "surrogates the wrong way round": in_place_of_text(50, b'"\\udd1e\\ud834"'),
    "a duplicate key": in_place_of_text(50, b'"C4", "op": "x"'),
    "a duplicate key in other spelling": in_place_of_text(50, b'"C4", "\\u006fp": "x"'),
    "a duplicate field": line(entry(50)).replace(b'{"op_id"', b'{"lamport_ts": 50, "op_id"'),
    "invalid UTF-8": in_place_of_text(50, b'"\xff"'),
    "an overlong encoding": in_place_of_text(50, b'"\xc0\xaf"'),
    "a surrogate in UTF-8": in_place_of_text(50, b'"\xed\xa0\x80"'),
    "a raw control character": in_place_of_text(50, b'"\x01"'),
    "a trailing comma": line(entry(50)).replace(b"}\n", b",}\n"),
    "a comment": in_place_of_text(50, b'"C4" /* why */'),
    "a plus sign": in_place_of_text(50, b"+1"),
    "a leading zero": in_place_of_text(50, b"01"),
    "a hexadecimal number": in_place_of_text(50, b"0x1F"),
    "single quotes": line(entry(50)).replace(b'"', b"'"),
    "UTF-16": line(entry(50)).decode().strip().encode("utf-16") + b"\n",
    "UTF-16 without a mark": line(entry(50)).decode().strip().encode("utf-16-le") + b"\n",
    "UTF-32": line(entry(50)).decode().strip().encode("utf-32") + b"\n",
    "two objects": line(entry(50)).strip() + line(entry(51)),
}


@pytest.mark.parametrize("name", INEXACT)
def test_line_that_leaves_no_exact_reading_is_damage(repo: Path, name: str) -> None:
    """Row 15: it is skipped with a reason, however it came there, and everything around it is read."""
    before = filled(repo, 5)
    with OpLog(repo, "s") as log:
        assert len(log) == 5
        add_bytes(log.path, INEXACT[name] + line(entry(6)))
        log.append(entry(7))
        scanned = making.assert_same_as_scan(log, log.path)
        assert scanned.op_ids == [op_id(number) for number in range(1, 8)]
        report = log.verify()
        findings = [each for each in report.findings if each.severity == "damage"]
        assert making.places(report, "damaged-line") == {span.byte_offset for span, _ in scanned.damaged}
        assert findings[0].byte_offset == len(before)
        assert all(each.kind == "damaged-line" and each.reason for each in findings)
        log.rebuild_index()
        making.assert_same_as_scan(log, log.path)


REFUSED: dict[str, Any] = {
    "NaN": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "2**64": 2**64,
    "-2**63-1": -(2**63) - 1,
    "a lone surrogate": "\ud834",
    "a lone surrogate in a key": {"\udd1e": 1},
    "a key that is no text": {1: "x"},
    "bytes": b"x",
    "a tuple": (1,),
    "a set": {1},
    "a complex number": 1j,
}


@pytest.mark.parametrize("name", REFUSED)
def test_value_that_json_can_not_carry_is_refused_before_a_byte_is_written(repo: Path, name: str) -> None:
    """Row 15: the error names the place, alone and in a batch, and nothing of the batch is in the log."""
    before = filled(repo, 2)
    bad = entry(9, domain_op={"op": "x", "deep": [0, {"here": REFUSED[name]}]})
    with OpLog(repo, "s") as log:
        for batch in ([bad], [*entries(3, start=3), bad]):
            with pytest.raises(InvalidEntryError, match=r"domain_op\.deep\[1\]\.here"):
                log.append_many(batch)
        assert log.path.read_bytes() == before
        assert len(log) == 2


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_lines_arrive_behind_an_open_handle(repo: Path, tmp_path: Path, name: str) -> None:
    """Row 14: lines that came between two appends are read as the plain scan reads them, and so after a merge."""
    with OpLog(repo, "s") as log, OpLog(tmp_path / "replica", "s") as replica:
        log.append(entry(70))
        add_bytes(log.path, FOREIGN[name])
        log.append(entry(71))
        scanned = making.assert_same_as_scan(log, log.path)
        assert scanned.op_ids[0] == op_id(70)
        assert scanned.op_ids[-1] == op_id(71)
        assert replica.merge(log) == len(scanned.entries)
        assert plain_scan.exact_list(replica) == plain_scan.exact_list(scanned.entries)
        assert replica.verify().counts.get("damaged-line", 0) == 0


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\r"])
def test_lines_are_split_on_the_newline_alone(repo: Path, separator: str) -> None:
    """Row 14: what str.splitlines takes for the end of a line is text, raw in UTF-8 where JSON allows it."""
    made = entry(1, domain_op={"op": f"a{separator}b", "nested": [separator]})
    with OpLog(repo, "s") as log:
        log.append(made)
        add_bytes(log.path, line(entry(2, domain_op=made["domain_op"])))
        assert log.path.read_bytes().count(b"\n") == 2
        assert [each["domain_op"] for each in log] == [made["domain_op"]] * 2
        making.assert_same_as_scan(log, log.path)
