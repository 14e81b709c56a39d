"""`nox -s pictures [-- NAME …]`: make the pictures in docs/pictures again by running the real commands on a demo.

Terminal pictures: the commands run in a pseudo-terminal, and rich turns their output into SVG. Report pictures:
headless Chromium takes a screenshot in light and one in dark. The pictures show nothing of this machine: paths are
replaced, and the font is chosen by the reader's browser.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
LARGEST_BYTES = 300_000
SHOWN_PATH = "~/band"

# Rich's own template would load its font from the network.
_SVG = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code", "monospace")

# Sequences that rich uses to move the cursor or erase, and sequences that switch modes, which a picture does not need.
_MOVES = re.compile(r"(\n|\r|\x1b\[\d*A|\x1b\[2K)")
_UNSEEN = re.compile(r"\x1b\[\?\d+[hl]")


@dataclass(frozen=True)
class Terminal:
    """A picture of some commands and their output."""

    name: str
    commands: tuple[str, ...]
    """OP_ID in one of them stands for the beginning of an op_id that has parents and children."""
    columns: int = 110
    rows: int = 46
    """The most lines shown of each command's output."""


EACH_COMMAND = (
    "muse op-log sessions",
    "muse op-log stats demo --top 5",
    "muse op-log query demo --domain music --limit 4",
    "muse op-log tail demo -n 4",
    "muse op-log replay demo",
    "muse op-log show demo OP_ID",
    "muse op-log delta demo music",
    "muse op-log checkpoint copy c-1",
    "muse op-log commits demo",
    "muse op-log merge copy . demo",
    "muse op-log verify copy",
    "muse op-log verify harmed",
)

TERMINALS = (
    Terminal("demo", ("muse op-log demo --session friday",), rows=36),
    Terminal("sessions", ("muse op-log sessions", "muse op-log query demo --domain music --limit 12")),
    Terminal(
        "commit", ("muse op-log delta demo music", "muse op-log commit demo", "muse op-log commits demo"), rows=14
    ),
    Terminal("columns-60", EACH_COMMAND, 60, 24),
    Terminal("columns-80", EACH_COMMAND, 80, 24),
    Terminal("columns-200", EACH_COMMAND, 200, 24),
)

REPORTS = {"report-light": (), "report-dark": ("--force-dark-mode",)}
"""The pictures of the report, each with the option that makes Chromium prefer light or dark colours."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What a browser without a window needs, which asks the network for nothing of its own."""
SHOT = ("--hide-scrollbars", "--window-size=1280,960", "--virtual-time-budget=4000")


def main(*wanted: str) -> None:
    """Make all pictures again, or only those named."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        repo = Path(folder)
        _run("git init --quiet", repo, columns=100)
        _run("muse op-log demo --seconds 4 --repo .", repo, columns=100)
        _run("muse op-log report demo -o report.html", repo, columns=100)
        for name, flags in REPORTS.items():
            if not wanted or name in wanted:
                _keep(name + ".png", screenshot(repo / "report.html", flags))
        _copy_sessions(repo)
        for terminal in TERMINALS:
            if not wanted or terminal.name in wanted:
                _keep(terminal.name + ".svg", terminal_svg(terminal, repo).encode())


def screenshot(page: Path, flags: tuple[str, ...]) -> bytes:
    """A screenshot of a page in Chromium, as PNG."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed; one is needed for the pictures of the report")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        options = [*flags, f"--user-data-dir={folder}/profile", f"--screenshot={picture}"]
        subprocess.run([browser, *QUIET, *SHOT, *options, page.as_uri()], check=True, capture_output=True, timeout=120)
        return picture.read_bytes()


def terminal_svg(terminal: Terminal, repo: Path) -> str:
    """The commands, each after a prompt, with their output on a terminal, as SVG."""
    console = Console(record=True, width=terminal.columns, file=StringIO(), force_terminal=True)
    for number, told in enumerate(terminal.commands):
        command = told.replace("OP_ID", _op_with_relatives(repo))
        console.print(Text.assemble("" if number == 0 else "\n", ("$ ", "bold green"), (command, "bold")))
        lines = _drawn(_run(command, repo, terminal.columns))
        more = [f"… {len(lines) - terminal.rows} more lines"] if len(lines) > terminal.rows else []
        for line in [*lines[: terminal.rows], *more]:
            console.print(Text.from_ansi(line))
    return console.export_svg(title=SHOWN_PATH, code_format=_SVG, unique_id=terminal.name)


def _run(command: str, repo: Path, columns: int) -> str:
    """The output of a command on a terminal with this many columns, with the folder's path replaced."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    # The demo leaves its folder where temporary files are.
    environment |= {
        "TMPDIR": str(repo),
        "TERM": "xterm-256color",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    process = subprocess.Popen(
        shlex.split(command), cwd=repo, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    printed = bytearray()
    # Linux reports the end of a pseudo-terminal as an error.
    with suppress(OSError):
        while piece := os.read(ours, 65536):
            printed += piece
    os.close(ours)
    # What finds damage ends with 1.
    if process.wait() != command.endswith("verify harmed"):
        raise SystemExit(f"{command}: exit code {process.returncode}\n{printed.decode()}")
    return printed.decode().replace(str(repo), SHOWN_PATH)


def _copy_sessions(repo: Path) -> None:
    """Beside the session of the demo its first lines as one that is sound, and as one that lost some and is torn."""
    sessions = repo / ".muse" / "op_log"
    lines = (sessions / "demo" / "ops.jsonl").read_bytes().splitlines(keepends=True)
    for name, text in (("copy", lines[:120]), ("harmed", lines[:40])):
        (sessions / name).mkdir()
        (sessions / name / "ops.jsonl").write_bytes(b"".join(text))
    _run("muse op-log count harmed", repo, columns=100)  # what its index knows may be lost
    (sessions / "harmed" / "ops.jsonl").write_bytes(b"".join(lines[:38]) + b"{not a line}\n" + lines[38][:50])


def _op_with_relatives(repo: Path) -> str:
    """The first digits of an op_id of the demo's session that has parents, and that others name as theirs."""
    entries = [json.loads(line) for line in (repo / ".muse/op_log/demo/ops.jsonl").read_bytes().splitlines()]
    parents = {parent for entry in entries for parent in entry["parent_op_ids"]}
    return str(next(entry["op_id"] for entry in entries if entry["parent_op_ids"] and entry["op_id"] in parents)[:8])


def _drawn(printed: str) -> list[str]:
    """The lines that a terminal shows at the end, after the last redraw of animated parts."""
    lines, row = [""], 0
    for token in _MOVES.split(_UNSEEN.sub("", printed)):
        if token == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif up := re.fullmatch(r"\x1b\[(\d*)A", token):
            row -= int(up[1] or 1)
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token != "\r":
            lines[row] += token
    while not lines[-1]:
        lines.pop()
    return lines


def _keep(name: str, picture: bytes) -> None:
    if len(picture) > LARGEST_BYTES:
        raise SystemExit(f"{name}: {len(picture)} bytes, more than {LARGEST_BYTES}")
    (PICTURES / name).write_bytes(picture)
    print(f"{name}: {len(picture):,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
