"""The tutorial and the how-to pages: whoever does what they say, from top to end, sees what they show."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT
from tests.docs.running import Reader, blocks, is_shown
from tests.replicate.servers import why_not

NAMES = [str(path.relative_to(ROOT)) for path in (DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md")))]
TOOLS = ("git", "jq", "sqlite3")


@pytest.mark.process
@pytest.mark.parametrize("name", NAMES)
def test_page_does_what_it_shows(name: str, tmp_path: Path) -> None:
    """Every block runs without failing, and prints what the page shows below it."""
    needed = [tool for tool in TOOLS if any(f"{tool} " in block.text for block in blocks(name))]
    if not all(map(shutil.which, needed)):
        pytest.skip(f"needs {' and '.join(needed)}")
    if any("op-log sync" in block.text for block in blocks(name)) and (reason := why_not()):
        pytest.skip(reason)
    for told, package in (
        ("refuse_secrets", "detect_secrets"),
        ("json_schema", "jsonschema"),
        ("from mcp import", "mcp.server.mcpserver"),
    ):
        if any(told in block.text for block in blocks(name)):
            pytest.importorskip(package)
    reader = Reader(tmp_path)
    try:
        for block in blocks(name):
            if block.language == "text":
                reader.looks(block)
            else:
                reader.runs(block)
    finally:
        reader.leaves()


def test_comparison_notices_what_differs() -> None:
    """A word, a line or an order that is not the one shown is seen; blanks and what "…" stands for are not."""
    shown = "NAME  OPS\nada   …\n…\n3 entries\n"

    assert is_shown(shown, "NAME OPS\nada 17\n3 entries\n")
    assert is_shown(shown, "NAME    OPS  \nada 17 or so\ngrace 2\nbarbara 3\n3 entries\n")
    assert not is_shown(shown, "NAME OPS\nada 17\n4 entries\n")
    assert not is_shown(shown, "NAME OPS\n3 entries\nada 17\n")
    assert not is_shown(shown, "NAME OPS\nada 17\n3 entries\nwarning\n")
    assert not is_shown(shown, "")
