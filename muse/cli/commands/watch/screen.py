"""Full-screen use of the terminal: the screen, the keys and the signals, all restored at the end.

Only changed lines are sent, so that it works over a slow connection. The live display of rich would send the whole
screen each time.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from muse.cli.output.printing import console

# Alternate screen, no cursor, no line wrapping. Without wrapping, a character that the terminal draws wider than
# expected spoils only its own line.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGTSTP)


@dataclass
class Events:
    """Keys and signals that have arrived."""

    keys: str = ""
    """The keys typed."""
    signals: set[int] = field(default_factory=set)
    """The numbers of the signals received."""
    hung_up: bool = False
    """Whether the terminal is gone."""


def is_usable() -> bool:
    """Whether standard input and output are a terminal that can place its cursor."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class Screen:
    """The terminal of standard input and output. A context manager, to be used in the main thread.

    Signals do not raise exceptions. `wait` returns them, so that a signal never interrupts a read of the log.
    """

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._console = console(sys.stdout)
        self._drawn: list[str] = []
        self._size = (0, 0)

    def __enter__(self) -> Screen:
        self._woken, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, _left_to_wait) for number in _SIGNALS}
        self._take()
        return self

    def __exit__(self, *_failure: object) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wake_before)
        os.close(self._wake)
        os.close(self._woken)

    def _take(self) -> None:
        self._mode = termios.tcgetattr(self._in)
        # Ctrl-C and Ctrl-Z stay signals.
        tty.setcbreak(self._in)
        self._drawn = []
        self._send(_ENTER)

    def _give_back(self) -> None:
        try:
            self._send(_LEAVE)
            termios.tcsetattr(self._in, termios.TCSADRAIN, self._mode)
        except (OSError, termios.error):
            # The terminal is gone: there is nothing to restore.
            return

    def suspend(self) -> None:
        """Stop this process as Ctrl-Z would. The terminal is restored until the shell continues the process."""
        self._give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, _left_to_wait)
        self._take()

    def size(self) -> tuple[int, int]:
        """The size of the terminal: (columns, lines)."""
        found = os.get_terminal_size(self._out)
        # A terminal that does not know its size reports 0.
        return found.columns or 80, found.lines or 24

    def draw(self, lines: Sequence[Text]) -> None:
        """Make the screen show exactly these lines.

        Raises:
            OSError: the terminal is gone.
        """
        if self.size() != self._size:
            self._size = self.size()
            self._drawn = []
            self._send("\x1b[2J")
        encoded = [_encoded(line, self._console) for line in lines]
        before = self._drawn + [""] * (len(encoded) - len(self._drawn))
        # Erase each line before writing it, not after. After a full line the cursor stays on the last character, and
        # erasing would remove it.
        changed = "".join(
            f"\x1b[{number};1H\x1b[2K{line}"
            for number, (line, old) in enumerate(zip(encoded, before, strict=True), start=1)
            if line != old
        )
        self._drawn = encoded
        if changed:
            self._send(changed)

    def _send(self, text: str) -> None:
        data = text.encode(sys.stdout.encoding, errors="replace")
        while data:
            data = data[os.write(self._out, data) :]

    def wait(self, seconds: float) -> Events:
        """Wait for a key or a signal, for at most `seconds`."""
        events = Events()
        ready, _, _ = select.select([self._in, self._woken], [], [], max(seconds, 0.0))
        if self._woken in ready:
            events.signals = set(os.read(self._woken, 256))
        if self._in in ready:
            try:
                typed = os.read(self._in, 256)
            except OSError:
                typed = b""
            events.hung_up = not typed
            # An escape sequence is a key without a letter, such as an arrow key.
            events.keys = "" if typed.startswith(b"\x1b") else typed.decode(errors="replace")
        return events


def _left_to_wait(_number: int, _frame: object) -> None:
    """Do nothing: Python has written the signal's number into the pipe that `wait` reads."""


def _encoded(line: Text, terminal: Console) -> str:
    with terminal.capture() as captured:
        terminal.print(line, end="", soft_wrap=True)
    return captured.get()
