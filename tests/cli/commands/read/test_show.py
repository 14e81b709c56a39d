"""`show`: one op, by its op_id or the beginning of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import InvalidArgumentError, OpLog
from tests import making, plain_scan
from tests.cli.running import ESCAPE, filled, json_lines, muse

ALIKE = ["abcd0000-0000-4000-8000-000000000001", "abcd0000-0000-4000-8000-000000000002"]
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def family(repo: Path) -> list[Any]:
    """A parent, a child that names it and one that never came, and two that build on the child."""
    parent, child = making.entry(1), making.entry(2, parent_op_ids=[making.op_id(1), UNKNOWN], extra=[ESCAPE])
    late = [making.entry(3 + at, op_id=op_id, parent_op_ids=[child["op_id"]]) for at, op_id in enumerate(ALIKE)]
    return filled(repo, [parent, child, *late])


def test_op_is_shown_with_its_family_and_place(repo: Path, family: list[Any]) -> None:
    """The line can be cut out of the file by what is said."""
    (found,) = json_lines(muse("show", "s", making.op_id(2), "--repo", repo, "--json").stdout)
    place = found["place"]
    line = making.log_bytes(repo)[place["byte_offset"] :][: place["length"]]

    assert plain_scan.exact(found["entry"]) == plain_scan.exact(family[1])
    assert line == making.line(family[1])
    assert found["parents"] == [family[0]]
    assert found["missing_parents"] == [UNKNOWN]
    assert found["children"] == family[2:]


def test_person_sees_all_of_it(repo: Path, family: list[Any]) -> None:
    """The op in words and in full, further fields too, and no control character."""
    shown = muse("show", "s", making.op_id(2)[:9], "--repo", repo).stdout

    for part in (making.op_id(1), making.op_id(2), *ALIKE, UNKNOWN, '"content_id": "c1"', "insert  note:1", "extra"):
        assert part in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("begun", [4, 7, 8, 9, 12, 36])
def test_beginning_is_enough_where_it_is_unique(repo: Path, family: list[Any], begun: int) -> None:
    """From four letters on, dashes or not, in either case."""
    for op_id in (making.op_id(1)[:begun], making.op_id(1)[:begun].replace("-", "").upper()):
        result = muse("show", "s", op_id, "--repo", repo, "--json")
        assert [found["entry"] for found in json_lines(result.stdout)] == [family[0]]


@pytest.mark.parametrize(
    "op_id", ["", "abc", "abcd", "abcd0000-0000-4000-8000", "00001111", "%%%%", UNKNOWN, "no op_id"]
)
def test_what_names_no_op_or_several_is_wrong_usage(repo: Path, family: list[Any], op_id: str) -> None:
    """Exit code 2; of several the first are named."""
    result = muse("show", "s", "--repo", repo, "--", op_id)

    assert (result.exit_code, result.stdout) == (2, "")
    if op_id.startswith("abcd"):
        assert all(alike in result.stderr for alike in ALIKE)


@pytest.mark.parametrize("digits", ["", "x", "-", "0" * 33, 7, "A"])
def test_what_is_no_beginning_is_refused(log: OpLog, digits: Any) -> None:
    """Only hexadecimal digits in lower case, as op_ids have them."""
    with pytest.raises(InvalidArgumentError):
        log.op_ids_beginning(digits)
