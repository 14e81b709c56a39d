r"""What an operation must hold: its fields by path, looked for in the bytes of many lines at once and parsed after.

The encoder spells a text in one way, and every other spelling of it in JSON holds the escape `\u` or `\/`. An integer
has one spelling, other numbers have many. So the search finds each line that may match, and some others.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from muse.core.entry.codec import same_value_text, strip_padding
from muse.core.entry.validation import check_exact, check_name, find_unencodable
from muse.core.errors import InvalidArgumentError
from muse.picking import MISSING, is_list_index, pick

_OTHER_SPELLING = re.compile(rb"\\[u/]")
_SPACES = rb"[ \t\r]*"


class Where:
    """Fields of the operation and the values that all of them must have, compared exactly."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._wanted = {path: same_value_text(value) for path, value in fields.items()}
        # One is searched for: the longest, which is the rarest as a rule. A text by itself is found twice as fast.
        texts = [orjson.dumps(value) for value in fields.values() if type(value) is str]
        self._text = max(texts, key=len, default=b"")
        self._search = re.compile(max(map(_pattern, fields, fields.values()), key=len))

    @classmethod
    def of(cls, fields: Any) -> Where | None:
        """What a caller asks for; None if no field is named. `InvalidArgumentError`: it is not JSON by path."""
        if not isinstance(fields, Mapping):
            raise InvalidArgumentError(f"where: must be a dict of values by path, not {fields!r}")
        for path, value in fields.items():
            check_name("where", path)
            check_exact(value, ("where", path))
            if problem := find_unencodable(value, ("where", path)):
                raise InvalidArgumentError(problem)
        return cls(fields) if fields else None

    def candidates(self, lines: bytes) -> Iterator[int]:
        """Places in the bytes of some lines, ascending: one at least in each line that matches."""
        found = _places_of(self._text, lines) if self._text else (each.start() for each in self._search.finditer(lines))
        if b"\\" not in lines:
            return found
        return heapq.merge(found, (match.start() for match in _OTHER_SPELLING.finditer(lines)))

    def matches(self, line: bytes) -> bool:
        """Whether a line has the values; one that can't be parsed is left to whoever reads it."""
        try:
            op = orjson.loads(strip_padding(line))["domain_op"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return True
        return all(
            (value := pick(op, path)) is not MISSING and same_value_text(value) == wanted
            for path, wanted in self._wanted.items()
        )


def _places_of(text: bytes, lines: bytes) -> Iterator[int]:
    at = lines.find(text)
    while at >= 0:
        yield at
        at = lines.find(text, at + 1)


def _pattern(path: str, value: Any) -> bytes:
    """What stands in each line in which `path` has the value, if it has no other spelling."""
    key = path.rpartition(".")[2]
    if is_list_index(key):
        return _spelling(value)
    # The key may be longer, if it holds a dot itself.
    return re.escape(orjson.dumps(key)[1:]) + _SPACES + b":" + _SPACES + _spelling(value)


def _spelling(value: Any) -> bytes:
    if isinstance(value, (dict, list)):
        return rb"[\[{]"
    if isinstance(value, float):
        return rb"-?\d"
    # JSON may write -0 as well.
    text = rb"-?0" if value == 0 and value is not False else re.escape(orjson.dumps(value))
    return text + rb"(?![\d.eE])" if type(value) is int else text
