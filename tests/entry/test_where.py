"""`where`: what is found is what a scan with a plain JSON parser finds, however the lines are spelled."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core import paging
from muse.core.op_log import EntryFilters, InvalidArgumentError, OpLog
from muse.core.paging import PageSize
from muse.core.storage.log_file import LogFile
from tests import making, plain_scan
from tests.making import entries, entry
from tests.plain_scan import exact_list
from tests.samples import examples
from tests.small_index import segments_of

TEXTS = ["app.py", "pp.py", "a/b", "a", "", "0", "1", "true", "null", 'say "x"', "back\\u0061", "\\", "tab\t\x1b\x7f",
         "zoë", "\U0001d11e", "line\nline", "\u2028", "-0", "1.0"]  # fmt: skip
KEYS = ["address", "a", "a.b", "b", "0", "1", "", "op", 'k"', "zoë", "a/b", "."]
SCALARS = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from([0, 1, -1, 10, 100, 2**63, -(2**63), 0.0, -0.0, 1.0, 10.0, 1e22, 1.5, True, False, None]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=6,
)
OPS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)


def spelled(value: Any, chance: random.Random) -> str:
    """JSON text of a value in one of its many spellings."""
    if isinstance(value, str):
        return '"' + "".join(_spelled_letter(letter, chance) for letter in value) + '"'
    space = chance.choice(["", "", " ", "\t"])
    if isinstance(value, dict):
        pairs = [f"{spelled(key, chance)}{space}:{space}{spelled(item, chance)}" for key, item in value.items()]
        chance.shuffle(pairs)
        return "{" + space + f"{space},".join(pairs) + space + "}"
    if isinstance(value, list):
        return "[" + space + f",{space}".join(spelled(item, chance) for item in value) + "]"
    if isinstance(value, float):
        return chance.choice([json.dumps(value), f"{value:.3e}", f"{value:.3E}", f"{value:.1f}00", f"{value:.1f}e-0"])
    return chance.choice(["0", "-0"]) if value == 0 and value is not False else json.dumps(value)


def _spelled_letter(letter: str, chance: random.Random) -> str:
    spellings = [json.dumps(letter)[1:-1]]
    if letter not in '"\\' and letter >= " ":
        # As it is, most often.
        spellings += [letter] * 8
    if len(letter.encode("utf-16-le")) == 2:
        spellings += [f"\\u{ord(letter):04x}", f"\\u{ord(letter):04X}"]
    return chance.choice([*spellings, "\\/"] if letter == "/" else spellings)


def foreign_line(op: dict[str, Any], number: int, chance: random.Random) -> bytes:
    """A line as another program may write it: any spelling, any order, perhaps a byte order mark."""
    made = {**entry(number), "domain_op": op, "actor_id": chance.choice(["ada", "bob"]), "note": chance.choice(TEXTS)}
    text = spelled(made, chance)
    return (b"\xef\xbb\xbf" if chance.random() < 0.1 else b"") + text.encode() + b"\n"


def paths_into(value: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Each path into a value, with what stands there."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield f"{before}{key}", item
        yield from paths_into(item, f"{before}{key}.")


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Operations, and what to ask for: values that are there, some of them changed to a look-alike."""
    ops = draw(st.lists(OPS, min_size=1, max_size=12))
    there = [pair for op in ops for pair in paths_into(op)] or [("a", 1)]
    alike = st.one_of(st.sampled_from(there), st.tuples(st.sampled_from(there).map(lambda pair: pair[0]), VALUES))
    return ops, draw(st.lists(st.lists(alike, min_size=1, max_size=2).map(dict), min_size=1, max_size=3))


