"""The git repository with the commits: the option `--git`, and what it stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muse.cli.options.repo_folder import is_in_git

if TYPE_CHECKING:
    from muse.commit import GitTarget


def git_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--git REPO`, with its help text; the command receives the folder or None as `git`."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option("--git", type=folder, metavar="REPO", help=text)


def git_target(git: Path | None, repo: Path) -> GitTarget:
    """The repository that was named, or the one that the sessions are in."""
    from muse.commit import GitTarget

    return GitTarget(git or repo)


def may_have_commits(git: Path | None, repo: Path) -> bool:
    """Whether a git repository was named, or the sessions are in one."""
    return git is not None or is_in_git(repo.resolve())
