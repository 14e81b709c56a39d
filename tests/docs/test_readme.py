"""README.md: its two commands and its example."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import children
from tests.docs.pages import fences, page

README = page("README.md")


def test_first_shell_block_holds_exactly_two_one_line_commands() -> None:
    """A newcomer copies one line to run the main job and one line to run the tests."""
    lines = fences(README, "sh")[0].splitlines()

    assert len(lines) == 2
    assert not any(line != line.strip() or line.endswith("\\") or line.startswith("#") for line in lines)
    assert lines[0].endswith("muse op-log demo")
    assert lines[1].endswith("-m pytest -q")


def test_each_command_makes_its_own_environment() -> None:
    """Each command works without the other, so each begins with the same step."""
    for line in fences(README, "sh")[0].splitlines():
        assert line.startswith("python3 -m venv .venv && ")


def test_example_has_at_most_twenty_lines() -> None:
    """The example is short enough to be read at a glance."""
    assert len(fences(README, "python")[0].splitlines()) <= 20


@pytest.mark.process
def test_example_runs_and_prints_what_the_readme_says(tmp_path: Path) -> None:
    """The example, run alone with warnings as errors, prints the block that follows it."""
    script = tmp_path / "example.py"
    script.write_text(fences(README, "python")[0], encoding="utf-8")

    run = children.run(
        [sys.executable, "-W", "error", script],
        cwd=tmp_path,
        text=True,
    )

    assert (run.stderr, run.returncode) == ("", 0)
    assert run.stdout == fences(README, "text")[0]


def test_table_of_guarantees_names_all_twelve() -> None:
    """Each guarantee of the engine has its row in the table."""
    table = README.split("## What it guarantees")[1].split("##")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]

    assert len(rows) == 1 + 12
