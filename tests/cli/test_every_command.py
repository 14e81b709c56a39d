"""What holds for each command there is: a new one can't be forgotten here."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from muse.cli.app import op_log
from tests import making
from tests.cli.running import filled, muse

# The arguments that a command needs after its session; a command that is in neither table fails.
AFTER_THE_SESSION: dict[str, tuple[str, ...]] = {
    "replay": (),
    "show": (making.op_id(1),),
    "query": (),
    "count": (),
    "tail": (),
    "stats": (),
    "report": ("-o", "FILE"),
    "delta": ("music",),
    "checkpoint": ("c1",),
    "verify": (),
    "rebuild-index": (),
    "export": ("FILE",),
}
WITHOUT_A_SESSION_THAT_EXISTS = {
    "demo": "makes its own",
    "append": "makes the session",
    "merge": "makes the session",
    "sessions": "is about all of them",
    "import": "makes the session",
    "watch": "is for a terminal alone: tests/cli/watch has it in one",
    "completion": "is about none",
}


@pytest.mark.parametrize("command", sorted(op_log.commands))
def test_missing_session_is_wrong_usage(repo: Path, tmp_path: Path, command: str) -> None:
    """Exit code 2, the session and those that exist are named, and nothing is made."""
    if command in WITHOUT_A_SESSION_THAT_EXISTS:
        assert command not in AFTER_THE_SESSION
        return
    filled(repo, [making.entry(1)], "there")
    before = making.tree(tmp_path)
    arguments = [str(tmp_path / word) if word == "FILE" else word for word in AFTER_THE_SESSION[command]]
    result = muse(command, "gone", *arguments, "--repo", repo)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "'gone'" in result.stderr
    assert "there" in result.stderr
    assert making.tree(tmp_path) == before


@pytest.mark.parametrize("command", sorted(AFTER_THE_SESSION))
def test_json_is_json_and_nothing_else(repo: Path, tmp_path: Path, command: str) -> None:
    """Every line of standard output is an object; commentary goes elsewhere."""
    filled(repo, making.entries(5))
    arguments = [str(tmp_path / word) if word == "FILE" else word for word in AFTER_THE_SESSION[command]]
    result = muse(command, "s", *arguments, "--repo", repo, "--json")

    assert result.exit_code == 0
    assert result.stdout
    assert all(isinstance(json.loads(line), dict) for line in result.stdout.splitlines())


@pytest.mark.parametrize("command", sorted(set(op_log.commands) - {"completion", "watch"}))
def test_every_command_that_prints_data_has_json(command: str) -> None:
    """Only a script for a shell and a live view have no other form."""
    names = {name for parameter in op_log.commands[command].params for name in parameter.opts}

    assert "--json" in names


@pytest.mark.parametrize("command", sorted(op_log.commands))
def test_help_gives_an_example(command: str) -> None:
    """A command line that can be copied."""
    assert isinstance(op_log.commands[command], click.Command)
    result = muse(command, "--help")

    assert result.exit_code == 0
    assert f"muse op-log {command}" in result.stdout.split("Example")[1]
