"""Links between the documents, and from the code to the documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, fences, headings, without_fences

SOURCES = sorted(path for folder in ("muse", "migrations", "tests") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link names a file that exists and, behind a #, one of its headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_fences(path.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.is_relative_to(ROOT), target
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_python_block_compiles(path: Path) -> None:
    """What is shown as Python is Python."""
    for block in fences(path.read_text(encoding="utf-8"), "python"):
        compile(block, str(path), "exec")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_document_is_reached_from_the_readme(path: Path) -> None:
    """No document is left where a reader would not find it."""
    assert path.name == "README.md" or f"{path.relative_to(ROOT)})" in (ROOT / "README.md").read_text("utf-8")


def test_every_section_that_the_code_points_to_exists() -> None:
    """A comment that says docs/<page>.md, "<section>" names a heading of that page."""
    pointers = 0
    for source in SOURCES:
        text = re.sub(r"\s+(?:# )?", " ", source.read_text(encoding="utf-8"))
        for name, heading in re.findall(r'docs/([\w-]+\.md), "([^"<]+)"', text):
            pointers += 1
            assert heading in headings((ROOT / "docs" / name).read_text(encoding="utf-8")), (source, heading)
    assert pointers > 0


def test_every_document_that_the_code_names_exists() -> None:
    """A docstring, a comment or a message that names a page does not send the reader nowhere."""
    named = {name for source in SOURCES for name in re.findall(r"docs/[\w-]+\.md", source.read_text(encoding="utf-8"))}

    assert named
    assert {name for name in named if not (ROOT / name).is_file()} == set()
