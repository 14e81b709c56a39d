"""Row 52: standard streams that are closed, full, or read by nobody, for every command in real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from muse.cli.app import op_log
from tests import children, making, plain_scan
from tests.cli.running import command_line, filled, logged, muse, muse_process

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "demo": ("--speed", "max", "--trace", "TRACE", "--repo", "NEW"),
    "append": ("s", "IN"),
    "ingest": ("t", "TRACE", "--actor", ".actor_id", "--domain", ".domain"),
    "replay": ("s",),
    "show": ("s", making.op_id(1)),
    "blame": ("s", "note:1"),
    "conflicts": ("s",),
    "query": ("s",),
    "count": ("s",),
    "tail": ("s",),
    "mcp": ("--read-only",),
    "stats": ("s",),
    "report": ("s", "-o", "OUT", "--json"),
    "delta": ("s", "music"),
    "diff": ("s", "start"),
    "fork": ("s", "new"),
    "undo": ("s", making.op_id(300)),
    "checkpoint": ("s", "c1"),
    "commit": ("s", "--git", "GIT"),
    "commits": ("s", "--git", "GIT"),
    "sessions": (),
    "verify": ("s",),
    "repair": ("s",),
    "accept": ("s", "operation-lost", "--why", "x"),
    "redact": ("s", making.op_id(1), "--why", "x", "--yes"),
    "rebuild-index": ("s",),
    "merge": ("s", "OTHER"),
    "export": ("s", "OUT", "--force", "--json"),
    "import": ("ARCHIVE", "new"),
    "completion": ("bash",),
    "help": ("recovery",),
    "watch": ("s",),
    "sync": ("s", "nats://127.0.0.1:1", "--once", "--timeout", "0.1"),
    "sync-status": (),
}
CLOSED, FULL, FULL_ERRORS = "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"


_NAMES = ("IN", "OUT", "OTHER", "ARCHIVE", "TRACE", "GIT")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a session "s" of 300 entries, and what the commands read: made once, since that takes long."""
    made = tmp_path_factory.mktemp("made")
    filled(made / "repo", making.entries(300))
    filled(made / "other", making.entries(400))
    (made / "in").write_bytes(making.line(making.entry(900)))
    edits = [{"actor_id": "ada", "domain": "code", "domain_op": {"op": "x"}, "parents": []} for _ in range(8)]
    (made / "trace").write_bytes(b"".join(map(making.line, edits)))
    muse("export", "s", made / "archive", "--repo", made / "repo")
    children.run(["git", "init", "-q", made / "git"])
    return made


@pytest.fixture
def places(repo: Path, tmp_path: Path, made: Path) -> dict[str, Path]:
    """A copy of it for one test: where everything lies."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return {name: tmp_path / name.lower() for name in _NAMES}


def redirected(redirection: str, *arguments: object, **changes: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `muse op-log …` as a shell starts it with this redirection."""
    return children.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *command_line(*arguments)], **changes)


