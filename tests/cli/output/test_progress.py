"""The progress bar: on a terminal, and for long work only."""

from __future__ import annotations

import io
import time

import pytest

from muse.cli.output import progress
from muse.cli.output.progress import ProgressBar


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def work(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, shown_after_s: float) -> str:
    """Do something that reports its progress, and return what was drawn meanwhile."""
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", shown_after_s)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressBar("verifying \x1b[31m[b]it[/b]", "bytes") as bar:
        deadline = time.monotonic() + 10
        while "kB" not in stream.getvalue() and shown_after_s < 1 and time.monotonic() < deadline:
            bar(500, 2000)
            time.sleep(0.01)
        bar(2000, 2000)
    return stream.getvalue()


def test_long_work_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar says what is done and how much of it, without sending what a name holds."""
    text = work(Terminal(), monkeypatch, shown_after_s=0.0)

    assert "verifying \\x1b[31m[b]it[/b]" in text
    assert "0.5/2.0 kB" in text


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar that would vanish at once is not drawn."""
    assert work(Terminal(), monkeypatch, shown_after_s=60.0) == ""


def test_nothing_is_drawn_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file of standard error stays clean."""
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    monkeypatch.setattr(progress, "_SHOWN_AFTER_S", 0.0)
    with ProgressBar("verifying") as bar:
        time.sleep(0.05)
        bar(1, 2)

    assert stream.getvalue() == ""
