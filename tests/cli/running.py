"""Ways to run the `muse` command in tests: inside this process, and as a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from muse.cli import main
from tests import children, making

ESCAPE = "\x1b[31mred\x1b]0;title\x07\x9b1m\u202e\x7f"
"""What a malicious name would send to a terminal."""


def muse(*arguments: object, stdin: bytes | None = None) -> Result:
    """Run `muse op-log …` inside this process; an unexpected error fails the test with its traceback."""
    result = CliRunner().invoke(main, ["op-log", *map(str, arguments)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def muse_process(*arguments: object, **changes: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m muse op-log …` with warnings as errors."""
    return children.run(command_line(*arguments), **changes)


def command_line(*arguments: object) -> list[str]:
    """The command line of `python -m muse op-log …`."""
    return [sys.executable, "-W", "error", "-m", "muse", "op-log", *map(str, arguments)]


def offered(repo: Path, *words: str, **changes: Any) -> set[str]:
    """What a program that speaks for bash answers in a repository for a line of these words, the last one begun."""
    environment = {
        **os.environ,
        "_MUSE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("muse", "op-log", *words)),
        "COMP_CWORD": str(len(words) + 1),
        "PYTHONPATH": str(making.PROJECT),
    }
    script = "import sys; sys.argv[0] = 'muse'; from muse.cli import main; main(prog_name='muse')"
    done = children.run([sys.executable, "-W", "error", "-c", script], cwd=repo, env=environment, text=True, **changes)
    assert done.stderr == ""
    return {line.partition(",")[2] for line in done.stdout.splitlines() if line}


def on_a_terminal(command: Sequence[str], columns: int = 100, stderr: int | None = None, **settings: str) -> str:
    """What a command sends to a terminal of so many columns; `stderr` as for `subprocess`, None for the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**without_colour_settings(), "TERM": "xterm-256color", **settings}
    err = theirs if stderr is None else stderr
    with children.started(command, env=environment, stdin=theirs, stdout=theirs, stderr=err) as process:
        os.close(theirs)
        sent = bytearray()
        # Linux says EIO when the last writer is gone.
        with suppress(OSError):
            while piece := os.read(ours, 1 << 16):
                sent += piece
        process.wait(timeout=60)
    os.close(ours)
    return sent.decode()


def without_colour_settings() -> dict[str, str]:
    """This environment, but for what a user may have set about colours."""
    names = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS")
    return {name: value for name, value in os.environ.items() if name not in names}


def json_lines(text: str | bytes) -> list[Any]:
    """The values of JSON Lines, as any program would read them."""
    return [json.loads(line) for line in text.splitlines()]


def filled(repo: Path, entries: Iterable[Any], session: str = "s") -> list[Any]:
    """Put entries into a session as another program would write them; return them."""
    written = list(entries)
    making.add_bytes(making.log_path(repo, session), b"".join(making.line(entry) for entry in written))
    return written


def logged(repo: Path, session: str = "s") -> list[Any]:
    """The entries of a session's log, read as plain JSON Lines."""
    return [json.loads(line) for line in making.log_bytes(repo, session).splitlines() if line.strip()]
