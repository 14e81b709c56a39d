"""The command `undo`: it says first what it would do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog
from tests import making
from tests.cli.running import filled, logged, muse


@pytest.fixture
def entries(repo: Path) -> list[Any]:
    """Four inserts at four addresses: two of ada's with the intent "plan", two of bob's."""
    ops = [{**making.SOME_OP, "address": f"a{number}"} for number in range(4)]
    made = [
        making.entry(n + 1, domain_op=op, actor_id=("ada", "bob")[n % 2], intent_id=("plan", "")[n % 2])
        for n, op in enumerate(ops)
    ]
    return filled(repo, made)


def undone(repo: Path) -> list[str]:
    """The op_ids that the lines after the first four undo."""
    return [entry["parent_op_ids"][0] for entry in logged(repo)[4:]]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--actor", "ada"], [3, 1]),
        (["--intent", "plan", "--since", "1"], [3]),
        (["--upto", making.op_id(2)], [2, 1]),
        ([making.op_id(2)[:8], making.op_id(4)], [4, 2]),
        (["--domain", "none"], []),
    ],
)
def test_undo_shows_what_it_would_do_and_does_it_with_yes(
    repo: Path, entries: list[Any], options: list[str], numbers: list[int]
) -> None:
    """Without --yes nothing is written; with it the inverses are there, the newest first; again, nothing is left."""
    before = making.log_bytes(repo)
    result = muse("undo", "s", *options, "--repo", repo, "--by", "eve")
    assert result.exit_code == 0
    shown = [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert shown == [making.op_id(number)[:8] for number in numbers]
    assert making.log_bytes(repo) == before

    found = json.loads(muse("undo", "s", *options, "--repo", repo, "--by", "eve", "--yes", "--json").stdout)
    assert found["undone"] == undone(repo) == [making.op_id(number) for number in numbers]
    assert found["ops"] == [entry["domain_op"] for entry in logged(repo)[4:]]
    assert {entry["actor_id"] for entry in logged(repo)[4:]} <= {"eve"}
    assert {op["op"] for op in found["ops"]} <= {"delete"}
    if "--upto" not in options:
        again = muse("undo", "s", *options, "--repo", repo, "--by", "eve", "--yes")
        assert "0 operations would be undone" in again.stderr
        assert len(logged(repo)) == 4 + len(numbers)


def test_undo_tells_what_it_did_and_not_what_it_had_planned(
    repo: Path, entries: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else undoes one of two while the question stands there: the other one is undone, and told of."""

    def agreed(_question: str, *, yes: bool) -> bool:
        with OpLog(repo, "s") as log:
            log.undo([making.op_id(1)], by="bob")
        return yes

    monkeypatch.setattr("muse.cli.commands.record.undo.is_agreed", agreed)
    result = muse("undo", "s", "--actor", "ada", "--repo", repo, "--yes", "--json")
    assert json.loads(result.stdout)["undone"] == [making.op_id(3)]
    assert "1 operation undone; 1 passed over" in result.stderr
    assert undone(repo) == [making.op_id(1), making.op_id(3)]


def test_undo_names_what_stands_in_its_way(repo: Path, entries: list[Any]) -> None:
    """Exit code 2 and nothing written, unless it is forced; an operation of another kind can't be undone here."""
    later = making.entry(9, domain_op=entries[0]["domain_op"], actor_id="bob")
    odd = making.entry(10, domain_op={"op": "paint", "address": "b"}, actor_id="odd")
    filled(repo, [later, odd])
    for options, named in ((["--actor", "ada"], later), (["--actor", "odd"], odd)):
        result = muse("undo", "s", *options, "--repo", repo, "--yes")
        assert result.exit_code == 2
        assert named["op_id"] in result.stderr
    assert len(logged(repo)) == 6
    assert muse("undo", "s", "--actor", "ada", "--repo", repo, "--yes", "--force").exit_code == 0
    assert len(logged(repo)) == 8


@pytest.mark.parametrize("words", [[], [making.op_id(1), "--actor", "ada"], ["0000"]])
def test_undo_asks_what_to_undo(repo: Path, entries: list[Any], words: list[str]) -> None:
    """Never all of a session because nothing was said; and never something else than what was named."""
    assert muse("undo", "s", *words, "--repo", repo, "--yes").exit_code == 2
    assert logged(repo) == entries
