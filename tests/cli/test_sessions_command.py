"""`sessions`: sorted by any column."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import making
from tests.cli.running import filled, json_lines, muse


@pytest.fixture
def three(repo: Path) -> Path:
    """Three sessions that stand in another order by each column; "b" has a checkpoint, "c" no known pace."""
    filled(repo, making.entries(5), "a")
    filled(repo, [making.entry(n, created_at=f"2026-01-01T00:{n:02}:00", domain="x") for n in range(1, 4)], "b")
    filled(repo, [making.entry(1, domain_op={"op": "x" * 5000}, created_at="")], "c")
    for minute, session in enumerate("bca"):
        os.utime(making.log_path(repo, session), (minute * 60, minute * 60))
    muse("checkpoint", "b", "c1", "--repo", repo)
    os.utime(making.log_path(repo, "b"), (0, 0))
    return repo


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("session", "abc"),
        ("ops", "cba"),
        ("pending", "bca"),
        ("rate", "bac"),
        ("actors", "bca"),
        ("domains", "bca"),
        ("size", "bac"),
        ("active", "bca"),
        ("checkpoint", "bac"),
    ],
)
def test_sessions_are_sorted_by_any_column(three: Path, column: str, expected: str) -> None:
    """The smallest first; what is not known comes last either way."""

    def order(*options: str) -> str:
        found = json_lines(muse("sessions", "--repo", three, "--json", "--sort", column, *options).stdout)[0]
        return "".join(session["session_id"] for session in found["sessions"])

    assert order() == expected
    if column == "rate":
        assert order("--reverse") == "bac"
    elif column == "checkpoint":
        assert order("--reverse")[0] == "b"
    elif column in ("actors", "domains"):
        assert order("--reverse")[0] == "a"
    else:
        assert order("--reverse") == expected[::-1]


def test_table_shows_pace_and_last_activity(three: Path) -> None:
    """One op a minute by the times of the entries, and when the file was written to."""
    table = muse("sessions", "--repo", three).stdout.splitlines()

    assert "OPS/MIN" in table[0]
    (row,) = [line for line in table if line.startswith("b ")]
    assert row.split()[:4] == ["b", "3", "0", "1.0"]
    assert "1970-01-01 00:00:00" in row


def test_unknown_column_is_wrong_usage(three: Path) -> None:
    """The columns there are are named."""
    result = muse("sessions", "--repo", three, "--sort", "beauty")

    assert result.exit_code == 2
    assert "pending" in result.stderr
