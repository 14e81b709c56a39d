"""The command `merge`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import making, plain_scan
from tests.cli.running import filled, logged, muse


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A second repository, whose session "s" shares entries 11 to 20 with the first."""
    folder = tmp_path / "other"
    folder.mkdir()
    filled(folder, making.entries(20, start=11))
    return folder


def test_merge_appends_what_the_other_has_more(repo: Path, other: Path) -> None:
    """What is there already is not added; what comes is unchanged and in the other's order."""
    ours, theirs = filled(repo, making.entries(20)), logged(other)

    result = muse("merge", "s", other, "--repo", repo, "--json")

    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["added"], told["ops"]) == (10, 30)
    assert plain_scan.exact_list(logged(repo)) == plain_scan.exact_list(ours + theirs[10:])


def test_merge_again_adds_nothing(repo: Path, other: Path) -> None:
    """Merging is idempotent."""
    muse("merge", "s", other, "--repo", repo)
    before = making.log_bytes(repo)

    result = muse("merge", "s", other, "--repo", repo)

    assert result.stdout.splitlines()[1].split() == ["s", "0", "20"]
    assert making.log_bytes(repo) == before


def test_merge_makes_a_new_replica(repo: Path, other: Path) -> None:
    """The session need not exist here: that is how a replica begins."""
    assert muse("merge", "s", other, "--repo", repo).exit_code == 0
    assert plain_scan.exact_list(logged(repo)) == plain_scan.exact_list(logged(other))


def test_merge_can_name_another_session(repo: Path, other: Path) -> None:
    """OTHER_SESSION is where the entries come from."""
    filled(other, making.entries(3, start=50), "t")

    assert json.loads(muse("merge", "s", other, "t", "--repo", repo, "--json").stdout)["added"] == 3


def test_both_ways_end_with_the_same_delta(repo: Path, other: Path) -> None:
    """After merging both ways the replicas collapse into the same."""
    filled(repo, making.entries(20))
    muse("merge", "s", other, "--repo", repo)
    muse("merge", "s", repo, "--repo", other)

    deltas = [muse("delta", "s", "code", "--repo", folder, "--json").stdout for folder in (repo, other)]

    assert deltas[0] == deltas[1]
    assert json.loads(deltas[0]) == plain_scan.delta([dict(entry) for entry in making.entries(30)], "code")


@pytest.mark.parametrize("wrong", ["no folder", "no session"])
def test_merge_with_nothing_is_wrong_usage(repo: Path, tmp_path: Path, wrong: str) -> None:
    """A folder or a session that is not there ends with exit code 2, and nothing is made."""
    folder = tmp_path / "empty"
    if wrong == "no session":
        folder.mkdir()

    assert muse("merge", "s", folder, "--repo", repo).exit_code == 2
    assert making.tree(repo) == {}


def test_conflicting_content_is_refused(repo: Path, tmp_path: Path) -> None:
    """The same op_id with other content is bad data: exit code 1, named, nothing added."""
    ours = filled(repo, making.entries(2))
    folder = tmp_path / "forged"
    filled(folder, [making.entry(1, actor_id="mallory")])

    result = muse("merge", "s", folder, "--repo", repo)

    assert result.exit_code == 1
    assert making.op_id(1) in result.stderr
    assert plain_scan.exact_list(logged(repo)) == plain_scan.exact_list(ours)
