"""The file that a user has named for a command to write: what it must not be, and how a failure is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from muse.cli.engine import engine
from muse.cli.output.failures import WrongUsage


@contextmanager
def named_file(path: Path, repo: Path, *, replace: bool) -> Iterator[None]:
    """Around the writing of `path`: no session is written over, and every failure names the file that was asked for.

    Raises:
        WrongUsage: it lies where op logs are kept, or something at `path` must stay.
        OSError: it could not be written.
    """
    if _is_among_sessions(path, repo):
        raise WrongUsage(f"{path} is among the files of sessions, where only the op log itself writes: name another")
    try:
        yield
    except FileExistsError as error:
        hint = "it is not a regular file" if replace else "use --force to replace it"
        raise WrongUsage(f"{error.filename} exists: {hint}") from None
    except OSError as error:
        # It has no name if a write failed, and two if renaming did, one of them that of a file written aside.
        if error.filename is None or error.filename2 is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def written_whole(path: Path, repo: Path, *, replace: bool) -> Iterator[Path]:
    """A file to fill, which becomes `path` when the block ends well; if it fails, nothing is left. See `named_file`."""
    with named_file(path, repo, replace=replace), engine.whole_file(path, replace=replace) as aside:
        yield aside


def _is_among_sessions(path: Path, repo: Path) -> bool:
    """Whether `path` is in the folder of op logs of this repository, wherever that leads, or of another one."""
    op_logs = repo / ".muse" / "op_log"
    place = Path(os.path.realpath(path.parent), path.name)
    return any(
        (folder.parent.name, folder.name) == (".muse", "op_log") or _is_same(folder, op_logs)
        for folder in (place, *place.parents)
    )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
