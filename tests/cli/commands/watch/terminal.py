"""A terminal for the tests: a real pty with `watch` on it, and a screen that obeys what is sent."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests import children
from tests.cli.running import command_line, without_colour_settings

PATIENCE_S = 20.0
_PIECES = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|([^\x1b\r\n]+)|[\r\n]")
_UNFINISHED = re.compile(r"\x1b(\[[?0-9;]*)?$")


class Terminal:
    """What a person sees: enough of a terminal for what `watch` sends, and an error for anything else."""

    def __init__(self, ours: int, columns: int, lines: int) -> None:
        self._ours = ours
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._unfinished = ""
        self.sent = ""
        self.modes: dict[str, bool] = {}
        self.resize(columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size, as a person who drags its corner."""
        self.columns, self.height = columns, lines
        self._lines = [""] * lines
        self._row = 0
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(line.rstrip() for line in self._lines)

    @property
    def closed(self) -> bool:
        """Whether it was taken away."""
        return self._ours < 0

    def close(self) -> None:
        """Take the terminal away."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def read(self, seconds: float) -> None:
        """Take in what is sent within so many seconds."""
        if select.select([self._ours], [], [], seconds)[0]:
            self._obey(self._decoder.decode(os.read(self._ours, 1 << 16)))

    def wait_for(self, what: str | Callable[[], bool]) -> None:
        """Read until the screen shows a text, or a condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not (what in self.text if isinstance(what, str) else what()):
            assert time.monotonic() < deadline, f"{what} was waited for; the screen:\n{self.text}"
            self.read(0.1)

    def _obey(self, text: str) -> None:
        self.sent += text
        text = self._unfinished + text
        cut_off = _UNFINISHED.search(text)
        self._unfinished = cut_off[0] if cut_off else ""
        at = 0
        for found in _PIECES.finditer(text.removesuffix(self._unfinished)):
            assert found.start() == at, f"an unexpected control sequence: {text[at : found.start()]!r}"
            at = found.end()
            private, numbers, kind, letters = found.groups()
            if kind:
                self._control(private, numbers, kind)
            elif letters and self.modes.get("1049") and self._row < self.height:
                # Outside the screen that was taken over, lines scroll by.
                self._lines[self._row] += letters

    def _control(self, private: str, numbers: str, kind: str) -> None:
        if private:
            self.modes[numbers] = kind == "h"
            if numbers == "1049":
                self._lines = [""] * self.height
        elif kind == "H":
            self._row = int(numbers.split(";", maxsplit=1)[0]) - 1
        elif (numbers, kind) == ("2", "K"):
            # After a resize, what was drawn for the old size may still arrive.
            if self._row < self.height:
                self._lines[self._row] = ""
        elif (numbers, kind) == ("2", "J"):
            self._lines = [""] * self.height
        else:
            assert kind == "m", f"an unexpected control sequence: {numbers}{kind}"


class Watching:
    """`muse op-log watch` at work on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[Any], terminal: Terminal) -> None:
        self.process = process
        self.terminal = terminal

    def end(self) -> int:
        """Read until it has ended; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; the screen:\n{self.terminal.text}"
            self.terminal.read(0.05)
        self.terminal.read(0)
        return self.process.returncode


@contextmanager
def watching(*arguments: object, columns: int = 80, lines: int = 24, **settings: str) -> Iterator[Watching]:
    """Run `watch` with a look every tenth of a second; if it is at work in the end, the key q has to end it well."""
    ours, theirs = pty.openpty()
    terminal = Terminal(ours, columns, lines)
    before = termios.tcgetattr(theirs)
    process = children.start(
        command_line("watch", *arguments, "--interval", "0.1"),
        env={**without_colour_settings(), "TERM": "xterm-256color", **settings},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # Only on the terminal that controls a process do Ctrl-C and a closed window become signals.
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )
    try:
        yield (watch := Watching(process, terminal))
        if process.poll() is None and not terminal.closed:
            terminal.type("q")
            assert watch.end() == 0
        if process.poll() is not None and "1049" in terminal.modes and not terminal.closed:
            assert not terminal.modes["1049"], "the screen was not given back"
            assert terminal.modes["25"], "the cursor was not given back"
            assert termios.tcgetattr(theirs) == before, "the terminal was not given back as it was"
    finally:
        children.kill(process)
        terminal.close()
        os.close(theirs)
