"""A browser for each file of tests that wants one, and reports opened in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from muse.core.op_log import OpEntry
from tests.report import sessions

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from tests.report.page.browser import Page


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for all tests of this file."""
    from tests.report.page.browser import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def opened(driver: Chrome, repo: Path, tmp_path: Path) -> Callable[..., Page]:
    """Record entries, make their report and open it."""
    from tests.report.page.browser import Page

    def open_report(entries: list[OpEntry], *, theme: str = "light", checkpoint_after: int = 0) -> Page:
        sessions.recorded(repo, entries, checkpoint_after=checkpoint_after)
        return Page(driver, sessions.report(repo, tmp_path / "report.html"), theme=theme)

    return open_report