@examples(60)
@given(logs(), st.randoms(use_true_random=False), st.booleans(), st.sampled_from([1, 700, 1 << 20]))
def test_what_is_found_is_what_a_json_parser_finds(
    asked: tuple[list[dict[str, Any]], list[dict[str, Any]]], chance: random.Random, folded: bool, page_bytes: int
) -> None:
    """With escapes, look-alikes, nested values, any spelling, pages of any size, by itself or with other filters."""
    ops, conditions = asked
    with making.fresh_repo() as repo, pytest.MonkeyPatch.context() as patch:
        patch.setattr(paging, "_SEARCHED_PAGE", PageSize(1000, page_bytes))
        path = making.log_path(repo)
        path.parent.mkdir(parents=True)
        lines = [foreign_line(op, number, chance) for number, op in enumerate(ops, 1)]
        path.write_bytes(b"".join(lines) + b"no entry\n" + lines[0])
        scanned = plain_scan.scan_file(path).entries
        assert len(scanned) == len(ops)
        with segments_of(4 if folded else 1000), OpLog(repo, "s") as log:
            for where in conditions:
                actor = chance.choice([None, "ada"])
                expected = exact_list(plain_scan.select(scanned, where=where, actor_id=actor))
                filters: EntryFilters = {"where": where, "actor_id": actor}
                assert exact_list(log.query(**filters)) == expected
                assert exact_list(log.query(reverse=True, **filters)) == expected[::-1]
                assert exact_list(log.query(limit=2, **filters)) == expected[:2]
                assert exact_list(log.follow(from_start=True, timeout=0, **filters)) == expected
                assert log.count(**filters) == len(expected)


@pytest.mark.parametrize(
    ("value", "alike"), [(1, 1.0), (1, True), (0, False), (1, "1"), (None, "null"), (0.0, -0.0), ("a", "A"), ([], {})]
)
def test_values_are_compared_exactly(log: OpLog, value: Any, alike: Any) -> None:
    """What Python or a spreadsheet takes for equal is not: type, case and the sign of zero count."""
    log.append_many([entry(1, domain_op={"x": value}), entry(2, domain_op={"x": alike}), entry(3, domain_op={})])

    assert [each["lamport_ts"] for each in log.query(where={"x": value})] == [1]
    assert [each["lamport_ts"] for each in log.query(where={"x": alike})] == [2]


def test_an_object_is_equal_whatever_the_order_of_its_keys(log: OpLog) -> None:
    """And a list only in its own order; a number is the same in each of its spellings."""
    made = entry(1, domain_op={"at": {"line": 1, "column": 2.0}, "tags": ["x", "y"]})
    log.append(made)

    assert log.count(where={"at": {"column": 2.0, "line": 1}}) == 1
    assert log.count(where={"tags": ["y", "x"]}) == 0
    assert log.count(where={"tags.1": "y", "at.line": 1}) == 1
    assert log.count(where={}) == log.count(where=None) == 1


def test_only_lines_that_the_index_leaves_are_read(log: OpLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an actor that acted once in 3,000 lines of 400 bytes, some kilobytes are read."""
    made = entries(3000, domain_op={"op": "x", "address": "a", "pad": "x" * 300})
    made[2000]["actor_id"] = "rare"
    log.append_many(made)
    seen: list[int] = []
    read = LogFile.read

    def noting(file: LogFile, start: int, stop: int) -> bytes:
        seen.append(stop - start)
        return read(file, start, stop)

    monkeypatch.setattr(LogFile, "read", noting)
    assert [each["op_id"] for each in log.query(actor_id="rare", where={"address": "a"})] == [made[2000]["op_id"]]
    assert sum(seen) < 2000


def test_a_line_that_was_altered_is_not_found(log: OpLog) -> None:
    """Bytes that are not what was indexed are passed over as damage, as by any other question."""
    log.append_many(entries(20, domain_op={"op": "x", "address": "a"}))
    lines = log.path.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b'"address":', b'"address"x')
    lines[4] = lines[4].replace(b"\n", b" ")
    log.path.write_bytes(b"".join(lines))

    expected = plain_scan.select(plain_scan.scan_file(log.path).entries, where={"address": "a"})
    assert len(expected) == 17
    assert exact_list(log.query(where={"address": "a"})) == exact_list(expected)
    assert log.count(where={"address": "a"}) == 17


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("address=a", "must be a dict"),
        ({1: "a"}, "must be text"),
        ({"a": float("nan")}, "a: nan"),
        ({"a": {"b": (1,)}}, "a.b"),
        ({"a": 2**64}, "a: the integer"),
        ({"a": "\ud800"}, "surrogate"),
    ],
)
def test_what_no_line_can_hold_is_refused(log: OpLog, where: Any, named: str) -> None:
    """With an error that names the place, before anything is read."""
    for ask in (log.query, log.count, log.follow, log.to_dicts):
        with pytest.raises(InvalidArgumentError, match=named):
            ask(where=where)
