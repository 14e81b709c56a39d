"""What holds for each command there is: a new one can't be forgotten here."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from muse.cli.app import op_log
from tests import making
from tests.cli.running import filled, muse

# The arguments that a command needs after its session.
AFTER_THE_SESSION: dict[str, tuple[str, ...]] = {
    "replay": (),
    "show": (making.op_id(1),),
    "blame": ("note:1",),
    "conflicts": (),
    "query": (),
    "count": (),
    "tail": (),
    "stats": (),
    "report": ("-o", "FILE"),
    "delta": ("music",),
    "diff": ("start",),
    "fork": ("FILE",),
    "undo": (making.op_id(1), "--force"),
    "checkpoint": ("c1",),
    "verify": (),
    "repair": (),
    "accept": ("operation-lost", "--why", "x", "--yes"),
    "redact": (making.op_id(1), "--why", "x", "--yes"),
    "rebuild-index": (),
    "export": ("FILE",),
}
WITHOUT_A_SESSION_THAT_EXISTS = {
    "demo": "makes its own",
    "append": "makes the session",
    "merge": "makes the session",
    "ingest": "makes the session",
    "sessions": "is about all of them",
    "sync": "makes the session: tests/replicate/test_commands.py has it with a server",
    "sync-status": "is about all of them",
    "import": "makes the session",
    "watch": "is for a terminal alone: tests/cli/commands/watch has it in one",
    "commit": "needs a git repository: tests/commit/test_commands.py has it in one",
    "commits": "is about a git repository, where the session may be gone",
    "mcp": "is about all of them: tests/mcp has it with a client",
    "completion": "is about none",
    "help": "is about none",
}


def arguments(command: str, folder: Path) -> list[str]:
    """What it needs after its session; a file in this folder."""
    return [str(folder / word) if word == "FILE" else word for word in AFTER_THE_SESSION[command]]


def test_there_are_exactly_the_commands_of_the_tables() -> None:
    """None is missing, none is there that nobody asked for, and `--help` lists them."""
    listed = muse("--help").stdout.split("Commands:")[1].split("\n\n")[0]

    assert {line.split()[0] for line in listed.strip().splitlines()} == set(op_log.commands)
    assert set(op_log.commands) == AFTER_THE_SESSION.keys() | WITHOUT_A_SESSION_THAT_EXISTS.keys()


@pytest.mark.parametrize("command", sorted(AFTER_THE_SESSION))
def test_missing_session_is_wrong_usage(repo: Path, tmp_path: Path, command: str) -> None:
    """Exit code 2, the session and those that exist are named, and nothing is made."""
    filled(repo, [making.entry(1)], "there")
    before = making.tree(tmp_path)
    result = muse(command, "gone", *arguments(command, tmp_path), "--repo", repo)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "'gone'" in result.stderr
    assert "there" in result.stderr
    assert making.tree(tmp_path) == before


@pytest.mark.parametrize("command", sorted(AFTER_THE_SESSION))
def test_json_is_json_and_nothing_else(repo: Path, tmp_path: Path, command: str) -> None:
    """Every line of standard output is an object; commentary goes elsewhere."""
    filled(repo, making.entries(5))
    result = muse(command, "s", *arguments(command, tmp_path), "--repo", repo, "--json")

    assert result.exit_code == 0
    assert result.stdout
    assert all(isinstance(json.loads(line), dict) for line in result.stdout.splitlines())


@pytest.mark.parametrize("command", sorted(set(op_log.commands) - {"completion", "help", "mcp", "watch"}))
def test_every_command_that_prints_data_has_json(command: str) -> None:
    """Only a script for a shell, a live view and a protocol have no other form."""
    names = {name for parameter in op_log.commands[command].params for name in parameter.opts}

    assert "--json" in names


@pytest.mark.parametrize("command", sorted(op_log.commands))
def test_help_gives_an_example(command: str) -> None:
    """A command line that can be copied."""
    assert isinstance(op_log.commands[command], click.Command)
    result = muse(command, "--help")

    assert result.exit_code == 0
    assert f"muse op-log {command}" in result.stdout.split("Example")[1]


PASSES_OVER = sorted(
    set(AFTER_THE_SESSION) - {"fork", "checkpoint", "verify", "repair", "accept", "redact", "rebuild-index", "show"}
)


@pytest.mark.parametrize("command", PASSES_OVER)
def test_reading_command_says_how_many_damaged_lines_it_passed_over(repo: Path, tmp_path: Path, command: str) -> None:
    """One line on standard error, with the command that says more; none where nothing is damaged."""
    words = arguments(command, tmp_path)
    filled(repo, making.entries(3), "of%20friday")
    sound = muse(command, "of friday", *words, "--repo", repo)
    making.add_bytes(making.log_path(repo, "of%20friday"), b"bad\n\n" + making.line(making.entry(9)) + b"{}\n[]\n")
    # The torn tail may still become a line.
    making.add_bytes(making.log_path(repo, "of%20friday"), b"torn")
    (tmp_path / "FILE").unlink(missing_ok=True)
    damaged = muse(command, "of friday", *words, "--repo", repo)

    assert sound.exit_code == damaged.exit_code == 0
    assert "damaged" not in sound.stderr
    said = f"3 damaged lines passed over: muse op-log verify 'of friday' --repo {repo}"
    assert damaged.stderr.splitlines().count(said) == 1


def test_command_to_verify_can_be_copied_where_it_was_printed(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the repository itself --repo is not needed."""
    filled(repo, making.entries(1))
    making.add_bytes(making.log_path(repo), b"bad\n")
    monkeypatch.chdir(repo)

    assert "1 damaged line passed over: muse op-log verify s\n" in muse("query", "s").stderr


