"""`python -m tests.docs.refresh`: write anew what the documents have from the code.

That is the schema in docs/format.md, and the table of faults and their tests in docs/reliability.md. What the pages
say in words is left to people.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from muse.core.op_log import OpLog
from tests.docs.pages import ROOT
from tests.reliability import rows


def schema() -> str:
    """The SQL that makes an index, as SQLite keeps it."""
    with tempfile.TemporaryDirectory() as repo:
        with OpLog(repo, "friday") as log:
            log.record("ada", "code", {})
        with closing(sqlite3.connect(log.folder / "index.db")) as db:
            found = db.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '%sqlite\\_%' ESCAPE '\\'"
            )
            return "".join(f"{_laid_out(statement)};\n" for (statement,) in found)


def _laid_out(statement: str) -> str:
    """A statement as it stands in the source; a long table with a line for each column."""
    flat = re.sub(r"(?<=\() | (?=\))", "", " ".join(statement.split()))
    if not statement.startswith("CREATE TABLE"):
        return statement.strip()
    if len(flat) <= 110:
        return flat
    head, _, body = flat.partition("(")
    body, _, tail = body.rpartition(")")
    return f"{head}(\n{_columns(body)}\n){tail}"


def _columns(body: str) -> str:
    """What stands between the outer brackets of a table, split at its commas."""
    depth, columns = 0, [""]
    for letter in body:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            columns.append("")
        else:
            columns[-1] += letter
    return ",\n".join(f"    {column.strip()}" for column in columns)


def refresh(page: Path, pattern: str, made: str) -> None:
    """Replace the one place of a page that matches."""
    text, times = re.subn(pattern, lambda _: made, page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert times == 1, (page, pattern)
    page.write_text(text, "utf-8")


def main() -> None:
    """Refresh the pages."""
    refresh(ROOT / "docs" / "format.md", r"^```sql\n.*?^```$", f"```sql\n{schema()}```")
    refresh(ROOT / "docs" / "reliability.md", rf"^{re.escape(rows.HEADING)}\n(?:\|.*?\n)+", f"{rows.table()}\n")


if __name__ == "__main__":
    main()
