"""The command `fork`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import making
from tests.cli.running import filled, muse


def test_fork_makes_a_session_up_to_a_moment(repo: Path) -> None:
    """It is said how much is shared and how much of it is pending; merged back, nothing is new."""
    filled(repo, making.entries(6))
    muse("checkpoint", "s", "c1", "--repo", repo)
    filled(repo, making.entries(4, start=7))
    found = json.loads(muse("fork", "s", "new", "--upto", making.op_id(8)[:8], "--repo", repo, "--json").stdout)
    lines = making.log_bytes(repo).splitlines(keepends=True)
    assert making.log_bytes(repo, "new") == b"".join(lines[:8])
    assert (found["ops"], found["pending"], found["byte_offset"]) == (8, 2, len(b"".join(lines[:8])))
    assert muse("fork", "s", "all", "--repo", repo).exit_code == 0
    assert making.log_bytes(repo, "all") == making.log_bytes(repo)
    assert json.loads(muse("merge", "s", repo, "new", "--repo", repo, "--json").stdout)["added"] == 0


@pytest.mark.parametrize("words", [("s", "s"), ("s", "new", "--upto", "nothing"), ("none", "new")])
def test_what_can_not_be_forked_is_wrong_usage(repo: Path, words: tuple[str, ...]) -> None:
    """Exit code 2, and nothing is made."""
    filled(repo, making.entries(2))
    assert muse("fork", *words, "--repo", repo).exit_code == 2
    assert not making.log_path(repo, "new").parent.exists()
