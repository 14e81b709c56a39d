"""Tables of sessions and entries for a notebook, which shows the last value of a cell.

from muse.notebook import entries, sessions

sessions(".")
entries(log.query(actor_id="ada"))
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from muse.core.op_log import OpEntry, describe_sessions
from muse.describing import ENTRY_COLUMNS, entry_cells, utc
from muse.escaping import escape_for_terminal

__all__ = ["Table", "entries", "sessions"]

_SESSION_COLUMNS = ("SESSION", "OPS", "PENDING", "LAST ENTRY (UTC)", "ACTORS", "DOMAINS", "CHECKPOINT")


class Table:
    """Rows of text that a notebook shows as an HTML table; whatever is in them is shown as text."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[str]], limit: int) -> None:
        """Hold the first `limit` of `rows`."""
        coming = iter(rows)
        self.columns = tuple(columns)
        """The headings."""
        self.rows = [tuple(row) for row in islice(coming, limit)]
        """The cells of each row."""
        self.has_more = next(coming, None) is not None
        """Whether there were more rows than the limit."""

    def _repr_html_(self) -> str:
        lines = [_row("th", self.columns), *(_row("td", row) for row in self.rows)]
        more = f"<p>The first {len(self.rows):,}; there are more.</p>" if self.has_more else ""
        return f"<table>{''.join(lines)}</table>{more}"


def entries(entries: Iterable[OpEntry], limit: int = 100) -> Table:
    """The first `limit` of some entries, such as what `log.query()` gives, as a table."""
    return Table(ENTRY_COLUMNS, map(entry_cells, entries), limit)


def sessions(repo_root: str | os.PathLike[str], limit: int = 100) -> Table:
    """The first `limit` sessions of a repository as a table, the one whose last entry is the newest first."""
    found = sorted(
        describe_sessions(os.fspath(repo_root)), key=lambda each: utc(each.last_created_at or ""), reverse=True
    )
    rows = (
        (
            each.session_id,
            f"{each.ops:,}",
            "?" if each.pending is None else f"{each.pending:,}",
            utc(each.last_created_at or ""),
            ", ".join(each.actors),
            ", ".join(each.domains),
            each.problem or (each.checkpoint["snapshot_id"] if each.checkpoint else "none"),
        )
        for each in found
    )
    return Table(_SESSION_COLUMNS, rows, limit)


def _row(tag: str, cells: Sequence[str]) -> str:
    shown = (f"<{tag} style='text-align: left'>{escape(escape_for_terminal(cell))}</{tag}>" for cell in cells)
    return f"<tr>{''.join(shown)}</tr>"
