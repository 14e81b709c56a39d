"""What every target has to do is done by a list, by a table and by git."""

from __future__ import annotations

from pathlib import Path

import pytest

from muse.commit import CommitTarget, GitTarget
from muse.commit.testing import TargetContract
from tests.commit.targets import MemoryTarget, SqliteTarget, new_repository


class TestMemory(TargetContract):
    """In a list."""

    def setup_method(self) -> None:
        """Each test has its own."""
        self._target = MemoryTarget()

    def open_target(self, folder: Path) -> CommitTarget:
        """The list of this test."""
        return self._target


class TestSqlite(TargetContract):
    """In a table."""

    def open_target(self, folder: Path) -> CommitTarget:
        """The table in this folder."""
        return SqliteTarget(folder / "commits.db")


@pytest.mark.process
class TestGit(TargetContract):
    """In a git repository."""

    def open_target(self, folder: Path) -> CommitTarget:
        """The repository in this folder."""
        return GitTarget(new_repository(folder / "git"))


@pytest.mark.process
class TestBareGit(TargetContract):
    """In a bare git repository."""

    def open_target(self, folder: Path) -> CommitTarget:
        """The repository in this folder."""
        return GitTarget(new_repository(folder / "git", "--bare"))
