"""`python -m tests.docs.refresh`: write the schema into docs/format.md and the signatures into docs/api.md anew.

What the documents say in words about them is left to people.
"""

from __future__ import annotations

import ast
import inspect
import re
import sqlite3
import tempfile
import textwrap
from contextlib import closing
from pathlib import Path

from muse.core import limits, op_log
from muse.core.op_log import OpLog
from tests.docs.pages import ROOT


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


def signature(heading: str) -> str:
    """The definition of a public function or of `OpLog` itself, without its body."""
    member = OpLog.__init__ if heading == "OpLog" else op_log
    for name in heading.split(".") if heading != "OpLog" else ():
        member = getattr(member, name)
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(member))).body
    assert isinstance(function, ast.FunctionDef)
    function.args.kw_defaults = [
        ast.Constant(getattr(limits, default.id)) if isinstance(default, ast.Name) else default
        for default in function.args.kw_defaults
    ]
    result = f" -> {ast.unparse(function.returns)}: ..." if function.returns else ": ..."
    line = f"def {function.name}({ast.unparse(function.args)}){result}"
    return f"class OpLog:\n    {line}" if heading == "OpLog" else line


def refresh(page: Path, pattern: str, made: str) -> None:
    """Replace the one place of a page that matches."""
    text, times = re.subn(pattern, lambda _: made, page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert times == 1, (page, pattern)
    page.write_text(text, "utf-8")


def main() -> None:
    """Refresh both pages; a signature is rewritten only where it no longer is the one of the code."""
    refresh(ROOT / "docs" / "format.md", r"^```sql\n.*?^```$", f"```sql\n{schema()}```")
    api = ROOT / "docs" / "api.md"
    for heading, shown in re.findall(r"^### `([\w.]+)`\n\n```python\n(.*?)^```$", api.read_text("utf-8"), re.M | re.S):
        if ast.dump(ast.parse(shown)) != ast.dump(ast.parse(signature(heading))):
            refresh(
                api,
                rf"(?<=^### `{re.escape(heading)}`\n\n)```python\n.*?^```$",
                f"```python\n{signature(heading)}\n```",
            )


if __name__ == "__main__":
    main()
