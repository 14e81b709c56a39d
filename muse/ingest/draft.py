"""What a line of another tool's file becomes, before it has an op_id and a timestamp."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from muse.core.op_log import MuseError

Json = dict[str, Any]
_SUMMARY_LETTERS = 160
_CUT_WORD = re.compile(r"(?<![\w.~/+=%:@-])[\w.~/+=%:@-]{1,100}$", re.ASCII)


class UnmappedError(MuseError, ValueError):
    """A line can't be mapped; the message says why."""


SURPRISES = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What a mapper may raise: another tool's line may be anything, and must not keep out the others. The system refuses a
time that it can't hold."""


def unmapped(error: Exception) -> UnmappedError:
    """One of `SURPRISES` in words for people."""
    told = f"the line is not as its kind of lines should be ({type(error).__name__})"
    return UnmappedError(str(error) if isinstance(error, MuseError) else told)


@dataclass(slots=True)
class Draft:
    """One operation."""

    key: str
    """Its name in the other tool, which becomes its op_id."""
    actor_id: str
    domain: str
    domain_op: Json
    created_at: str
    """ISO 8601; "" if the file does not say when."""
    parents: list[str]
    """The keys of what it depends on."""
    intent_id: str = ""


class Mapper(Protocol):
    """Maps the lines of one file, from the first on."""

    passed_over: Counter[str]
    """By type, the lines that are of no interest."""
    waits_for_parents: bool
    """Whether a line may name a parent that stands further down in the file."""

    def drafts(self, value: Json, line: bytes) -> Sequence[Draft | UnmappedError]:
        """What one line becomes; nothing if it is passed over.

        Raises one of `SURPRISES` if it can't be mapped; what of a line of several can't be mapped stands in its place.
        """


def text_of(value: Json, name: str) -> str:
    """A field of a line that has to be there and to be text."""
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise UnmappedError(f"{name}: " + ("the field is missing" if found is None else "must be text and not empty"))
    return found


def summary(text: str) -> str:
    """The beginning of a text, on one line; a word that does not fit is left out, unless it is very long."""
    one_line = " ".join(text.split(maxsplit=_SUMMARY_LETTERS // 2))
    if len(one_line) <= _SUMMARY_LETTERS:
        return one_line
    # Half a secret would be one that no guard recognises.
    return _CUT_WORD.sub("", one_line[: _SUMMARY_LETTERS - 1]) + "…"


def content_id(text: str) -> str:
    """The SHA-256 of a text in UTF-8, in hex; "" for the empty text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() if text else ""


def content(text: str) -> Json:
    """The fields of an operation that stand for a text which is not in the log itself."""
    return {"content_id": content_id(text), "content_summary": summary(text)}


def replacement(address: str, old: str, new: str) -> Json:
    """The operation that replaces a text by another."""
    return {
        "op": "replace",
        "address": address,
        "position": None,
        "old_content_id": content_id(old),
        "new_content_id": content_id(new),
        "old_summary": summary(old),
        "new_summary": summary(new),
    }


def insertion(address: str, text: str) -> Json:
    """The operation by which a text appears."""
    return {"op": "insert", "address": address, "position": None, **content(text)}


def deletion(address: str, text: str) -> Json:
    """The operation by which a text disappears."""
    return {"op": "delete", "address": address, "position": None, **content(text)}
