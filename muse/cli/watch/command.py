"""The command `watch`: look, draw, wait, until somebody ends it."""

# ruff: noqa: PLC0415 - the engine and rich are imported only when used, so that --help is fast

from __future__ import annotations

import signal
import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from muse.cli.failures import WrongUsage, exit_with
from muse.cli.repo import open_session, repo_option

if TYPE_CHECKING:
    from muse.cli.watch.arrivals import Watched
    from muse.cli.watch.screen import Events, Screen


@click.command(
    short_help="Watch a session live.",
    epilog="\b\nExample: who is at work in a session, drawn twice a second.\n  muse op-log watch demo --interval 0.5",
)
@click.argument("session")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.1, 60),
    default=0.25,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@repo_option
def watch(session: str, interval_s: float, repo: Path) -> None:
    """Watch SESSION on the terminal: rates of its actors, newest ops, what is pending, what is wrong.

    Keys: q or Ctrl-C ends, v verifies the whole session meanwhile. It has no --json and needs a
    terminal; for a program or a file there is `tail -f`.
    """
    from muse.cli.watch.screen import is_usable

    open_session(repo, session).close()
    if not is_usable():
        instead = f"muse op-log tail -f {quote(session)}"
        raise WrongUsage(f"watch draws on a terminal, and this is none that it can use; try: {instead}")
    exit_with(_watch(repo, session, interval_s))


def _watch(repo: Path, session: str, interval_s: float) -> int:
    """Watch until the end; returns the exit code."""
    from muse.cli.watch.arrivals import Watched
    from muse.cli.watch.findings import engine_heard
    from muse.cli.watch.screen import Screen

    watched = Watched(repo, session, time.monotonic())
    try:
        with engine_heard(watched.hear), Screen() as screen:
            return _turn(watched, screen, interval_s)
    finally:
        watched.close()


def _turn(watched: Watched, screen: Screen, interval_s: float) -> int:
    from muse.cli.watch.picture import picture

    next_look_s = 0.0
    while True:
        now_s = time.monotonic()
        if now_s >= next_look_s:
            watched.look(now_s)
            next_look_s = now_s + interval_s
        try:
            screen.draw(picture(watched.view(now_s), *screen.size()))
        except OSError:
            return 0  # the terminal was closed, and with it the reason to go on
        events = screen.wait(next_look_s - time.monotonic())
        code = _wanted(events, watched, screen)
        if code is not None:
            return code


def _wanted(events: Events, watched: Watched, screen: Screen) -> int | None:
    """Do what was asked for; an exit code where that is to end."""
    if events.hung_up or signal.SIGINT in events.signals or "q" in events.keys.lower():
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        if number in events.signals:
            return 128 + number
    if "v" in events.keys.lower():
        watched.check.start()
    if signal.SIGTSTP in events.signals:
        screen.suspend()
    return None
