"""The commands `verify` and `rebuild-index`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from muse.cli import upkeep
from muse.core.op_log import OpLog
from tests import making
from tests.cli.running import filled, muse


def test_verify_finds_nothing_in_a_sound_log(repo: Path) -> None:
    """Exit code 0, no finding, and the counts of the log."""
    filled(repo, making.entries(12))

    result = muse("verify", "s", "--repo", repo, "--json")

    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (report["findings"], report["entries"], report["lines"]) == ([], 12, 12)
    assert report["size_bytes"] == len(making.log_bytes(repo))


def test_verify_says_so_to_people(repo: Path) -> None:
    """No table without findings, but a line that says what was read."""
    filled(repo, making.entries(12))

    result = muse("verify", "s", "--repo", repo)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "12 entries" in result.stderr


def test_verify_shows_where_the_damage_is_and_what_to_do(repo: Path) -> None:
    """A damaged line is a row with byte offset, length, reason and remedy, and exit code 1."""
    filled(repo, making.entries(2))
    begin = len(making.log_bytes(repo))
    making.add_bytes(making.log_path(repo), b'{"op_id": 3}\n')
    filled(repo, [making.entry(3)])

    table = muse("verify", "s", "--repo", repo)
    report = json.loads(muse("verify", "s", "--repo", repo, "--json").stdout)

    assert table.exit_code == 1
    assert table.stdout.split("\n")[0].split()[:3] == ["AT", "BYTE", "LENGTH"]
    assert f"{begin:,}" in table.stdout
    assert "damage found" in table.stderr
    (finding,) = (found for found in report["findings"] if found["severity"] == "damage")
    assert finding["byte_offset"] == begin
    assert finding["reason"] in table.stdout
    assert finding["remedy"] in table.stdout


def test_damage_costs_its_own_line_alone(repo: Path) -> None:
    """Reading goes on around it with exit code 0: only verify is asked about damage."""
    filled(repo, making.entries(2))
    making.add_bytes(making.log_path(repo), b"\0" * 50 + b"\n")
    filled(repo, [making.entry(3)])

    result = muse("query", "s", "--repo", repo, "--json")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3


def test_rebuilt_index_answers_as_before(repo: Path) -> None:
    """The index may be deleted: made anew, it gives the same answers."""
    filled(repo, making.entries(60))
    before = muse("query", "s", "--repo", repo, "--actor", "ada", "--json").stdout
    making.drop_index(repo)

    result = muse("rebuild-index", "s", "--repo", repo, "--json")

    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["ops"], told["size_bytes"]) == (60, len(making.log_bytes(repo)))
    assert muse("query", "s", "--repo", repo, "--actor", "ada", "--json").stdout == before


def test_rebuild_is_told_to_people(repo: Path) -> None:
    """A table with the counts."""
    filled(repo, making.entries(60))

    assert muse("rebuild-index", "s", "--repo", repo).stdout.splitlines()[1].split()[:2] == ["s", "60"]


@pytest.mark.process
def test_a_large_log_is_read_by_a_process_for_each_processor(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts as large is made small: the command asks for that many workers, and the index is right."""
    asked: list[int] = []
    real = OpLog.rebuild_index

    def noting(log: OpLog, *, workers: int, **more: Any) -> None:
        asked.append(workers)
        real(log, workers=workers, **more)

    monkeypatch.setattr(OpLog, "rebuild_index", noting)
    filled(repo, making.entries(30))
    muse("rebuild-index", "s", "--repo", repo)
    monkeypatch.setattr(upkeep, "WORKERS_FROM_BYTES", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    result = muse("rebuild-index", "s", "--repo", repo, "--json")

    assert asked == [1, 2]
    assert json.loads(result.stdout)["ops"] == 30
    assert muse("verify", "s", "--repo", repo).exit_code == 0
