"""The command `watch`: poll, draw and wait in a loop, until the user ends it."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from muse.cli.options.session import Seconds, open_session, repo_option
from muse.cli.output.failures import WrongUsage, engine_log_to, exit_with

if TYPE_CHECKING:
    from muse.cli.commands.watch.arrivals import Watched
    from muse.cli.commands.watch.screen import Events, Screen


@click.command(
    short_help="Watch a session live.",
    epilog="\b\nExample: watch a session, with two updates a second.\n  muse op-log watch demo --interval 0.5",
)
@click.argument("session")
@click.option(
    "--interval",
    "interval_s",
    type=Seconds(0.1, 60),
    default=0.25,
    show_default=True,
    metavar="SECONDS",
    help="Seconds from one update to the next.",
)
@repo_option
def watch(session: str, interval_s: float, repo: Path) -> None:
    """Watch SESSION on the terminal: the rate of each actor, the newest ops, what is pending, and what is wrong.

    Keys: q or Ctrl-C ends the watch, v verifies the whole session in the background. The command needs a terminal
    and has no --json. For a program or a file, use `muse op-log tail -f`.
    """
    from muse.cli.commands.watch.arrivals import Watched
    from muse.cli.commands.watch.screen import Screen, is_usable

    open_session(repo, session).close()
    if not is_usable():
        instead = f"muse op-log tail -f {quote(session)}"
        raise WrongUsage(f"watch needs a terminal that it can draw on; try instead: {instead}")
    with (
        closing(Watched(repo, session, time.monotonic())) as watched,
        engine_log_to(watched.add_engine_message),
        Screen() as screen,
    ):
        exit_code = _run_loop(watched, screen, interval_s)
    exit_with(exit_code)


def _run_loop(watched: Watched, screen: Screen, interval_s: float) -> int:
    """Watch until the user ends it; return the exit code."""
    from muse.cli.commands.watch.picture import picture

    next_poll_s = 0.0
    while True:
        now_s = time.monotonic()
        if now_s >= next_poll_s:
            watched.poll(now_s)
            next_poll_s = now_s + interval_s
        try:
            screen.draw(picture(watched.view(now_s), *screen.size()))
        except OSError:
            return 0  # the terminal was closed
        events = screen.wait(next_poll_s - time.monotonic())
        code = _handle(events, watched, screen)
        if code is not None:
            return code


def _handle(events: Events, watched: Watched, screen: Screen) -> int | None:
    """Act on keys and signals; return an exit code if the watch is to end."""
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
