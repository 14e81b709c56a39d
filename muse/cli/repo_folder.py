"""Which folder is the repository."""

from __future__ import annotations

from pathlib import Path

_MARK = ".muse"


def find_repo(given: Path | None) -> Path:
    """The repository folder: the one given, else the nearest upwards that has .muse/, else here."""
    if given is not None:
        return given
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / _MARK).is_dir():
            return folder
    return here
