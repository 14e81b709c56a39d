"""The commands `fork` and `merge`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import making, plain_scan
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


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A second repository, whose session "s" shares entries 11 to 20 with the first."""
    folder = tmp_path / "other"
    folder.mkdir()
    filled(folder, making.entries(20, start=11))
    return folder


def test_merge_makes_a_new_replica_and_adds_nothing_when_done_again(repo: Path, other: Path) -> None:
    """The session need not exist here: that is how a replica begins. OTHER_SESSION is where the entries come from."""
    told = json.loads(muse("merge", "new", other, "s", "--repo", repo, "--json").stdout)
    before = making.log_bytes(repo, "new")
    again = muse("merge", "new", other, "s", "--repo", repo)

    assert (told["added"], told["ops"], told["other_session_id"]) == (20, 20, "s")
    assert before == making.log_bytes(other)
    assert again.stdout.splitlines()[1].split() == ["new", "0", "20"]
    assert making.log_bytes(repo, "new") == before


@pytest.mark.parametrize("wrong", ["no folder", "no session"])
def test_merge_with_nothing_is_wrong_usage(repo: Path, tmp_path: Path, wrong: str) -> None:
    """A folder or a session that is not there ends with exit code 2, and nothing is made."""
    folder = tmp_path / "empty"
    if wrong == "no session":
        folder.mkdir()

    assert muse("merge", "s", folder, "--repo", repo).exit_code == 2
    assert making.tree(repo) == {}


def test_merge_keeps_going_over_what_can_not_be_taken(repo: Path, other: Path) -> None:
    """Without the option it stops there, with it all else is taken; the exit code is 1 both times."""
    filled(repo, [making.entry(15, domain_op={"op": "another"})])
    before = making.log_bytes(repo)
    stopped = muse("merge", "s", other, "--repo", repo)
    assert (stopped.exit_code, making.log_bytes(repo)) == (1, before)

    told = muse("merge", "s", other, "--repo", repo, "--json", "--keep-going")

    found = json.loads(told.stdout)
    assert (told.exit_code, found["added"], found["refused"], found["ops"]) == (1, 19, 1, 20)
    assert f"not merged: {making.op_id(15)}: " in told.stderr
    numbers = [15, *(number for number in range(11, 31) if number != 15)]
    assert plain_scan.scan(making.log_bytes(repo)).op_ids == [making.op_id(number) for number in numbers]


@pytest.mark.parametrize("way", ["same", "link"])
def test_merge_of_a_session_with_itself_is_wrong_usage(repo: Path, tmp_path: Path, way: str) -> None:
    """Not "0 added", which would look like a replica that has nothing new."""
    filled(repo, making.entries(3))
    other = repo
    if way == "link":
        other = tmp_path / "link"
        other.symlink_to(repo)

    result = muse("merge", "s", other, "--repo", repo)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "is session 's' itself" in result.stderr
    assert muse("merge", "t", repo, "s", "--repo", repo).exit_code == 0
