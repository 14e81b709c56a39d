"""The help texts come at once. What each command's has to hold is in test_every_command.py."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from muse.cli import main
from tests import children
from tests.cli.running import muse


def test_group_names_the_exit_codes() -> None:
    """A program that calls the command finds out what its exit codes mean."""
    text = muse("--help").stdout

    for line in ("0  fine", "1  damage", "2  wrong usage", "3  input/output error"):
        assert line in text


@pytest.mark.process
@pytest.mark.parametrize("arguments", [["op-log", "--help"], ["op-log", "query", "--help"], ["--version"]])
def test_help_imports_neither_the_engine_nor_rich(arguments: list[str]) -> None:
    """A help text must not wait for what only the work needs."""
    script = (
        "import sys\n"
        "from muse.cli import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'rich', 'pydantic', 'sqlite_utils', 'orjson', 'sqlite3', 'muse.core'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = children.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_that_of_the_distribution() -> None:
    """`muse --version` prints one line with the version."""
    result = CliRunner().invoke(main, ["--version"])

    assert result.exit_code == 0
    assert result.stdout.startswith("muse, version ")
