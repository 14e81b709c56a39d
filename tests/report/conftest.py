"""A browser for each file of tests that wants one, and reports opened in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from muse.core.op_log import OpEntry
from tests import plain_scan
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
def opened(driver: Chrome, repo: Path) -> Callable[..., Page]:
    """Record entries, make the report of their session and open it; the page has what a plain scan finds in the log."""
    from tests.report.page.browser import Page

    def open_report(
        entries: Iterable[OpEntry] = (), session: str = "s", *, theme: str = "light", checkpoint_after: int = 0
    ) -> Page:
        path = sessions.recorded(repo, entries, session, checkpoint_after=checkpoint_after)
        page = Page(driver, sessions.report(repo, session=session), theme=theme)
        page.entries = plain_scan.scan_file(path).entries
        return page

    return open_report
