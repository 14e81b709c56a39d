"""The repository folder, where its sessions are kept, and the git repository with their commits: `--git`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from muse.cli.output.printing import note

if TYPE_CHECKING:
    from muse.commit import GitTarget

_MARK = ".muse"
# A folder, or a file in a worktree or a submodule.
_MARK_OF_GIT = ".git"


def find_repo(given: Path | None) -> Path:
    """Return the given folder, else the nearest folder upwards that contains .muse/, else the top of the git
    repository around the current folder, else the current folder.
    """
    if given is not None:
        return given
    here = Path.cwd()
    upwards = (here, *here.parents)
    found = next((folder for folder in upwards if (folder / _MARK).is_dir()), None)
    return found or next((folder for folder in upwards if (folder / _MARK_OF_GIT).exists()), here)


def is_in_git(folder: Path) -> bool:
    """Whether an absolute path is, or lies in, a git repository."""
    return any((above / _MARK_OF_GIT).exists() for above in (folder, *folder.parents))


def has_sessions(repo: Path) -> bool:
    """Whether sessions are or were kept in this repository folder."""
    return (repo / _MARK).is_dir()


def note_first_session(repo: Path) -> None:
    """Say where sessions are kept from now on and, in a git repository, what git need not keep."""
    folder = repo.absolute() / _MARK
    note(f"sessions are kept in {folder}")
    if is_in_git(folder):
        ignored = quote(str(folder / ".gitignore"))
        note(f"to keep their indexes out of git: printf '%s\\n' 'index.db*' .summaries.json >> {ignored}")


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
