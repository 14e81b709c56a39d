"""The options and arguments that name the repository and the session of a command."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from shlex import quote
from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.completing import complete_sessions
from muse.cli.options.repository import find_repo
from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import note, pluralize
from muse.cli.output.together import parameters


def repo_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--repo DIR`; the command receives the repository folder as `repo`."""
    return click.option(
        "--repo",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        callback=lambda _ctx, _param, given: find_repo(given),
        metavar="DIR",
        help="The repository folder; default: the nearest folder upwards with .muse/, else the top of the git "
        "repository, else this folder.",
    )(command)


def session_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument SESSION, with shell completion."""
    return click.argument("session", shell_complete=complete_sessions)(command)


def session_log(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument SESSION and `--repo DIR`, the first and the last in the help text.

    The command receives as `log` the log of that session, which must exist; it is closed when the command ends.
    """

    @wraps(command)
    def opened(session: str, repo: Path, **given: Any) -> None:
        with open_session(repo, session) as log:
            command(log=log, **given)

    repo_option(opened)
    listed_last_first = parameters(opened)
    listed_last_first.insert(0, listed_last_first.pop())
    return session_argument(opened)


def json_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--json`; `what` says in the help text what it prints."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print as JSON {what}.")


class Seconds(click.FloatRange):
    """A number of seconds in a range. For click NaN is in any."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click's own; a `BadParameter` for NaN."""
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


def open_session(repo: Path, session_id: str) -> engine.OpLog:
    """Open the log of an existing session; the caller closes it.

    Raises:
        WrongUsage: there is no such session.
    """
    log = engine.OpLog(repo, session_id)
    # A folder without a log is a damaged session; the engine reports that better than "no session".
    if log.exists() or log.folder.is_dir():
        return log
    known = engine.list_sessions(repo)
    if session_id in known:
        return log
    log.close()
    hint = f"it has: {', '.join(known[:10])}{', …' if len(known) > 10 else ''}" if known else "it has none"
    raise WrongUsage(f"no session {session_id!r} in {repo} ({hint})")


def repo_of(log: engine.OpLog) -> Path:
    """The repository folder in which a session is, as an absolute path."""
    return log.folder.parents[2]


def note_damaged_lines(log: engine.OpLog, *, since_checkpoint: bool = False) -> int:
    """Say on standard error how many damaged lines were passed over, if there are any; return the number."""
    mark = log.read_checkpoint() if since_checkpoint else None
    start = mark.get("byte_offset", 0) if mark else 0
    damaged = sum(at >= start for at, _, _ in log.damaged_lines(engine.Cut(log.session_id, 0, 0), log.cut()))
    note_passed_over(damaged, log.session_id, repo_of(log))
    return damaged


def note_passed_over(damaged: int, session_id: str, repo: Path) -> None:
    """Say that so many damaged lines were passed over, if any, and which command says more."""
    if damaged:
        where = "" if repo.absolute() == find_repo(None) else f" --repo {quote(str(repo))}"
        note(f"{pluralize(damaged, 'damaged line')} passed over: muse op-log verify {quote(session_id)}{where}")
