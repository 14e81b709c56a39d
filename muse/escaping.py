"""Escaping of text from a log before it is shown.

Names and summaries come from untrusted writers. A control character in one could move the cursor, change the
terminal's colours or title, or reverse the writing direction. So such characters are replaced by visible escapes.
"""

from __future__ import annotations

import re

# C0 with DEL, C1 (some terminals treat U+009B like ESC [), characters that change the writing direction,
# zero-width characters, line separators, lone surrogates, and U+FFFE and U+FFFF, which no XML can hold.
_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff"
)
_TO_SHOW = re.compile(f"[{_UNSEEN}]")
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def escape_for_terminal(text: str, *, keep: str = "") -> str:
    """Replace each control character of `text` by a visible escape of its code, except those in `keep`."""
    return _TO_SHOW.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def escape_json_for_terminal(line: str) -> str:
    """Escape the control characters of a line of JSON; it still parses to the same value.

    JSON already escapes the C0 controls. Other control characters can only occur inside strings, where JSON
    allows escapes.
    """
    return _RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
