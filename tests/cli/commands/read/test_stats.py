"""`stats`: who did what and when, readable with any number of actors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muse.cli.commands.read.stats import duration
from muse.cli.output.sparkline import sparkline
from muse.core.op_log import OpLog
from muse.stats import session_stats
from tests import making
from tests.cli.running import filled, json_lines, muse, muse_process


@pytest.fixture
def crowd(repo: Path) -> Path:
    """A session of 900 actors, each with as many ops as its number says, up to three."""
    numbers = [number for number in range(1, 901) for _ in range(1 + (number > 890) + (number > 898))]
    filled(
        repo,
        [
            making.entry(at, actor_id=f"actor-{number:03}", created_at=f"2026-01-01T00:{at % 60:02}:00Z")
            for at, number in enumerate(numbers, start=1)
        ],
    )
    return repo


def test_largest_are_shown_and_the_rest_is_counted(crowd: Path) -> None:
    """Ten by default, as many as asked for, or all."""
    shown = muse("stats", "s", "--repo", crowd).stdout
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("actor-")][:3] == [
        ["actor-899", "3"],
        ["actor-900", "3"],
        ["actor-891", "2"],
    ]
    assert shown.count("\nactor-") == 10
    assert "and 890 more actors; --all shows them" in shown
    assert muse("stats", "s", "--repo", crowd, "--top", 3).stdout.count("\nactor-") == 3
    everything = muse("stats", "s", "--repo", crowd, "--all").stdout
    assert everything.count("\nactor-") == 900
    assert "more actors" not in everything


def test_json_is_what_the_library_says(crowd: Path) -> None:
    """One object, all actors in it."""
    with OpLog(crowd, "s") as log:
        expected = session_stats(log).to_dict()

    assert json_lines(muse("stats", "s", "--repo", crowd, "--json").stdout) == json_lines(making.line(expected))


@pytest.mark.process
def test_encoding_without_blocks_gets_ascii(crowd: Path) -> None:
    """A sparkline is drawn in what the reader can show."""
    for encoding, sign in (("utf-8", "\u2588"), ("latin-1", "@")):
        narrow = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = muse_process("stats", "s", "--repo", crowd, env=narrow)
        assert done.returncode == 0
        assert sign in done.stdout.decode(encoding)
        assert b"\\u25" not in done.stdout


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.25, "0.25 s"),
        (59, "59 s"),
        (90, "1.5 min"),
        (7200, "2 hours"),
        (8_589_930, "99.4 days"),
        (1e9, "11,574 days"),
    ],
)
def test_a_sign_of_a_sparkline_stands_for_a_time_that_can_be_read(seconds: float, said: str) -> None:
    """In the largest unit of which there is one at least."""
    assert duration(seconds) == said


def test_sparkline_draws_the_largest_highest_and_nothing_as_a_blank() -> None:
    """Eight levels; more numbers than signs are added up in groups."""
    assert sparkline([0, 1, 2, 4, 8], "12345678", 10) == " 1248"
    assert sparkline([1, 1, 2, 2, 0, 0, 0], "12345678", 4) == "48  "
    assert sparkline([1, 1_000_000], "12345678", 4) == "18"
    assert sparkline([], "12345678", 4) == ""


def test_damaged_checkpoint_is_not_told_as_none(repo: Path) -> None:
    """What is pending is not known then."""
    filled(repo, making.entries(1))
    making.log_path(repo).with_name("checkpoint.json").write_text("{")
    told = dict(line.split(maxsplit=1) for line in muse("stats", "s", "--repo", repo).stdout.splitlines()[:6])
    assert (told["checkpoint"], told["pending"]) == ("damaged", "unknown")


def test_any_number_of_rows_may_be_asked_for(crowd: Path) -> None:
    """More than there are is all of them."""
    all_of_them = muse("stats", "s", "--all", "--repo", crowd).stdout
    assert muse("stats", "s", "--top", 10**30, "--repo", crowd).stdout == all_of_them


def test_empty_session_has_stats(repo: Path) -> None:
    """No table of nobody."""
    making.log_path(repo).parent.mkdir(parents=True)
    making.log_path(repo).touch()
    result = muse("stats", "s", "--repo", repo)

    assert result.exit_code == 0
    assert "ACTOR" not in result.stdout
