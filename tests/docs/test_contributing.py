"""CONTRIBUTING.md: its folder map is complete and true, and its commands exist."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, page, section

CONTRIBUTING = page("CONTRIBUTING.md")
MAPPED = re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^\| (.+?) \|", section(CONTRIBUTING, "The folder map"), re.M)))


def test_every_path_of_the_folder_map_exists() -> None:
    """What the map names is there."""
    assert [path for path in MAPPED if not list(ROOT.glob(path.rstrip("/")))] == []


def test_every_module_of_the_engine_is_on_the_map() -> None:
    """A newcomer finds each module of the engine by what it does."""
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "muse").rglob("*.py")}
    covered = {path for path in modules if any(path == shown or path.startswith(f"{shown}") for shown in MAPPED)}

    assert {path for path in modules - covered if not path.endswith(("__init__.py", "__main__.py"))} == set()


def test_every_session_of_the_noxfile_is_shown() -> None:
    """The table of checks has each session that nox can run."""
    sessions = re.findall(r"^@nox\.session.*\ndef (\w+)\(", page("noxfile.py"), re.M)

    assert sessions
    assert [name for name in sessions if f"`nox -s {name}`" not in CONTRIBUTING and name != "quick"] == []
