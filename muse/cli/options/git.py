"""The git repository with the commits: the option `--git`, and what it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muse.cli.output.failures import SystemFailed

if TYPE_CHECKING:
    from muse.commit import GitTarget


def git_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--git REPO`, with its help text; the command receives the folder or None as `git`."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option("--git", type=folder, metavar="REPO", help=text)


@contextmanager
def git_target(git: Path | None, repo: Path) -> Iterator[GitTarget]:
    """The repository that was named, or the one that the sessions are in; what git refuses ends the command."""
    from muse.commit import GitError, GitTarget

    try:
        yield GitTarget(git or repo)
    except GitError as error:
        raise SystemFailed(str(error)) from None
