"""Text from a log, made safe to look at.

Names and summaries are anybody's text. A control character in one would move the cursor, recolour or
retitle the terminal, or turn the direction of the line; so it is shown as an escape, never sent.
"""

from __future__ import annotations

import re

# C0 with DEL, C1 (some terminals obey U+009B as they obey ESC [), the characters that turn the
# writing direction, those that take no space, the line separators, and lone surrogates.
_UNSEEN = "\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
_TO_SHOW = re.compile(f"[{_UNSEEN}]")
_RAW_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def escape_for_terminal(text: str, *, keep: str = "") -> str:
    """`text` with every control character, but those in `keep`, as a visible escape of its code."""
    return _TO_SHOW.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def escape_json_for_terminal(line: str) -> str:
    """A line of JSON, equal in value, that is safe on a terminal.

    JSON escapes the C0 controls by itself, and what else it could hold raw stands inside strings.
    """
    return _RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
