"""The kill loop, short: `nox -s commits -- --seconds 600` runs it long."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests import children

pytestmark = pytest.mark.process


def looped(*arguments: str) -> dict[str, Any]:
    """What a loop reports that ran long enough for commits to be made on this machine."""
    for seconds in (2, 4, 20, 60):
        command = [sys.executable, "-B", "-m", "tests.commit.kill_loop", "--seconds", seconds, *arguments]
        done = children.run(command)
        assert done.stdout, done.stderr.decode()
        report: dict[str, Any] = json.loads(done.stdout)
        if report["commits"] > 10:
            break
    return report


def test_every_operation_is_in_one_commit_whoever_is_killed() -> None:
    """Committers, writers and their gits are killed, at random and at named places: nothing twice, nothing lost."""
    report = looped()
    assert report["kills"] > 0
    assert report["commits"] > 0
    assert (report["committed_twice"], report["lost"], report["problems"]) == (0, 0, []), report


def test_loop_finds_operations_that_are_committed_twice() -> None:
    """Cut, delta, commit, checkpoint, without the protocol: the loop would notice."""
    assert looped("--recipe", "old")["committed_twice"] > 0
