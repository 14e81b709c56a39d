"""Lines of any tool: which field is the actor, the time, the id, … is said by a path, or by a constant.

A path begins with a dot, as in jq: `.` is the line, `.user.name`, `.items[0]`, `."a key"`. Anything else is a constant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from muse.core.op_log import InvalidArgumentError, parse_time
from muse.ingest.draft import Draft, Json, UnmappedError
from muse.ingest.line_keys import LineKeys

_STEP = re.compile(r'\.?(?:\[(\d{1,9})\]|\["([^"]*)"\]|"([^"]*)")|\.([^.\["]+)')
_MISSING = object()
_TEXTS = ("actor", "domain", "time", "id", "kind")


class _Field:
    def __init__(self, name: str, given: str) -> None:
        """`name` is for messages; `given` is a path or a constant."""
        self.name = name
        self.given = given
        self._steps = _steps(name, given) if given.startswith(".") else None

    def find(self, line: Json) -> Any:
        """What it is in a line; an `UnmappedError` if it is not there."""
        if self._steps is None:
            return self.given
        value: Any = line
        for step in self._steps:
            if isinstance(step, str) and isinstance(value, dict):
                # A list index may be written as a name too.
                value = value.get(step, _MISSING)
            elif isinstance(value, list) and str(step).isdigit() and int(step) < len(value):
                value = value[int(step)]
            else:
                value = _MISSING
        if value is _MISSING:
            raise UnmappedError(f"{self.name}: the line has no {self.given}")
        return value

    def text(self, line: Json) -> str:
        """The same as text, which has to be text or a number."""
        value = self.find(line)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise UnmappedError(f"{self.name}: {self.given} must be text and not empty")
        return str(value)


def _steps(name: str, path: str) -> list[str | int]:
    steps: list[str | int] = []
    at = 0
    while path[at:] not in ("", "."):
        found = _STEP.match(path, at)
        if found is None:
            raise InvalidArgumentError(f"--{name} {path}: not a path, such as .user.name or .items[0]")
        index, *names = found.groups()
        steps.append(int(index) if index is not None else next(each for each in names if each is not None))
        at = found.end()
    return steps


class Fields:
    """Maps the lines of one file."""

    def __init__(self, options: Mapping[str, str]) -> None:
        """By option, such as "actor", the path or the constant; "actor" and "domain" have to be there.

        Raises:
            InvalidArgumentError: one is no path.
        """
        self.passed_over: Counter[str] = Counter()
        self._fields = {name: _Field(name, given) for name, given in options.items()}
        self.waits_for_parents = "parent" in options
        self._keys = LineKeys("lines")

    def drafts(self, value: Json, line: bytes) -> list[Draft]:
        """What one line becomes: one operation."""
        fields = self._fields
        key = self._keys.next(line)
        operation = fields["op"].find(value) if "op" in fields else value
        operation = dict(operation) if isinstance(operation, dict) else {"value": operation}
        texts = {name: fields[name].text(value) for name in _TEXTS if name in fields}
        if "kind" in texts:
            operation["op"] = texts["kind"]
        if "id" in texts:
            key = f"id/{texts['id']}"
        parents = fields["parent"].find(value) if "parent" in fields else None
        parents = parents if isinstance(parents, list) else [] if parents in (None, "") else [parents]
        time = _time(texts["time"]) if "time" in texts else ""
        return [Draft(key, texts["actor"], texts["domain"], operation, time, [f"id/{each}" for each in parents])]


def _time(text: str) -> str:
    """A time as ISO 8601: as it is, or of a number of seconds, milliseconds, microseconds or nanoseconds since 1970."""
    if parse_time(text):
        return text
    try:
        seconds = float(text)
        for _ in range(3):
            seconds /= 1000 if abs(seconds) > 1e11 else 1
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise UnmappedError(f"time: {text[:40]!r} is neither ISO 8601 nor a number") from None
