"""`completion`: what a shell offers when TAB is pressed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from tests import children, making
from tests.cli.running import filled, muse, offered

pytestmark = pytest.mark.process

SESSIONS = ["friday/jam", "friday-2", "monday"]


@pytest.fixture
def several(repo: Path) -> Path:
    """Sessions, of which one has a name that no shell takes as it is; one has an index."""
    for session in (*SESSIONS, "fri day", "$(touch evil)"):
        with OpLog(repo, session) as log:
            log.append_many(making.entries(4))
            log.append(making.entry(9, actor_id="needs quoting", domain="mu*"))
    return repo


def test_sessions_are_offered(several: Path) -> None:
    """Those that begin like the word, but none that would have to be quoted."""
    assert offered(several, "query", "") == set(SESSIONS)
    assert offered(several, "query", "fri") == {"friday/jam", "friday-2"}
    assert offered(several, "query", "x") == set()


def test_sessions_of_the_repository_named_are_offered(several: Path, tmp_path: Path) -> None:
    """--repo before the session says where to look."""
    filled(tmp_path / "other", [making.entry(1)], "there")

    assert offered(several, "query", "--repo", str(tmp_path / "other"), "") == {"there"}


def test_actors_and_domains_of_the_session_are_offered(several: Path) -> None:
    """Once the session stands in the line and has an index; nothing is made for it."""
    assert offered(several, "query", "monday", "--actor", "") == {"ada", "bob"}
    assert offered(several, "tail", "monday", "--domain", "c") == {"code"}
    making.drop_index(several, "monday")
    before = making.tree(several)
    assert offered(several, "query", "monday", "--actor", "") == set()
    assert offered(several, "query", "gone", "--actor", "") == set()
    assert making.tree(several) == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_one_that_the_shell_takes(shell: str, several: Path, tmp_path: Path) -> None:
    """The shell itself reads it without a complaint."""
    script = muse("completion", shell).stdout
    assert "_MUSE_COMPLETE" in script
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"needs {shell}")
    (tmp_path / "script").write_text(script)
    done = subprocess.run([program, "-n", tmp_path / "script"], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


def test_bash_completes_a_line(several: Path, tmp_path: Path) -> None:
    """The function that the script defines fills COMPREPLY with the sessions."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    program = tmp_path / "muse"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={making.PROJECT} exec {sys.executable} -m muse "$@"\n')
    program.chmod(0o755)
    line = (
        'eval "$(muse op-log completion bash)"; COMP_WORDS=(muse op-log query fri); COMP_CWORD=3; '
        "_muse_completion muse; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = children.run(
        [bash, "-c", line],
        cwd=several,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        text=True,
    )

    assert done.stdout.split() == ["friday-2", "friday/jam"]
