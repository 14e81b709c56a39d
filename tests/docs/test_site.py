"""The documents as a site: it can be built, everything public is in it, and nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from muse import domain
from muse.core import op_log
from tests import children
from tests.docs.pages import DOCS, PAGES, ROOT
from tests.docs.test_reference import COMMANDS, FUNCTIONS, TYPES, fields

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        not all(map(find_spec, ("mkdocs", "material", "mkdocstrings_handlers"))),
        reason="needs the dependency group `site`: nox -s site",
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    done = children.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        text=True,
    )
    # Not with --quiet, which hides the warnings from what counts them too.
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def anchors(site: Path) -> set[str]:
    """Every place of the reference that can be linked to."""
    pages = (site / "reference").glob("*.html")
    return {anchor for path in pages for anchor in re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8"))}


def test_every_public_name_has_its_place(anchors: set[str]) -> None:
    """Functions, classes, methods and fields: each can be linked to."""
    names = [f"muse.core.op_log.{name}" for name in op_log.__all__]
    names += [f"muse.core.op_log.{name}" for name in FUNCTIONS if "__" not in name]
    names += [f"muse.core.op_log.{name}.{field}" for name in TYPES for field in fields(getattr(op_log, name))]
    names += [f"muse.domain.{name}" for name in domain.__all__]

    assert set(names) - anchors == set()


def test_every_command_has_its_place(anchors: set[str]) -> None:
    """Each command can be linked to by its name."""
    assert {name for name in COMMANDS if name.replace(" ", "-") not in anchors} == set()


def test_every_document_is_a_page(site: Path) -> None:
    """The pages of docs/ and those at the top of the project are all there."""
    for path in PAGES:
        name = str(path.relative_to(DOCS)) if path.is_relative_to(DOCS) else path.name.lower()
        shown = {"readme.md": "index.md"}.get(name, name)
        assert (site / shown).with_suffix(".html").is_file(), path


def test_every_block_of_code_is_shown_as_one(site: Path) -> None:
    """No fence is left as text, as happens where its first line is one that the site does not know."""
    assert [path.name for path in site.rglob("*.html") if "```" in path.read_text("utf-8")] == []


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No page loads a script, a font, a style or a picture from another host."""
    for path in site.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:https?:)?//[^>]*>", path.read_text("utf-8"))
        assert fetched == [], path
    for path in [*site.rglob("*.css"), ROOT / "docs" / "site.css"]:
        assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)]*", path.read_text("utf-8")) == [], path
