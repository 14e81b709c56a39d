"""Exit codes, and what a user's mistake looks like."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import AppendError, LockTimeoutError, OpLog
from tests import making
from tests.cli.running import ESCAPE, filled, json_lines, muse, muse_process


@pytest.mark.parametrize("session", ["", "x" * 300])
def test_impossible_session_id_is_wrong_usage(repo: Path, session: str) -> None:
    """An id that can't be a folder is refused with exit code 2."""
    assert muse("append", session, "--repo", repo, stdin=making.line(making.entry(1))).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("query",),
        ("query", "s", "--min-lamport", "-1"),
        ("query", "s", "--max-lamport", str(2**53)),
        ("query", "s", "--limit", "-1"),
        ("query", "s", "--limit", "many"),
        ("delta", "s"),
        ("sessions", "--repo", "/nowhere/at/all"),
        ("demo", "--speed", "fast"),
        ("demo", "--seconds", "0"),
        ("demo", "--speed", "max", "--seconds", "3"),
        ("demo", "--trace", "/nowhere/at/all"),
        ("append", "s", "/nowhere/at/all"),
        ("sessions", "--sort", "beauty"),
        ("report", "s"),
    ],
)
def test_wrong_arguments_end_with_exit_code_2(arguments: tuple[str, ...]) -> None:
    """The mistake is named on standard error, and there is no traceback."""
    result = muse(*arguments)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "refusal", [AppendError(errno.ENOSPC, "No space left"), LockTimeoutError("locked by process 7")], ids=type
)
def test_what_the_system_or_another_process_refuses_ends_with_exit_code_3(
    repo: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    """A full disk or a lock is no damage: it is named, without a traceback, and what was appended is counted."""

    def refuse(*_: Any) -> int:
        raise refusal

    monkeypatch.setattr(OpLog, "append_many", refuse)
    result = muse("append", "s", "--repo", repo, stdin=making.line(making.entry(1)))

    assert result.exit_code == 3
    assert str(refusal) in result.stderr
    assert "0 entries appended before this" in result.stderr


def test_message_shows_escape_sequences_of_the_command_line(repo: Path) -> None:
    """Not even one's own argument is sent back raw."""
    for arguments in (("replay", ESCAPE), ("replay", "s", f"--{ESCAPE}"), (ESCAPE,)):
        result = muse(*arguments, "--repo", repo)
        assert result.exit_code == 2
        assert "\x1b" not in result.stderr
        assert "\x9b" not in result.stderr
        assert "x1b" in result.stderr


def test_interrupt_ends_with_130(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves no traceback."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    filled(repo, [making.entry(1)])
    monkeypatch.setattr(OpLog, "verify", interrupt)

    assert muse("verify", "s", "--repo", repo).exit_code == 130


@pytest.mark.process
def test_what_the_engine_logs_is_shown_on_standard_error(repo: Path) -> None:
    """A broken index is rebuilt, which is said, and changes neither answer nor exit code."""
    filled(repo, making.entries(3))
    muse("query", "s", "--repo", repo)
    making.drop_index(repo)
    making.log_path(repo).with_name("index.db").write_bytes(b"no database" * 1000)

    done = muse_process("query", "s", "--repo", repo, "--json")

    assert (done.returncode, len(json_lines(done.stdout))) == (0, 3)
    assert b"index" in done.stderr
    assert b"Traceback" not in done.stderr
