"""What is shown first, and done only with `--yes` or when somebody at a terminal agrees; and in whose name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import note
from muse.cli.output.together import Decorator


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--yes`."""
    return click.option("--yes", is_flag=True, help="Do it without asking.")(command)


def is_agreed(question: str, *, yes: bool) -> bool:
    """Whether to go on: yes if --yes was given; else the user is asked at the terminal."""
    if yes:
        return True
    if not sys.stdin.isatty():
        note("nothing was changed: without a terminal nobody can be asked; add --yes")
        return False
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort as end:
        # At the end of the input nobody has said yes. An interrupt ends the command as anywhere else.
        if not isinstance(end.__context__, EOFError):
            raise KeyboardInterrupt from None
        agreed = False
    if not agreed:
        note("nothing was changed")
    return agreed


def by_option(help_text: str) -> Decorator:
    """Add `--by NAME`; the default is the name of the user."""
    return click.option(
        "--by", metavar="NAME", callback=lambda _ctx, _param, given: given or _name_of_user(), help=help_text
    )


def _name_of_user() -> str:
    import getpass

    # Without an entry for the user it is KeyError, from Python 3.13 on OSError.
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise WrongUsage("the user has no name here: say with --by who it is") from None
