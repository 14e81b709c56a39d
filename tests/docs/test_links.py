"""Links between the documents, and from the code to the documents."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, LINK, PAGES, ROOT, anchors, fences, headings, page, without_fences

SOURCES = sorted(path for folder in ("muse", "migrations", "tests") for path in (ROOT / folder).rglob("*.py"))


def named(path: Path) -> str:
    """A document by its path from the top of the project."""
    return str(path.relative_to(ROOT))


def links(path: Path) -> list[str]:
    """Where the links of a document lead."""
    return LINK.findall(without_fences(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link names a file that exists and, behind a #, one of its headings."""
    for target in links(path):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.is_relative_to(ROOT), target
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_python_block_compiles(path: Path) -> None:
    """What is shown as Python is Python."""
    for block in fences(path.read_text(encoding="utf-8"), "python"):
        compile(block, str(path), "exec")


def test_every_document_is_reached_from_the_readme() -> None:
    """Who follows the links from the README comes by every document."""
    reached, coming = set[Path](), {ROOT / "README.md"}
    while coming:
        reached |= coming
        there = chain.from_iterable((path.parent / target.split("#")[0] for target in links(path)) for path in coming)
        coming = {path.resolve() for path in there if path.suffix == ".md" and path.is_file()} - reached

    assert set(PAGES) - reached == set()


def test_every_document_has_its_place_in_the_site() -> None:
    """The navigation of the site names every document below docs/."""
    navigation = page("mkdocs.yml").split("nav:")[1]
    below = [str(path.relative_to(DOCS)) for path in PAGES if path.is_relative_to(DOCS)]

    assert [name for name in below if f" {name}\n" not in navigation] == []


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
