"""Tables for notebooks: what a page shows of them is the text that was recorded, and never markup."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from muse.core.op_log import OpLog
from muse.notebook import Table, entries, sessions
from tests import making

EVIL = "<script>alert('1')</script>&amp;\"\u202e"


class Page(HTMLParser):
    """The cells that a browser would show, row by row, and every tag there is."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(table._repr_html_())

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Begin a row or a cell."""
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        """Add text to the cell."""
        if self.rows:
            self.rows[-1][-1] += data


def test_entries_are_rows_and_whatever_is_in_them_is_text(log: OpLog) -> None:
    """In arrival order, each cell as it was recorded, a character that turns the writing round as its code."""
    log.append(making.entry(7, actor_id=EVIL, domain_op={"op": EVIL, "address": EVIL, "content_summary": EVIL}))
    log.append(making.entry(3, domain_op={"op": "insert", "address": "a", "content_summary": "C4"}))
    page = Page(entries(log.query()))
    shown = EVIL.replace("\u202e", "\\u202e")

    assert page.tags == {"table", "tr", "th", "td"}
    assert page.rows[1][:4] == ["7", "2026-01-02 03:04:05", shown, "music"]
    assert page.rows[1][4:6] == [shown, shown]
    assert page.rows[2] == ["3", "2026-01-02 03:04:05", "ada", "music", "insert", "a", "C4"]


def test_sessions_are_rows_the_newest_first(repo: Path) -> None:
    """With what is pending, and the commit; a limit says that there are more."""
    for number, name in enumerate(("old", EVIL.replace("/", ""), "new")):
        with OpLog(repo, name) as log:
            log.append_many([making.entry(n, created_at=f"2026-01-0{1 + number}T00:00:00Z") for n in (1, 2)])
            if name == "new":
                log.checkpoint("c1")
    page = Page(sessions(repo))

    assert [row[0] for row in page.rows[1:]] == ["new", EVIL.replace("/", "").replace("\u202e", "\\u202e"), "old"]
    assert page.rows[1][1:] == ["2", "0", "2026-01-03 00:00:00", "ada", "music", "c1"]
    assert page.rows[3][2] == "2"
    assert "there are more" in sessions(repo, limit=2)._repr_html_()
    assert len(sessions(repo, limit=2).rows) == 2
    assert not sessions(repo).has_more
