"""The wheel, installed in a clean environment and used outside the checkout."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import venv
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]

RECORD = """
import sys
from pathlib import Path
import muse
from muse.core.op_log import OpLog

assert Path(muse.__file__).is_relative_to(sys.prefix), muse.__file__
with OpLog(sys.argv[1], "from/the wheel") as log:
    for number in range(3):
        log.record("ada", "code", {"op": "insert", "address": "main.py", "position": number})
    print(len(log), log.domains())
"""


def run(*arguments: str | Path, cwd: Path) -> str:
    """Run a program outside the checkout, with nothing of this environment that could lead back to it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
    done = subprocess.run(arguments, cwd=cwd, env=kept, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("muse_op_log-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a clean environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "env")
    # By the pip that is here: to put one into the environment takes longer than all the rest.
    run(sys.executable, "-m", "pip", "--python", folder / "env", "install", "-q", wheel, cwd=folder)
    return folder / "env" / "bin"


@pytest.fixture(scope="module")
def repo(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the installed wheel recorded three operations."""
    folder = tmp_path_factory.mktemp("repo")
    printed = run(installed / "python", "-W", "error", "-c", RECORD, folder, cwd=folder)
    assert printed == "3 {'code': 3}\n"
    return folder


def names_in(wheel: Path) -> set[str]:
    """The paths of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_the_package_with_its_types_and_migrations(wheel: Path) -> None:
    """The migrations ship inside the package, and nothing but the package ships."""
    names = names_in(wheel)

    assert {"muse/py.typed", "muse/core/op_log.py", "muse/_migrations/migrations.py"} <= names
    assert {name for name in names if name.startswith("muse/_docs")} == {"muse/_docs/recovery.md"}
    folders = {name.split("/")[0] for name in names}
    assert {folder for folder in folders if not folder.endswith(".dist-info")} == {"muse"}


def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """No module and no data file of the package is left behind."""
    on_disk = {str(path.relative_to(ROOT)) for path in (ROOT / "muse").rglob("*") if path.is_file()}

    assert {name for name in on_disk if "__pycache__" not in name} <= names_in(wheel)


def test_installed_wheel_records_a_session(repo: Path) -> None:
    """What the installed package appended is read by plain Python."""
    (log,) = (repo / ".muse" / "op_log").glob("*/ops.jsonl")
    positions = [json.loads(line)["domain_op"]["position"] for line in log.read_bytes().splitlines()]

    assert positions == [0, 1, 2]


def test_index_was_made_by_the_migrations_in_the_wheel(repo: Path, wheel: Path) -> None:
    """The index records the very migrations that the wheel carries."""
    (index,) = (repo / ".muse" / "op_log").glob("*/index.db")
    with closing(sqlite3.connect(index)) as db:
        applied = {name for (name,) in db.execute("select name from _sqlite_migrations")}
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read("muse/_migrations/migrations.py").decode()

    assert applied
    assert all(f"def {name}(" in source for name in applied)


def test_installed_command_lists_the_session(installed: Path, repo: Path, tmp_path: Path) -> None:
    """`muse op-log sessions` of the installed wheel finds the session and its operations."""
    printed = run(installed / "muse", "op-log", "sessions", "--json", "--repo", repo, cwd=tmp_path)

    assert '"from/the wheel"' in printed
    assert '"ops":3' in printed.replace(" ", "")


def test_installed_command_prints_the_page_about_damage(installed: Path, tmp_path: Path) -> None:
    """`muse op-log help recovery` needs no checkout: it prints the page of the very version that is installed."""
    printed = run(installed / "muse", "op-log", "help", "recovery", cwd=tmp_path)

    assert printed.strip() == (ROOT / "docs" / "recovery.md").read_text("utf-8").strip()


def test_installed_command_starts_the_demo(installed: Path, tmp_path: Path) -> None:
    """The demo finds its material in the wheel: nothing in it needs the checkout."""
    assert "--trace" in run(installed / "muse", "op-log", "demo", "--help", cwd=tmp_path)
