"""The marker that stands in an entry's `domain_op` once that was redacted: its form, and the bytes that it replaces.

A marker is as long as what was there, so that no other byte of the log moves: what it says is cut to fit, and filled up
with spaces. An operation of fewer than 17 bytes has no room for the shortest one; of it `{ }` is left, with the spaces
that no other empty operation of ours has.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from muse.core.entry.codec import same_content, strip_padding
from muse.core.entry.model import OpEntry

REDACTED = "redacted"
"""The `op` of a marker."""

MAX_TEXT = 4096
"""How many characters `by` and `why` have at most; what says more is no marker."""

_MORE = "…"
_spaced = re.compile(rb'"domain_op"[ \t]*:[ \t]*\{[ \t]').search
_separator = re.compile(r"[ \t\r\n]*[{:,][ \t\r\n]*").match
_decoder = json.JSONDecoder(strict=False)


class Redaction(NamedTuple):
    """Who has redacted an operation, when, and why; "" for what a marker had no room for."""

    by: str = ""
    at: str = ""
    """ISO 8601 wall-clock time."""
    why: str = ""


def redaction_of(domain_op: Mapping[str, Any]) -> Redaction | None:
    """What a marker says; None if an operation is none."""
    texts = {key: value for key, value in domain_op.items() if key != "op"}
    if domain_op.get("op") != REDACTED or not texts.keys() <= set(Redaction._fields):
        return None
    are_valid = all(isinstance(text, str) and len(text) <= MAX_TEXT for text in texts.values())
    return Redaction(**texts) if are_valid else None


def is_redacted(entry: OpEntry | None) -> bool:
    """Whether an entry was redacted, or has nothing in it: a short operation that was redacted is no more than that."""
    return entry is not None and (not entry["domain_op"] or redaction_of(entry["domain_op"]) is not None)


def may_hold_marker(lines: bytes | bytearray) -> bool:
    """Whether one of some lines may hold a marker, however it is spelled; hardly any others look like it."""
    return b"redacted" in lines or b"\\u" in lines or _spaced(lines) is not None


def redacted_in(line: bytes) -> Redaction | None:
    """What the marker in a valid line says; None if its operation was not redacted."""
    if not may_hold_marker(line):
        return None
    domain_op = orjson.loads(strip_padding(line))["domain_op"]
    if domain_op:
        return redaction_of(domain_op)
    start, end = span_of_operation(line)
    return Redaction() if end - start > 2 else None


def stands_for(there: bytes, line: bytes) -> bool:
    """Whether a line of the log stands for another with its op_id: it says the same, or was redacted."""
    return same_content(line, there) or redacted_in(there) is not None


def rank(redaction: Redaction) -> bytes:
    """By what one of several redactions of an operation is chosen, the least: so every replica ends with the same.

    That is the earliest; of two of one time the one that says more.
    """
    return orjson.dumps({key: text for key, text in redaction._asdict().items() if text}, option=orjson.OPT_SORT_KEYS)


def span_of_operation(line: bytes) -> tuple[int, int]:
    """Where in a valid line the value of `domain_op` begins and ends, in bytes."""
    # Latin-1, so that characters are bytes: what JSON is made of is ASCII.
    text = line.decode("latin-1")
    key, end = "", text.index("{")
    while key != "domain_op":
        key, end = _decoder.raw_decode(text, _after_separator(text, end))
        start = _after_separator(text, end)
        end = _decoder.raw_decode(text, start)[1]
    return start, end


def _after_separator(text: str, at: int) -> int:
    found = _separator(text, at)
    return found.end() if found else at


def redacted_line(line: bytes, said: Redaction) -> bytes:
    """A valid line with a marker in the place of its operation."""
    start, end = span_of_operation(line)
    return line[:start] + marker(said, end - start) + line[end:]


def marker(redaction: Redaction, length: int) -> bytes:
    """The marker of a redaction, exactly so many bytes long (at least 2): `why` is cut first, then `by`."""
    said = {key: text for key, text in redaction._asdict().items() if text}
    for key in ("why", "by"):
        if (text := said.pop(key, "")) and (found := _fitting(said, key, text, length)):
            return found
    return next(_filled(found, length) for found in (_encoded(said), _encoded({}), b"{}") if len(found) <= length)


def _fitting(said: Mapping[str, str], key: str, text: str, length: int) -> bytes | None:
    """The marker with as much of a text as there is room for; None if there is none."""
    if len(found := _encoded({**said, key: text})) <= length:
        return _filled(found, length)

    def cut_to(size: int) -> bytes:
        return _encoded({**said, key: text[:size] + _MORE})

    size = bisect_right(range(1, len(text)), length, key=lambda size: len(cut_to(size)))
    return _filled(cut_to(size), length) if size else None


def _encoded(said: Mapping[str, str]) -> bytes:
    return orjson.dumps({"op": REDACTED} | {key: said[key] for key in Redaction._fields if key in said})


def _filled(found: bytes, length: int) -> bytes:
    return found[:-1].ljust(length - 1) + b"}"
