"""Text of a log, made short and safe to show."""

from __future__ import annotations

from muse.escaping import escape_for_terminal
from muse.report.limits import TEXT_LETTERS


def brief(text: str, letters: int = TEXT_LETTERS) -> str:
    """`text`, its unseen characters as escapes, cut with an ellipsis where it is longer than `letters`.

    A character that turns the writing direction would make the page say what the entry does not, and XML has
    no way to hold a control character at all.
    """
    visible = escape_for_terminal(text[: letters + 1])
    return visible if len(visible) <= letters else visible[: letters - 1] + "…"
