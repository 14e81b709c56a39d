"""The pages of code, run: what a reader would do from the top of a page to its end, in one empty folder.

A block of `sh` is run by bash, a block of `python` by Python; one with a title is saved under it instead. A block of
`text` is what the block above it prints, on both of its streams. In it, "…" stands for whatever differs, and for any
number of lines where it is a line of its own.

A block of `sh` with the title "second terminal" is started and left running until the block of `text` with that title,
which is what it has printed when it is interrupted. The comment `<!-- not run: why -->` leaves the next block out.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import children
from tests.docs.pages import page

_BLOCK = re.compile(
    r"(?:^<!-- (?P<told>[^>]*) -->\n)?^```(?P<language>\w+)(?: (?P<more>[^\n]*))?\n(?P<text>.*?)^```$", re.M | re.S
)
_WAIT_S = 30


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    title: str
    """The file that it is saved as, or the terminal that it belongs to; "" for what is just run."""

    @property
    def elsewhere(self) -> bool:
        """Whether it belongs to the second terminal."""
        return self.title == "second terminal"


def blocks(name: str) -> list[Block]:
    """The blocks of a page that are run, saved or compared, from the top."""
    return blocks_in(page(name))


def blocks_in(text: str) -> list[Block]:
    """The same of a part of a page."""
    found = []
    for match in _BLOCK.finditer(text):
        told, more = match["told"] or "", match["more"] or ""
        if not told.startswith("not run: "):
            title = re.search(r'title="([^"]+)"', more)
            found.append(Block(match["language"], match["text"], title[1] if title else ""))
    return found


@dataclass
class Reader:
    """Somebody who does what a page says, in one folder."""

    folder: Path
    printed: str = ""
    """What the last block printed that was run."""
    elsewhere: subprocess.Popen[Any] | None = None
    """What runs in the second terminal."""

    def runs(self, block: Block) -> None:
        """Run or save one block; the page fails where it does."""
        if block.elsewhere:
            self.elsewhere = self._started(block, self._screen)
        elif block.title:
            (self.folder / block.title).write_text(block.text, encoding="utf-8")
        else:
            process = self._started(block, subprocess.PIPE)
            self.printed, _ = process.communicate(timeout=_WAIT_S)
            assert process.returncode == 0, f"{block.text}\nended with {process.returncode}:\n{self.printed}"

    def looks(self, block: Block) -> None:
        """Compare a block of text with what was printed; the page fails where they differ."""
        printed = self._seen_elsewhere(block.text) if block.elsewhere else self.printed
        assert is_shown(block.text, printed), f"shown is:\n{block.text}\nprinted is:\n{printed}"

    def _seen_elsewhere(self, shown: str) -> str:
        """Wait until the second terminal shows what it should, press Ctrl-C there, and read it."""
        assert self.elsewhere is not None
        end = time.monotonic() + _WAIT_S
        while not is_shown(shown, self._screen.read_text("utf-8")) and time.monotonic() < end:
            if self.elsewhere.poll() is not None:
                break
            time.sleep(0.05)
        self.leaves(signal.SIGINT)
        return self._screen.read_text("utf-8")

    def leaves(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Let nothing run on."""
        if self.elsewhere is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.elsewhere.pid, how)
            self.elsewhere.wait(_WAIT_S)
            self.elsewhere = None

    @property
    def _screen(self) -> Path:
        return self.folder / "second terminal"

    def _started(self, block: Block, out: Path | int) -> subprocess.Popen[Any]:
        shell = ["bash", "-euo", "pipefail", "-c", block.text]
        with open(out, "w") if isinstance(out, Path) else contextlib.nullcontext(out) as stdout:
            return children.start(
                shell if block.language == "sh" else [sys.executable, "-W", "error", "-c", block.text],
                cwd=self.folder,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                text=True,
            )


def is_shown(shown: str, printed: str) -> bool:
    """Whether a page's block of text stands for what was printed; a run of blanks is one, at a line's end none."""
    lines = [_plain(line) for line in shown.splitlines()]
    patterns = ["(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n" for line in lines]
    return re.fullmatch("".join(patterns), "".join(f"{_plain(line)}\n" for line in printed.splitlines())) is not None


def _plain(line: str) -> str:
    return re.sub(" +", " ", line).strip()
