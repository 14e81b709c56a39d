"""`sessions`: what it lists, sorted by any column."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests import making, plain_scan
from tests.cli.running import filled, json_lines, muse


@pytest.fixture
def three(repo: Path) -> Path:
    """Three sessions that stand in another order by each column; "b" has a checkpoint, "a" and "c" no known pace.

    The files were written to in the order of their names.
    """
    filled(repo, making.entries(5), "a")
    filled(repo, [making.entry(n, created_at=f"2026-01-01T00:{n:02}:00", domain="x") for n in range(1, 4)], "b")
    filled(repo, [making.entry(1, domain_op={"op": "x" * 5000}, created_at="")], "c")
    muse("checkpoint", "b", "0f" * 20, "--repo", repo)
    for minute, session in enumerate("abc"):
        os.utime(making.log_path(repo, session), (minute * 60, minute * 60))
    return repo


@pytest.mark.parametrize(
    ("column", "expected", "reverse"),
    [
        ("session", "abc", "cba"),
        ("ops", "cba", "abc"),
        ("pending", "bca", "acb"),
        ("rate", "bac", "bac"),
        ("actors", "bca", "abc"),
        ("domains", "bca", "abc"),
        ("size", "bac", "cab"),
        ("active", "bac", "abc"),
        ("checkpoint", "bac", "bac"),
    ],
)
def test_sessions_are_sorted_by_any_column(three: Path, column: str, expected: str, reverse: str) -> None:
    """The smallest first; what is not known comes last either way."""
    for options, order in (((), expected), (("--reverse",), reverse)):
        (found,) = json_lines(muse("sessions", "--repo", three, "--json", "--sort", column, *options).stdout)
        assert "".join(session["session_id"] for session in found["sessions"]) == order


def test_session_whose_last_entry_is_the_newest_comes_first_and_a_limit_takes_the_first(three: Path) -> None:
    """By the time in the entry, whatever the times of the files are; what has none comes last."""

    def order(*options: object) -> list[str]:
        table = muse("sessions", "--repo", three, *options)
        assert "3 sessions in" in table.stderr
        assert ("more not shown" in table.stderr) == ("--limit" in options)
        return [line.split()[0] for line in table.stdout.splitlines()[1:]]

    assert order() == ["a", "b", "c"]
    assert order("--reverse") == ["b", "a", "c"]
    assert order("--limit", 2) == ["a", "b"]
    assert order("--limit", 0) == []
    assert order("--sort", "pending", "--reverse", "--limit", 1) == ["a"]


def test_table_shows_the_last_entry_the_commit_and_a_pace_that_makes_sense(three: Path) -> None:
    """Three entries in two minutes are one a minute, five at one moment are none."""
    heading, *rows = muse("sessions", "--repo", three).stdout.splitlines()

    assert heading.index("OPS/MIN") > heading.index("CHECKPOINT")
    cells = {row.split()[0]: row.split() for row in rows}
    assert cells["b"][:6] == ["b", "3", "0", "2026-01-01", "00:03:00", "0f0f0f0f0f0f"]
    assert cells["b"][-3] == "1.0"
    assert cells["a"][-3] == cells["c"][-3] == "-"
    assert cells["c"][3] == "-"


def test_sessions_are_listed_with_their_counts(repo: Path) -> None:
    """Every session is there under its own id, with what a plain scan counts."""
    entries = filled(repo, making.entries(60))
    filled(repo, making.entries(3), "other%2Fone")
    muse("checkpoint", "other/one", "c1", "--repo", repo)

    result = muse("sessions", "--repo", repo, "--json")

    assert result.exit_code == 0
    first, second = json.loads(result.stdout)["sessions"]
    assert (first["session_id"], first["ops"], first["pending"]) == ("other/one", 3, 0)
    assert first["checkpoint"]["snapshot_id"] == "c1"
    assert (second["session_id"], second["ops"], second["pending"], second["checkpoint"]) == ("s", 60, 60, None)
    assert second["actors"] == plain_scan.tally(entries, "actor_id")
    assert second["max_lamport_ts"] == 60


def test_no_sessions_is_an_empty_list(repo: Path) -> None:
    """A repository without sessions is no mistake."""
    result = muse("sessions", "--repo", repo, "--json")

    assert (result.exit_code, json.loads(result.stdout)) == (0, {"sessions": []})
    assert muse("sessions", "--repo", repo).stdout == ""


def test_sessions_names_a_damaged_checkpoint(repo: Path) -> None:
    """Damage found means exit code 1, and the session is listed all the same."""
    filled(repo, making.entries(60))
    making.log_path(repo).with_name("checkpoint.json").write_bytes(b"{")

    result = muse("sessions", "--repo", repo)

    assert result.exit_code == 1
    assert "checkpoint" in result.stderr
    assert result.stdout.splitlines()[1].split()[:2] == ["s", "60"]
