"""The commands `verify` and `rebuild-index`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from muse.cli.commands.upkeep import verify as upkeep
from muse.core.op_log import OpLog
from tests import making, plain_scan
from tests.cli.running import filled, muse


def test_verify_finds_nothing_in_a_sound_log(repo: Path) -> None:
    """Exit code 0, no finding, and the counts of the log; for people no table, but a line that says what was read."""
    filled(repo, making.entries(12))

    table = muse("verify", "s", "--repo", repo)
    assert (table.exit_code, table.stdout) == (0, "")
    assert "12 entries" in table.stderr

    result = muse("verify", "s", "--repo", repo, "--json")

    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (report["findings"], report["entries"], report["lines"]) == ([], 12, 12)
    assert report["size_bytes"] == len(making.log_bytes(repo))


def test_verify_shows_where_the_damage_is_and_what_to_do(repo: Path) -> None:
    """A damaged line is a row with byte offset, length, reason and remedy, and exit code 1."""
    filled(repo, making.entries(2))
    begin = len(making.log_bytes(repo))
    making.add_bytes(making.log_path(repo), b'{"op_id": 3}\n')
    filled(repo, [making.entry(3)])

    table = muse("verify", "s", "--repo", repo)
    report = json.loads(muse("verify", "s", "--repo", repo, "--json").stdout)

    assert table.exit_code == 1
    assert table.stdout.split("\n")[0].split() == ["ID", "FINDING", "SEVERITY", "AT", "BYTE", "LENGTH", "COUNT"]
    assert f"{begin:,}" in table.stdout
    assert "damage found" in table.stderr
    (finding,) = (found for found in report["findings"] if found["severity"] == "damage")
    assert finding["byte_offset"] == begin
    assert finding["reason"] in table.stdout
    assert finding["remedy"] in table.stdout
    assert finding["id"] in table.stdout.splitlines()[1].split()


def test_verify_names_what_is_lost_and_whom_to_ask(repo: Path) -> None:
    """Each lost operation is a row with its place; the commit has what the checkpoint covered, a replica the rest."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(4))
        log.checkpoint("c1")
        log.append_many(making.entries(2, start=5))
    held = list(plain_scan.scan_file(making.log_path(repo)).placed)
    os.truncate(making.log_path(repo), held[2][1].byte_offset)

    told = muse("verify", "s", "--repo", repo)

    rows = [
        line.split() for line in told.stdout.splitlines() if line.startswith(tuple(making.op_id(n) for n in range(9)))
    ]
    place = {entry["op_id"]: f"{span.byte_offset:,}" for entry, span in held}
    assert [(row[0], row[1], int(row[2]), row[3], row[4], " ".join(row[5:])) for row in rows] == [
        (each["op_id"], each["actor_id"], each["lamport_ts"], each["domain"], place[each["op_id"]], whom)
        for each, whom in zip(making.entries(4, start=3), ("c1", "c1", *["replicas, exports"] * 2), strict=True)
    ]
    assert f"it came after {held[1][0]['created_at']}" in told.stdout
    assert told.exit_code == 1


def test_json_lists_everything(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table stops after so many, and says how many it leaves out; JSON goes on to the end."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(9))
    making.log_path(repo).write_bytes(b"")
    monkeypatch.setattr(upkeep, "MOST_LISTED", 2)

    table = muse("verify", "s", "--repo", repo)
    (finding,) = json.loads(muse("verify", "s", "--repo", repo, "--json").stdout)["findings"]

    assert sum(making.op_id(number) in table.stdout.split() for number in range(1, 10)) == 2
    assert "7 further lost operations not shown" in table.stderr
    assert (finding["count"], [each["op_id"] for each in finding["operations"]]) == (
        9,
        [making.op_id(number) for number in range(1, 10)],
    )


def test_a_finding_has_the_same_id_each_time(repo: Path) -> None:
    """Eight hex digits, whoever looks, before and after a rebuild; two findings have two."""
    filled(repo, making.entries(3))
    making.add_bytes(making.log_path(repo), b"null\n")
    filled(repo, making.entries(1, start=4))
    making.add_bytes(making.log_path(repo), b"[]\n")

    def ids() -> list[str]:
        found = json.loads(muse("verify", "s", "--repo", repo, "--json").stdout)["findings"]
        return [each["id"] for each in found]

    before = ids()
    muse("rebuild-index", "s", "--repo", repo)

    assert len(set(before)) == 2
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in before)
    assert ids() == before


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
    table = muse("rebuild-index", "s", "--repo", repo)
    monkeypatch.setattr(upkeep, "WORKERS_FROM_BYTES", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    told = json.loads(muse("rebuild-index", "s", "--repo", repo, "--json").stdout)

    assert asked == [1, 2]
    assert table.stdout.splitlines()[1].split()[:2] == ["s", "30"]
    assert (told["ops"], told["size_bytes"]) == (30, len(making.log_bytes(repo)))
    assert muse("verify", "s", "--repo", repo).exit_code == 0
