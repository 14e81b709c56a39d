"""Finds the repository folder."""

from __future__ import annotations

from pathlib import Path

_MARK = ".muse"


def find_repo(given: Path | None) -> Path:
    """Return the given folder, else the nearest folder upwards that contains .muse/, else the current folder."""
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / _MARK).is_dir():
            return folder
    return here
