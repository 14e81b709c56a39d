"""The project's documents, as the tests of this folder see them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def page(name: str) -> str:
    """The text of a document, named by its path from the top of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def fences(text: str, language: str) -> list[str]:
    """The fenced code blocks of one language, in order, without their fences."""
    return re.findall(rf"^```{language}(?: [^\n]*)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_fences(text: str) -> str:
    """The text with its fenced code blocks cut out."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    """The headings of a document, without their hashes and backticks."""
    found = re.findall(r"^#{1,6} (.+)$", without_fences(text), re.MULTILINE)
    return [heading.replace("`", "") for heading in found]


def anchors(text: str) -> set[str]:
    """The link targets that a Markdown renderer makes of the headings."""
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings(text)}


def section(text: str, heading: str) -> str:
    """What stands below one heading, down to the next of the same or a higher level."""
    start = re.search(rf"^(#+) `?{re.escape(heading)}`?$", text, re.MULTILINE)
    if start is None:
        raise AssertionError(f"no section is headed {heading!r}")
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start.group(1))}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest
