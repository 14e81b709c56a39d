"""The command `report`: what it writes, what it says, and how it fails."""

from __future__ import annotations

import os
from pathlib import Path

from tests import making
from tests.cli.running import filled, muse


def test_page_is_written_and_said(repo: Path, tmp_path: Path) -> None:
    """The file is there whole, nothing goes to standard output, and the note tells size and ops."""
    filled(repo, making.entries(20))
    page = tmp_path / "out" / "report.html"
    page.parent.mkdir()
    result = muse("report", "s", "-o", page, "--repo", repo)

    assert result.exit_code == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert page.read_text("utf-8").endswith("</html>\n")
    assert result.stdout == ""
    assert f"{page.stat().st_size:,} bytes, 20 ops" in result.stderr
    assert os.listdir(page.parent) == ["report.html"]


def test_a_page_that_is_there_is_replaced(repo: Path, tmp_path: Path) -> None:
    """Making a report again is no mistake, and a page that somebody has open is not changed under them."""
    filled(repo, making.entries(2))
    page = tmp_path / "report.html"
    page.write_text("old")
    with page.open() as held:
        assert muse("report", "s", "-o", page, "--repo", repo).exit_code == 0
        assert held.read() == "old"
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_session_is_not_changed(repo: Path, tmp_path: Path) -> None:
    """Log and checkpoint are as they were, byte by byte."""
    filled(repo, making.entries(20))
    muse("checkpoint", "s", "snapshot", "--repo", repo)
    before = {name: data for name, data in making.tree(repo).items() if not name.rpartition("/")[2].startswith("index")}
    muse("report", "s", "-o", tmp_path / "report.html", "--repo", repo)
    after = making.tree(repo)

    assert {name: after[name] for name in before} == before


def test_report_of_a_damaged_session_is_made(repo: Path, tmp_path: Path) -> None:
    """Damage is what one wants to see: the report shows it, and making it succeeds."""
    filled(repo, making.entries(3))
    making.add_bytes(making.log_path(repo), b"damaged\n")
    making.log_path(repo).with_name("checkpoint.json").write_bytes(b"{")
    result = muse("report", "s", "-o", tmp_path / "report.html", "--repo", repo)

    assert result.exit_code == 0
    assert "damaged-line" in (tmp_path / "report.html").read_text("utf-8")
    assert "checkpoint-damaged" in (tmp_path / "report.html").read_text("utf-8")
