"""The demo of replication: real hosts and a real server; what it claims is what a plain reading finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import making, plain_scan
from tests.cli.running import muse_process
from tests.replicate import servers

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_three_hosts_end_with_the_same_after_all_that_harm(tmp_path: Path) -> None:
    """One cut off, one killed, the server's disk gone: each log holds every edit once, in the same total order."""
    if reason := servers.why_not():
        pytest.skip(reason)
    done = muse_process("demo", "--hosts", "3", "--repo", tmp_path / "demo", "--seconds", "4", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert all(told["checks"].values())
    for step in (b"host-2 is cut off", b"host-3 is killed", b"loses its disk"):
        assert step in done.stderr
    scans = [plain_scan.scan_file(making.log_path(Path(repo), "demo")) for repo in told["repos"]]
    orders = [plain_scan.exact_list(plain_scan.total_order(scan.entries)) for scan in scans]
    assert orders[0] == orders[1] == orders[2]
    assert all(len(scan.entries) == told["edits"] and not scan.duplicates for scan in scans)


def test_two_hosts_are_too_few(tmp_path: Path) -> None:
    """One is cut off and one killed; a third has to go on."""
    done = muse_process("demo", "--hosts", "2", "--repo", tmp_path / "demo")
    assert done.returncode == 2
    assert not (tmp_path / "demo").exists()
