"""The commands `delta` and `checkpoint`. `diff` is tested with the moments, what makes commits in tests/commit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import making, plain_scan
from tests.cli.running import filled, muse


def test_delta_is_the_slice_of_the_domain_in_total_order(repo: Path) -> None:
    """The object equals what a plain scan collapses; people get a row for each operation, and the summary by kind."""
    expected = plain_scan.delta(filled(repo, making.entries(40)[::-1]), "music")

    table = muse("delta", "s", "music", "--repo", repo)

    assert json.loads(muse("delta", "s", "music", "--repo", repo, "--json").stdout) == expected
    assert len(table.stdout.splitlines()) == 1 + len(expected["ops"])
    assert f"music: {expected['summary']}" in table.stderr


def test_delta_of_an_unknown_domain_says_which_there_are(repo: Path) -> None:
    """It is empty, which is no mistake, but a misspelt name should be noticed."""
    filled(repo, making.entries(4))

    result = muse("delta", "s", "musik", "--repo", repo)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no ops" in result.stderr
    assert "code, music" in result.stderr


def test_checkpoint_marks_what_has_arrived(repo: Path) -> None:
    """The record printed is the one on disk, the table says what it covers, and the delta starts after it."""
    entries = filled(repo, making.entries(12))

    table = muse("checkpoint", "s", "c1", "--repo", repo)
    record = json.loads(muse("checkpoint", "s", "c2", "--repo", repo, "--json").stdout)

    assert table.stdout.splitlines()[1].split()[:3] == ["c1", "12", "12"]
    assert "12 entries covered" in table.stderr
    assert record == json.loads(making.log_path(repo).with_name("checkpoint.json").read_bytes())
    assert (record["session_id"], record["snapshot_id"], record["op_count"]) == ("s", "c2", 12)
    assert record["lamport_ts"] == plain_scan.highest_lamport_ts(entries)
    assert json.loads(muse("delta", "s", "code", "--repo", repo, "--json").stdout)["ops"] == []


@pytest.mark.parametrize("snapshot", ["", "x" * 1025])
def test_impossible_snapshot_id_is_wrong_usage(repo: Path, snapshot: str) -> None:
    """The argument is wrong, not the data: exit code 2, and no record is made."""
    filled(repo, making.entries(2))

    result = muse("checkpoint", "s", snapshot, "--repo", repo)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "snapshot_id" in result.stderr
    assert not making.log_path(repo).with_name("checkpoint.json").exists()
