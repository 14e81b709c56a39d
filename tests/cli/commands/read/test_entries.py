"""The commands `replay`, `query` and `count`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests import making, plain_scan
from tests.cli.running import filled, json_lines, muse


@pytest.fixture
def entries(repo: Path) -> list[Any]:
    """A session "s" of 60 entries, some of them linked to an intent and a reservation."""
    made: list[Any] = list(making.entries(60))
    for entry in made[::7]:
        entry.update(intent_id="plan-1", reservation_id="hold-1")
    return filled(repo, made)


FILTERS = [
    ([], {}),
    (["--actor", "ada"], {"actor_id": "ada"}),
    (["--domain", "code"], {"domain": "code"}),
    (["--intent", "plan-1"], {"intent_id": "plan-1"}),
    (["--reservation", "hold-1", "--actor", "bob"], {"reservation_id": "hold-1", "actor_id": "bob"}),
    (["--min-lamport", "10", "--max-lamport", "20"], {"min_lamport_ts": 10, "max_lamport_ts": 20}),
    (["--domain", "music", "--limit", "3"], {"domain": "music", "limit": 3}),
    (["--limit", "0"], {"limit": 0}),
    (["--actor", "nobody"], {"actor_id": "nobody"}),
    (["--actor", "ada", "--actor", "bob", "--not-domain", "code"], {"not_domain": "code"}),
    (["--not-actor", "ada", "--intent", "plan-1", "--intent", ""], {"not_actor_id": "ada"}),
    (["--where", "op=move", "--where", "position=12"], {"where": {"op": "move", "position": 12}}),
    (["--where", 'position="12"'], {"where": {"position": "12"}}),
    (["--where", "address=note:1", "--limit", "2"], {"where": {"address": "note:1"}, "limit": 2}),
]


@pytest.mark.parametrize(("options", "wanted"), FILTERS)
def test_query_gives_what_a_plain_scan_selects(
    repo: Path, entries: list[Any], options: list[str], wanted: dict[str, Any]
) -> None:
    """Each option narrows the answer, all together by "and"; the entries come verbatim, one a line."""
    result = muse("query", "s", "--repo", repo, "--json", *options)

    assert result.exit_code == 0
    expected = plain_scan.select(entries, **wanted)
    assert plain_scan.exact_list(json_lines(result.stdout)) == plain_scan.exact_list(expected)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("app.py", "app.py"),
        ("a=b", "a=b"),
        ("", ""),
        ("3", 3),
        ("1e0", 1.0),
        ("true", True),
        ("null", None),
        ('"3"', "3"),
        ('["a"]', ["a"]),
        ("18446744073709551616", "18446744073709551616"),
        ("NaN", "NaN"),
        ('1,"value":1', '1,"value":1'),
        ('1,"x":1', '1,"x":1'),
    ],
)
def test_a_value_to_find_is_json_or_else_text(repo: Path, value: str, wanted: Any) -> None:
    """What no line could hold as JSON is text, so that the simple case needs no quotes in quotes."""
    made = filled(repo, [making.entry(number, domain_op={"x": each}) for number, each in enumerate([wanted, "?"], 1)])

    found = json_lines(muse("query", "s", "--repo", repo, "--json", "--where", f"x={value}").stdout)

    assert plain_scan.exact_list(found) == plain_scan.exact_list(made[:1])
    assert muse("count", "s", "--repo", repo, "--where", f"x={value}").stdout == "1\n"


@pytest.mark.parametrize("given", [["address"], ["a=1", "--where", "a=2"]])
def test_a_condition_that_can_not_be_met_is_wrong_usage(repo: Path, entries: list[Any], given: list[str]) -> None:
    """Without a value, or with two for one place."""
    result = muse("query", "s", "--repo", repo, "--where", *given)

    assert result.exit_code == 2
    assert "--where" in result.stderr


def test_json_that_may_be_meant_as_text_is_told_where_nothing_is_found(repo: Path, entries: list[Any]) -> None:
    """A number finds no text: the note says how to write the text."""
    result = muse("query", "s", "--repo", repo, "--where", "address=12")

    assert "'address=\"12\"'" in result.stderr


def test_pending_is_what_arrived_after_the_checkpoint(repo: Path, entries: list[Any]) -> None:
    """All while there is none; then what came later, whatever its timestamp. Other filters narrow it."""
    replay = ("replay", "s", "--repo", repo, "--json")
    before = muse(*replay)
    muse("checkpoint", "s", "c1", "--repo", repo)
    later = filled(repo, [making.entry(98, actor_id="bob"), making.entry(99, lamport_ts=1, actor_id="ada")])
    after = muse(*replay)
    of_ada = muse("query", "s", "--repo", repo, "--json", "--since-checkpoint", "--actor", "ada")

    assert plain_scan.exact_list(json_lines(before.stdout)) == plain_scan.exact_list(entries)
    assert "60 entries pending (no checkpoint yet)" in before.stderr
    assert json_lines(after.stdout) == later
    assert "2 entries pending (since checkpoint 'c1')" in after.stderr
    assert json_lines(of_ada.stdout) == later[1:]


def test_json_line_is_the_line_of_the_log(repo: Path) -> None:
    """What this package wrote is printed byte for byte."""
    muse("append", "s", "--repo", repo, stdin=making.line(making.entry(1, actor_id="zoë \u202e", extra=[1.5])))

    assert muse("query", "s", "--repo", repo, "--json").stdout_bytes == making.log_bytes(repo)


def test_person_gets_a_table_with_a_heading(repo: Path, entries: list[Any]) -> None:
    """Without --json there is a line for the columns and one for each entry; the count goes elsewhere."""
    result = muse("query", "s", "--repo", repo)

    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["LAMPORT", "UTC", "ACTOR", "DOMAIN", "OP", "ADDRESS", "WHAT"]
    assert [row.split()[:6] for row in rows[:2]] == [
        [
            str(entry["lamport_ts"]),
            *entry["created_at"][:19].split("T"),
            entry["actor_id"],
            entry["domain"],
            entry["domain_op"]["op"],
        ]
        for entry in entries[:2]
    ]
    assert len(rows) == 60
    assert "60 entries" in result.stderr


@pytest.mark.parametrize(
    ("op", "what"),
    [
        ({"op": "insert", "address": "a", "content_summary": "C4"}, "C4"),
        ({"op": "delete", "address": "a", "content_id": "c9"}, "c9"),
        ({"op": "insert", "address": "a", "text": "C4"}, "text=C4"),
        ({"op": "move", "address": "a", "from_position": 3, "to_position": 1}, "3 -> 1"),
        ({"op": "replace", "address": "a", "old_summary": "C4", "new_summary": "D4"}, "C4 -> D4"),
        ({"op": "replace", "address": "a", "old_summary": "C4"}, "C4 -> ?"),
        ({"op": "replace", "address": "a", "content_summary": "D4"}, "D4"),
        ({"op": "replace", "address": "a"}, ""),
        ({"op": "mutate", "address": "a", "fields": {"velocity": {"old": 1, "new": 2}}}, "velocity 1 -> 2"),
        ({"op": "mutate", "address": "a", "fields": {"velocity": None}}, "velocity"),
        ({"op": "mutate", "address": "a", "fields": 3, "old_summary": "x", "new_summary": "y"}, "x -> y"),
        ({"op": "patch", "address": "a", "child_ops": [{}, {}], "child_summary": "two"}, "two (2 inside)"),
        ({"op": "patch", "address": "a", "child_ops": 7}, "(0 inside)"),
        ({"op": "mine", "address": "a", "left": 1, "right": [2]}, "left=1, right=[2]"),
        ({"op": None, "address": {}, "n": 1}, "n=1"),
        ({"op": ["insert"], "n": 1}, "n=1"),
        ({}, ""),
    ],
)
def test_any_operation_has_a_description(repo: Path, op: dict[str, Any], what: str) -> None:
    """The log gives an operation no meaning, so no shape of it may break the table."""
    filled(repo, [making.entry(1, domain_op=op)])

    result = muse("query", "s", "--repo", repo)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].endswith(what)


def test_query_reverse_gives_the_newest_arrival_first(repo: Path, entries: list[Any]) -> None:
    """The other filters hold, and the limit counts from the end."""
    found = muse("query", "s", "--repo", repo, "--json", "--reverse", "--limit", "7", "--actor", "bob").stdout
    expected = [entry for entry in reversed(entries) if entry["actor_id"] == "bob"][:7]

    assert plain_scan.exact_list(json_lines(found)) == plain_scan.exact_list(expected)


def test_count_equals_the_length_of_the_query(repo: Path, entries: list[Any]) -> None:
    """The same filters, and the number alone; an object for programs."""
    expected = len(plain_scan.select(entries, actor_id="bob", domain="code", min_lamport_ts=20))
    filters = ("--actor", "bob", "--domain", "code", "--min-lamport", 20)

    assert muse("count", "s", "--repo", repo, *filters).stdout == f"{expected}\n"
    assert json_lines(muse("count", "s", "--repo", repo, *filters, "--json").stdout) == [
        {"session_id": "s", "count": expected}
    ]


@pytest.mark.parametrize("command", ["query", "count", "tail"])
def test_name_that_is_not_there_is_answered_with_the_nearest(repo: Path, command: str) -> None:
    """A misspelt actor or domain is no error, but a note says which there are; one that is there needs no note."""
    names = ("ada", "adam", "grace", "barbara", "zoe", "ada\x1b[31m")
    filled(repo, [making.entry(n, actor_id=name) for n, name in enumerate(names)])

    misspelt = muse(command, "s", "--actor", "adda", "--repo", repo)
    other = muse(command, "s", "--domain", "musik", "--actor", "ada", "--repo", repo)
    nothing = muse(command, "s", "--actor", "ada", "--intent", "none", "--repo", repo)

    assert misspelt.exit_code == other.exit_code == 0
    assert re.search("no entry has the actor 'adda'; the nearest: (ada, adam|adam, ada)", misspelt.stderr)
    assert "\x1b" not in misspelt.stderr
    assert "no entry has the domain 'musik'; the nearest: music" in other.stderr
    assert "nearest" not in nothing.stderr


@pytest.mark.parametrize("command", ["query", "count", "tail"])
def test_bounds_that_exclude_each_other_are_wrong_usage(repo: Path, command: str) -> None:
    """Not an empty answer; equal bounds are one timestamp."""
    filled(repo, making.entries(5))

    crossed = muse(command, "s", "--min-lamport", 4, "--max-lamport", 3, "--repo", repo)

    assert (crossed.exit_code, crossed.stdout) == (2, "")
    assert "--min-lamport 4 is above --max-lamport 3" in crossed.stderr
    assert muse(command, "s", "--min-lamport", 3, "--max-lamport", 3, "--repo", repo).exit_code == 0
