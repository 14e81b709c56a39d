"""CONTRIBUTING.md: the paths, commands and sessions that it names exist."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, page

CONTRIBUTING = page("CONTRIBUTING.md")
SESSIONS = re.findall(r"^@nox\.session.*\ndef (\w+)\(", page("noxfile.py"), re.M)
MADE_BY_A_COMMAND = {"site/index.html"}


def paths_named() -> set[str]:
    """Everything in backticks that looks like a file or a folder of the project."""
    words = re.findall(r"`([\w./-]+)`", CONTRIBUTING)
    return {word for word in words if "/" in word or word.endswith((".md", ".toml"))} - MADE_BY_A_COMMAND


def test_every_path_exists() -> None:
    """A newcomer finds each file and folder that the page sends them to."""
    named = paths_named()

    assert {"muse/core/__init__.py", "tests/", "CHANGELOG.md", ".ci/run"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_folders_are_written_with_a_slash() -> None:
    """A name that ends with a slash is a folder, any other is a file."""
    assert [name for name in paths_named() if (ROOT / name).is_dir() != name.endswith("/")] == []


def test_every_session_that_is_named_exists() -> None:
    """No command of the page ends with "session not found"."""
    named = set(re.findall(r"nox -s (\w+)", CONTRIBUTING))

    assert named
    assert named - set(SESSIONS) == set()


def test_every_session_of_the_noxfile_is_named() -> None:
    """The table of tiers has each session; `quick` is what plain `nox` runs."""
    assert SESSIONS
    assert [name for name in SESSIONS if f"| `nox -s {name}` |" not in CONTRIBUTING and name != "quick"] == []


def test_every_module_that_is_run_exists() -> None:
    """`python -m NAME` names a module of the project, or a tool of the environment."""
    named = set(re.findall(r"python -m ([\w.]+)", CONTRIBUTING))
    of_the_project = {name for name in named if name.startswith(("muse.", "tests.", "tools."))}

    assert of_the_project
    assert named - of_the_project <= {"venv", "pip", "pytest"}
    assert [name for name in of_the_project if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


def test_page_fits_two_screens() -> None:
    """A newcomer reads the page in one go."""
    assert len(CONTRIBUTING.splitlines()) <= 90
