"""What every target has to do is done by a list, by a table and by git."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muse.commit import CommitDivergedError, CommitTarget, Committed, GitTarget
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


def test_record_comes_back_and_nothing_else_is_taken_for_one() -> None:
    """A field that is missing, of a wrong kind or impossible is refused; more fields are not."""
    record: dict[str, Any] = {
        "session": "s",
        "parent": None,
        "start": 0,
        "end": 10,
        "op_count": 1,
        "digest": "0" * 64,
        "actors": {"ada": 1},
        "domains": {"code": 1},
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    assert Committed.from_record("1", {**record, "more": 1}).to_record() == record
    wrong: list[Any] = [{name: value for name, value in record.items() if name != left} for left in record]
    changes = (
        {"parent": 5},
        {"start": 10},
        {"start": -1},
        {"end": True},
        {"digest": "x" * 64},
        {"actors": {"ada": "1"}},
    )
    for each in (*wrong, *({**record, **change} for change in changes), None, [], "x"):
        with pytest.raises(CommitDivergedError):
            Committed.from_record("1", each)