def without_reader(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run `muse op-log …` with a pipe for its standard output that nobody reads any more."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        return muse_process(*arguments, stdout=write_end)
    finally:
        os.close(write_end)


def test_every_command_is_looked_at() -> None:
    """A new command can't be forgotten here."""
    assert set(ARGUMENTS) == set(op_log.commands)


@pytest.mark.process
@pytest.mark.parametrize("redirection", [CLOSED, FULL, FULL_ERRORS])
@pytest.mark.parametrize("command", ARGUMENTS)
def test_exit_code_says_what_happened(
    repo: Path, tmp_path: Path, places: dict[str, Path], command: str, redirection: str
) -> None:
    """Row 52: 0 if nobody can read, 3 if data could not be printed, never 1 ("damage"); and the work is done."""
    if command == "mcp":
        pytest.importorskip("mcp.server.mcpserver", reason="needs the package mcp, version 2 or later")
    words = [str(places.get(word, word)).replace("NEW", str(tmp_path / "new")) for word in ARGUMENTS[command]]
    at = [] if command in ("demo", "completion", "help") else ["--repo", repo]
    done = redirected(redirection, command, *words, *at)

    prints_nothing = command in ("verify", "repair", "accept", "commits", "sync-status", "mcp")
    # Nobody listens where the one would sync.
    alone = {"watch": 2, "sync": 3}
    if redirection == CLOSED:
        # Without a client there is nothing to serve.
        alone["mcp"] = 3
    assert done.returncode == alone.get(command, 3 if redirection == FULL and not prints_nothing else 0)
    assert b"Traceback" not in done.stderr
    if done.returncode == 3 and command not in alone:
        assert b"standard output" in done.stderr
    in_log = {making.op_id(number) for number in range(1, 301)}
    in_log |= {"append": {making.op_id(900)}, "merge": {making.op_id(n) for n in range(301, 401)}}.get(command, set())
    assert {entry["op_id"] for entry in logged(repo)} == in_log
    assert making.log_path(repo).with_name("checkpoint.json").exists() == (command in ("checkpoint", "commit"))
    assert places["OUT"].exists() == (command in ("report", "export"))
    assert making.log_path(repo, "new").exists() == (command in ("import", "fork"))
    assert making.log_path(tmp_path / "new", "demo").exists() == (command == "demo")


@pytest.mark.process
@pytest.mark.parametrize("redirection", [CLOSED, FULL, FULL_ERRORS, "no reader"])
@pytest.mark.parametrize(
    "command", [("verify", "s"), ("sessions",), ("append", "s", "BAD")], ids=lambda words: words[0]
)
def test_damage_stays_damage(repo: Path, tmp_path: Path, command: tuple[str, ...], redirection: str) -> None:
    """Row 52: exit code 1 if damage or bad data was found, whether or not that could be printed."""
    filled(repo, making.entries(3))
    making.add_bytes(making.log_path(repo), b"damaged\n")
    making.log_path(repo).with_name("checkpoint.json").write_bytes(b"{")
    (tmp_path / "bad").write_bytes(making.line(making.entry(9)) + b"bad\n")
    words = [str(tmp_path / "bad") if word == "BAD" else word for word in command]
    run = without_reader if redirection == "no reader" else lambda *words: redirected(redirection, *words)
    done = run(*words, "--repo", repo)

    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert [entry["op_id"] for entry in logged_entries(repo)].count(making.op_id(9)) == (command[0] == "append")


def logged_entries(repo: Path) -> list[Any]:
    """The valid entries of a log."""
    return plain_scan.scan_file(making.log_path(repo)).entries


@pytest.mark.process
def test_archive_that_nobody_received_is_no_success(repo: Path) -> None:
    """Row 52: `export -` has nothing but standard output, so that exit code 3 and one line say it was lost."""
    filled(repo, making.entries(300))
    for done in (
        redirected(">&-", "export", "s", "-", "--repo", repo),
        redirected(FULL, "export", "s", "-", "--repo", repo),
        without_reader("export", "s", "-", "--repo", repo),
    ):
        assert done.returncode == 3
        assert b"standard output" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.process
@pytest.mark.parametrize("command", ["verify", "append", "merge", "checkpoint", "delta", "stats"])
def test_command_without_reader_ends_quietly(repo: Path, places: dict[str, Path], command: str) -> None:
    """Row 52: its work is done, exit code 0, and not a word about the pipe."""
    words = [str(places.get(word, word)) for word in ARGUMENTS[command]]
    done = without_reader(command, *words, "--repo", repo)

    assert done.returncode == 0
    assert b"rror" not in done.stderr
    assert b"roken" not in done.stderr


@pytest.mark.process
def test_following_ends_if_standard_output_is_closed(repo: Path) -> None:
    """Row 52: `tail -f` does not wait for ever for entries that nobody can read."""
    filled(repo, making.entries(3))

    assert redirected(">&-", "tail", "s", "-f", "--repo", repo).returncode == 0


@pytest.mark.process
@pytest.mark.parametrize("command", [("append", "s"), ("import", "-")], ids=" ".join)
def test_closed_standard_input_is_no_empty_input(repo: Path, command: tuple[str, ...]) -> None:
    """Row 52: exit code 3 and one line; nothing is made of what could not be read."""
    done = redirected("<&-", *command, "--repo", repo)

    assert done.returncode == 3
    assert b"standard input" in done.stderr.splitlines()[-1]
    assert b"Traceback" not in done.stderr
    assert making.tree(repo) == {}


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "redirection", "code"),
    [
        ("--help", FULL, 3),
        ("--version", FULL, 3),
        ("--version", CLOSED, 0),
        ("--no-such-option", FULL_ERRORS, 2),
        ("--no-such-option", CLOSED, 2),
        ("op-log --help", FULL, 3),
        ("op-log query --help", CLOSED, 0),
        ("op-log query nosuch", CLOSED, 2),
    ],
)
def test_help_and_wrong_usage_end_as_they_should(tmp_path: Path, arguments: str, redirection: str, code: int) -> None:
    """Row 52: also what is printed before a command begins."""
    script = f'exec "$@" {arguments} {redirection}'
    done = children.run(["sh", "-c", script, "sh", *command_line()[:-1]], cwd=tmp_path)

    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.process
def test_no_file_takes_the_number_of_a_closed_stream(repo: Path, strace: str, tmp_path: Path) -> None:
    """Row 52: a message for standard error must not be written into a log that was opened as number 2."""
    (tmp_path / "in").write_bytes(making.line(making.entry(1)))
    traced = [strace, "-f", "-qq", "-o", str(tmp_path / "calls"), "-e", "trace=openat"]
    command = [*traced, *command_line("append", "s", tmp_path / "in", "--repo", repo)]
    children.run(["sh", "-c", f'exec "$@" {CLOSED}', "sh", *command])
    opened = [line for line in (tmp_path / "calls").read_text().splitlines() if str(repo) in line]

    assert opened
    assert not [line for line in opened if line.endswith((" = 0", " = 1", " = 2"))]
