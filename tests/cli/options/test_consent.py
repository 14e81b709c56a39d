"""What is done only with `--yes`, or when somebody at a terminal agrees."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog
from tests import children, making
from tests.cli.running import command_line, filled, muse

BY = ("--by", "ada")
# The words of each command, what it asks, and what it shows before that.
ASKING = {
    "repair": (("--from", "REPLICA"), "Repair s?", making.op_id(6)),
    "accept": (("operation-lost", "--why", "x", *BY), "Accept 1 line or operation as ada: x?", "operation-lost"),
    "redact": ((making.op_id(1), "--why", "x", *BY), "Redact 1 op as ada: x?", making.op_id(1)),
    "undo": ((making.op_id(1), "--force", *BY), "Undo 1 operation as ada?", making.op_id(1)[:8]),
}


@pytest.fixture
def harmed(repo: Path, tmp_path: Path) -> Path:
    """A session that has lost its last operation, and a replica that has it."""
    filled(tmp_path / "replica", making.entries(6))
    with OpLog(repo, "s") as log, OpLog(tmp_path / "replica", "s") as replica:
        log.merge(replica)
    filled_up = making.log_bytes(repo)
    making.log_path(repo).write_bytes(filled_up[: filled_up.rindex(b"\n", 0, -1) + 1])
    return repo


def words(command: str, repo: Path) -> list[Any]:
    """The arguments of a command."""
    given = [repo.parent / "replica" if word == "REPLICA" else word for word in ASKING[command][0]]
    return [command, "s", *given, "--repo", repo]


def files(repo: Path) -> dict[str, Any]:
    """All that is there but the index."""
    return {name: data for name, data in making.tree(repo).items() if "index" not in name}


@pytest.mark.parametrize("command", ASKING)
def test_without_a_terminal_nothing_is_done_unasked(harmed: Path, command: str) -> None:
    """It says what it would do, and changes no file; only of `undo` that is a success."""
    before = files(harmed)
    done = muse(*words(command, harmed))

    assert done.exit_code == (0 if command == "undo" else 1)
    assert ASKING[command][2] in done.stdout
    assert "nothing was changed" in done.stderr
    assert files(harmed) == before


@pytest.mark.process
@pytest.mark.parametrize(("end", "code"), [("interrupt", 130), ("no more input", 1)])
def test_who_ends_the_question_has_not_agreed(harmed: Path, end: str, code: int) -> None:
    """Ctrl-C ends the command with 130, as anywhere; Ctrl-D is a no."""
    before = files(harmed)
    ours, theirs = pty.openpty()
    with children.started(command_line(*words("redact", harmed)), stdin=theirs, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        while b"[y/N]" not in (said := os.read(process.stderr.fileno(), 1 << 16)):
            assert said
        if end == "no more input":
            os.write(ours, b"\x04")
        # One that comes just before it begins to read is seen with the next one only, as by any Python program.
        while end == "interrupt" and process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)
        said = process.communicate(timeout=60)[1]
    os.close(ours)
    os.close(theirs)

    assert process.returncode == code
    assert said.strip() == (b"stopped" if end == "interrupt" else b"nothing was changed")
    assert files(harmed) == before


@pytest.mark.process
@pytest.mark.parametrize("answer", ["y", "n"])
@pytest.mark.parametrize("command", ASKING)
def test_at_a_terminal_it_asks(harmed: Path, command: str, answer: str) -> None:
    """It is done after a yes, and not after a no."""
    before = files(harmed)
    ours, theirs = pty.openpty()
    with children.started(command_line(*words(command, harmed)), stdin=theirs, stderr=subprocess.PIPE) as process:
        os.write(ours, f"{answer}\n".encode())
        said = process.communicate(timeout=60)[1].decode()
    os.close(ours)
    os.close(theirs)

    assert f"{ASKING[command][1]} [y/N]" in said
    assert process.returncode == (0 if answer == "y" or command == "undo" else 1), said
    assert (files(harmed) == before) == (answer == "n")
