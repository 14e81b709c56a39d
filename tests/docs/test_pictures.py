"""The pictures of docs/pictures: small, shown somewhere, and nothing of the machine that made them is in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, LINK, PAGES, page

PICTURES = sorted(path for path in (DOCS / "pictures").iterdir() if path.name != "favicon.svg")
LARGEST_BYTES = 300_000


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_picture_is_shown_and_small(path: Path) -> None:
    """A page shows it, and it costs a reader little."""
    shown = {
        (page.parent / target.split("#")[0]).resolve()
        for page in PAGES
        for target in LINK.findall(page.read_text("utf-8"))
    }

    assert path in shown
    assert path.stat().st_size <= LARGEST_BYTES


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_picture_is_made_by_the_script(path: Path) -> None:
    """No picture was taken by hand, which nobody could take again."""
    assert f'"{path.stem}' in page("tools/pictures.py")


@pytest.mark.parametrize("path", [path for path in PICTURES if path.suffix == ".svg"], ids=lambda path: path.name)
def test_picture_of_the_terminal_fetches_and_betrays_nothing(path: Path) -> None:
    """No font of others is loaded, and no folder of the machine is in it."""
    text = path.read_text(encoding="utf-8")

    assert re.findall(r"(?:href=|url\()[\"']?(?!#)[^)\s>]+", text) == []
    assert re.findall(r"/(?:tmp|home|root|Users|private|var)/[^<\s]*", text.replace("&#160;", " ")) == []
