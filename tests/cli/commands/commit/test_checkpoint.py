"""The commands `delta` and `checkpoint`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import making, plain_scan
from tests.cli.running import filled, muse


def test_delta_is_the_slice_of_the_domain_in_total_order(repo: Path) -> None:
    """The object equals what a plain scan collapses, whatever the order of arrival."""
    entries = filled(repo, making.entries(40)[::-1])

    result = muse("delta", "s", "music", "--repo", repo, "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == plain_scan.delta(entries, "music")


def test_delta_is_a_table_for_people(repo: Path) -> None:
    """The operations are listed, and the summary by kind is said."""
    entries = filled(repo, making.entries(40))

    result = muse("delta", "s", "code", "--repo", repo)

    expected = plain_scan.delta(entries, "code")
    assert len(result.stdout.splitlines()) == 1 + len(expected["ops"])
    assert f"code: {expected['summary']}" in result.stderr


def test_delta_of_an_unknown_domain_says_which_there_are(repo: Path) -> None:
    """It is empty, which is no mistake, but a misspelt name should be noticed."""
    filled(repo, making.entries(4))

    result = muse("delta", "s", "musik", "--repo", repo)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no ops" in result.stderr
    assert "code, music" in result.stderr


def test_checkpoint_marks_what_has_arrived(repo: Path) -> None:
    """The record printed is the one on disk, and the delta starts after it."""
    entries = filled(repo, making.entries(12))

    result = muse("checkpoint", "s", "c1", "--repo", repo, "--json")

    record = json.loads(result.stdout)
    assert result.exit_code == 0
    assert record == json.loads(making.log_path(repo).with_name("checkpoint.json").read_bytes())
    assert (record["session_id"], record["snapshot_id"], record["op_count"]) == ("s", "c1", 12)
    assert record["lamport_ts"] == plain_scan.highest_lamport_ts(entries)
    assert json.loads(muse("delta", "s", "code", "--repo", repo, "--json").stdout)["ops"] == []


def test_checkpoint_is_told_to_people(repo: Path) -> None:
    """The table says what it covers."""
    filled(repo, making.entries(12))

    result = muse("checkpoint", "s", "c1", "--repo", repo)

    assert result.stdout.splitlines()[1].split()[:3] == ["c1", "12", "12"]
    assert "12 entries covered" in result.stderr


def test_damaged_checkpoint_is_never_taken_for_none(repo: Path) -> None:
    """Replay, delta and checkpoint refuse with exit code 1 instead of committing twice."""
    filled(repo, making.entries(12))
    muse("checkpoint", "s", "c1", "--repo", repo)
    making.log_path(repo).with_name("checkpoint.json").write_bytes(b"")

    for arguments in (("replay", "s"), ("delta", "s", "code"), ("query", "s", "--since-checkpoint")):
        result = muse(*arguments, "--repo", repo)
        assert (result.exit_code, result.stdout) == (1, ""), arguments
        assert "checkpoint" in result.stderr


@pytest.mark.parametrize("snapshot", ["", "x" * 1025])
def test_impossible_snapshot_id_is_wrong_usage(repo: Path, snapshot: str) -> None:
    """The argument is wrong, not the data: exit code 2, and no record is made."""
    filled(repo, making.entries(2))

    result = muse("checkpoint", "s", snapshot, "--repo", repo)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "snapshot_id" in result.stderr
    assert not making.log_path(repo).with_name("checkpoint.json").exists()
