"""The commands `blame` and `conflicts`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import making
from tests.cli.running import filled, json_lines, muse


def op(number: int, actor: str, address: Any, *parents: int, kind: str = "insert") -> Any:
    """An entry for one operation on an address."""
    return making.entry(
        number,
        actor_id=actor,
        domain_op={"op": kind, "address": address},
        parent_op_ids=[making.op_id(parent) for parent in parents],
    )


@pytest.fixture
def session(repo: Path) -> list[Any]:
    """Two actors touch a.py at once, then cy, who knows both; b.py is touched by one after the other."""
    return filled(
        repo,
        [
            op(1, "ada", "a.py"),
            op(2, "bob", "a.py"),
            op(3, "cy", "a.py", 1, 2, kind="delete"),
            op(4, "ada", "b.py"),
            op(5, "bob", "b.py", 4),
            op(6, "bob", 7),
        ],
    )


def test_blame_shows_the_last_actor_first(repo: Path, session: list[Any]) -> None:
    """A row for each actor with how often and how; programs get the first and the last operation whole."""
    result = muse("blame", "s", "a.py", "--repo", repo)

    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["ACTOR", "OPS", "FIRST", "LAST", "LAST", "OP", "KINDS"]
    assert [row.split()[:2] for row in rows] == [["cy", "1"], ["bob", "1"], ["ada", "1"]]
    assert [row.split()[-2:] for row in rows] == [["delete", "1"], ["insert", "1"], ["insert", "1"]]
    assert "3 ops by 3 actors" in result.stderr

    (told,) = json_lines(muse("blame", "s", "a.py", "--repo", repo, "--json").stdout)
    assert (told["field"], told["value"]) == ("address", "a.py")
    assert [each["last"] for each in told["actors"]] == session[2::-1]


def test_blame_of_what_nobody_touched_says_so(repo: Path, session: list[Any]) -> None:
    """A number is not its text, and another field is another question."""
    assert json_lines(muse("blame", "s", "7", "--repo", repo, "--json").stdout)[0]["actors"][0]["actor_id"] == "bob"
    assert "no op has address=" in muse("blame", "s", '"7"', "--repo", repo).stderr
    assert "2 actors" in muse("blame", "s", "insert", "--field", "op", "--repo", repo).stderr


def test_conflicts_are_those_of_operations_that_did_not_know_of_each_other(repo: Path, session: list[Any]) -> None:
    """Of a.py the two that came at once; cy's, which knows both, and b.py are none."""
    result = muse("conflicts", "s", "--repo", repo)
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["ADDRESS", "OPS", "ACTORS"],
        ["a.py", "2", "ada,", "bob"],
    ]

    expected = {"value": "a.py", "op_ids": [making.op_id(1), making.op_id(2)], "actors": ["ada", "bob"]}
    assert json_lines(muse("conflicts", "s", "--repo", repo, "--json").stdout) == [expected]
    assert json.loads(muse("conflicts", "s", "--address", "a.py", "--repo", repo, "--json").stdout) == expected
    assert muse("conflicts", "s", "--address", "b.py", "--repo", repo).stdout == ""

    rows = muse("conflicts", "s", "--address", "a.py", "--repo", repo).stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["LAMPORT", "1", "2"]


def test_values_of_a_table_can_be_given_to_address(repo: Path) -> None:
    """What is no text is shown as JSON, as --address takes it."""
    values = [None, True, 2.0, {"a": "b"}]
    filled(repo, [op(2 * at + who, "ab"[who], value) for at, value in enumerate(values, 1) for who in range(2)])
    lines = muse("conflicts", "s", "--repo", repo).stdout.splitlines()[1:]
    cells = [line.split()[0] for line in lines]
    told = [json_lines(muse("conflicts", "s", "--address", cell, "--json", "--repo", repo).stdout) for cell in cells]
    assert sorted(repr(each["value"]) for (each,) in told) == sorted(map(repr, values))