def test_damage_below_the_checkpoint_is_not_in_what_is_pending(repo: Path) -> None:
    """What replay, delta and --since-checkpoint pass over lies after the checkpoint."""
    filled(repo, making.entries(3))
    making.add_bytes(making.log_path(repo), b"bad\n")
    muse("checkpoint", "s", "c1", "--repo", repo)
    pending = (("replay", "s"), ("delta", "s", "music"), ("count", "s", "--since-checkpoint"))
    for command in pending:
        assert "damaged" not in muse(*command, "--repo", repo).stderr
    making.add_bytes(making.log_path(repo), b"bad\n" * 2)
    for command in pending:
        assert "2 damaged lines" in muse(*command, "--repo", repo).stderr
    assert "3 damaged lines" in muse("query", "s", "--repo", repo).stderr


def test_op_that_is_not_found_may_be_in_a_damaged_line(repo: Path) -> None:
    """`show` finds by seek and passes over nothing, but where it finds nothing it says so."""
    filled(repo, making.entries(3))
    making.add_bytes(making.log_path(repo), b"bad\n")

    assert "damaged" not in muse("show", "s", making.op_id(1), "--repo", repo).stderr
    assert "1 damaged line passed over" in muse("show", "s", making.op_id(9), "--repo", repo).stderr


def test_merge_says_what_it_passed_over_in_the_other_replica(repo: Path, tmp_path: Path) -> None:
    """The command to verify names that one."""
    other = tmp_path / "other"
    filled(other, making.entries(2))
    making.add_bytes(making.log_path(other), b"bad\n")

    assert (
        f"1 damaged line passed over: muse op-log verify s --repo {other}"
        in muse("merge", "s", other, "--repo", repo).stderr
    )


def test_number_of_damaged_lines_is_in_the_json_of_what_counts(repo: Path, tmp_path: Path) -> None:
    """`stats` and `export` carry it, as an archive and as a database."""
    filled(repo, making.entries(3))
    making.add_bytes(making.log_path(repo), b"bad\n" * 2)

    def told(*command: object) -> dict[str, object]:
        found: dict[str, object] = json.loads(muse(*command, "--repo", repo, "--json").stdout)
        return found

    assert told("stats", "s")["damaged_lines"] == 2
    assert told("export", "s", tmp_path / "s.muse.gz")["damaged_lines"] == 2
    assert told("export", "s", tmp_path / "s.db")["passed_over"] == {"damaged-line": 2}
