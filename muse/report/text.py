"""Shortening and escaping of text from a log."""

from __future__ import annotations

from muse.escaping import escape_for_terminal
from muse.report.limits import TEXT_LETTERS


def brief(text: str, letters: int = TEXT_LETTERS) -> str:
    """Escape control characters, and cut a text of more than `letters` characters, ending it with an ellipsis.

    A character that changes the writing direction could make the page show something else than the entry says. XML
    can't hold control characters at all.
    """
    visible = escape_for_terminal(text[: letters + 1])
    return visible if len(visible) <= letters else visible[: letters - 1] + "…"
