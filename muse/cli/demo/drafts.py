"""Edits of source code for the demo: people typing some of this project's own functions.

A drafts file holds earlier drafts of functions, written for the demo. The last draft of each is not in the file: it is
the function's current source in the project. Each section begins with a line that begins with "===". Lines before the
first section are comments:

    === PATH by NAME [apart]        begins a function of the file PATH, typed by NAME (apart: offline)
    === draft [reading NAME]        the whole text of a draft; its first edit depends on NAME's latest edit
    === final MODULE:FUNCTION       the last draft, taken from the project

The first draft is typed token by token, with some typing errors that are corrected at once. Each later draft is made
by the edits that change the previous draft into it. A rename is one patch; other changes are made token by token.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from importlib import import_module
from importlib.resources import files
from itertools import zip_longest

from muse.cli.demo import text_ops
from muse.cli.demo.trace import Edit
from muse.domain import DomainOp, PatchOp

DOMAIN = "code"

_TOKEN = re.compile(r"\n[ ]*|[ ]+|\w+|.")
_SLIP_EVERY_WORDS = 13
"""A typing error occurs at every so many words."""


@dataclass(slots=True)
class Draft:
    """One version of a text. Its first edit depends on the latest edit of the author `reading`, if not ""."""

    text: str
    reading: str = ""


@dataclass(slots=True)
class Writing:
    """The drafts of one function by one author."""

    path: str
    author: str
    apart: bool
    drafts: list[Draft] = field(default_factory=list)


def project_drafts() -> list[Writing]:
    """The drafts that ship with the demo."""
    material = files("muse.cli.demo") / "material" / "project.drafts"
    return parsed(material.read_text("utf-8"))


def parsed(text: str) -> list[Writing]:
    """Parse a drafts file; the final drafts are read from the project.

    Raises:
        ValueError: a "===" line does not follow the format. The message quotes it.
    """
    writings: list[Writing] = []
    for section in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        head, _, body = section.partition("\n")
        match head.split():
            case [path, "by", author, *apart] if apart in ([], ["apart"]):
                writings.append(Writing(path, author, bool(apart)))
            case ["draft", *reading] if reading[:1] in ([], ["reading"]):
                writings[-1].drafts.append(Draft(body.rstrip("\n") + "\n", "".join(reading[1:])))
            case ["final", name]:
                writings[-1].drafts.append(Draft(in_project(name)))
            case _:
                raise ValueError(f"not a line of the drafts format: === {head}")
    return writings


def in_project(name: str) -> str:
    """The source text of "MODULE:FUNCTION"."""
    module, _, function = name.partition(":")
    return inspect.getsource(getattr(import_module(module), function))


def edits(writings: list[Writing], *, apart: bool) -> list[Edit]:
    """The edits that type the drafts: those of the session, or with `apart` those of the offline actor.

    Each author writes one function after another. The authors' first drafts come before all second drafts, so
    that "reading NAME" always finds an edit of NAME.
    """
    authors: dict[str, list[tuple[Writing, Draft, str]]] = {}
    for writing in writings:
        if writing.apart == apart:
            befores = ["", *(draft.text for draft in writing.drafts)]
            rounds = [(writing, draft, before) for draft, before in zip(writing.drafts, befores, strict=False)]
            authors.setdefault(writing.author, []).extend(rounds)
    typed: list[Edit] = []
    last: dict[str, int] = {}
    for rounds_of_all in zip_longest(*authors.values()):
        for found in filter(None, rounds_of_all):
            writing, draft, before = found
            read = [last[draft.reading]] if draft.reading else []
            for op in _ops(writing.path, before, draft.text):
                own = [last[writing.author]] if writing.author in last else []
                typed.append(Edit(f"{writing.author} (editor)", tuple(sorted({*own, *read})), DOMAIN, op))
                last[writing.author] = len(typed) - 1
                read = []
    return typed


def tokens(text: str) -> list[str]:
    """Split text into words, runs of spaces, line breaks with the indent after them, and single other characters."""
    return _TOKEN.findall(text)


def _ops(path: str, before: str, after: str) -> Iterator[DomainOp]:
    ops = _Ops(path)
    return ops.typing(tokens(after)) if not before else ops.turning(tokens(before), tokens(after))


class _Ops:
    """Makes operations on one text. Positions count tokens from its start."""

    def __init__(self, path: str) -> None:
        self._path = path

    def typing(self, text: list[str]) -> Iterator[DomainOp]:
        words = 0
        for position, token in enumerate(text):
            words += token.isidentifier()
            slip = _swapped(token)
            if slip != token and words % _SLIP_EVERY_WORDS == 0:
                yield text_ops.insert(self._path, position, slip)
                yield text_ops.replace(self._path, position, slip, token)
            else:
                yield text_ops.insert(self._path, position, token)

    def turning(self, before: list[str], after: list[str]) -> Iterator[DomainOp]:
        text = list(before)
        for old, new in _renames(before, after):
            places = [position for position, token in enumerate(text) if token == old]
            yield PatchOp(
                op="patch",
                address=self._path,
                child_ops=[text_ops.replace(self._path, position, old, new) for position in places],
                child_domain="code.tokens",
                child_summary=f"rename {old} to {new}",
            )
            text = [new if token == old else token for token in text]
        # Change the text from its end, so that the positions of the remaining changes stay valid.
        for kind, start, end, new_start, new_end in reversed(_changes(text, after)):
            if kind == "replace" and (end - start, new_end - new_start) == (1, 1):
                yield text_ops.replace(self._path, start, text[start], after[new_start])
                continue
            for position in range(start, end):
                yield text_ops.delete(self._path, start, text[position])
            for number, token in enumerate(after[new_start:new_end]):
                yield text_ops.insert(self._path, start + number, token)


def _changes(before: list[str], after: list[str]) -> list[tuple[str, int, int, int, int]]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [change for change in matcher.get_opcodes() if change[0] != "equal"]


def _renames(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    """The renames: (old, new) words, if old becomes new in at least two places and occurs nowhere afterwards."""
    seen = Counter(
        (before[start], after[new_start])
        for kind, start, end, new_start, new_end in _changes(before, after)
        if kind == "replace" and (end - start, new_end - new_start) == (1, 1)
    )
    return [
        (old, new)
        for (old, new), places in seen.items()
        if places > 1 and old.isidentifier() and new.isidentifier() and old not in after and new not in before
    ]


def _swapped(word: str) -> str:
    """The word with two neighbouring letters swapped, as in a typing error."""
    middle = len(word) // 2
    return word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :] if len(word) > 3 else word
