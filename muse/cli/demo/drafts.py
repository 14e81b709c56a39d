"""How some of this project's own functions were written, as the edits by which people typed them.

A drafts file holds the drafts of functions, made for the demo; the last draft of each is not in the
file but is the function as it stands in the project. The format, where a line that begins with "==="
ends what was before it, and lines before the first one are comments:

    === PATH by NAME [apart]        whose text follows, and in which source file it goes
    === draft [reading NAME]        the whole text of a draft; NAME's latest edit is read before it
    === final MODULE:FUNCTION       the draft that is in the project

The first draft is typed token by token, with slips that are put right at once. Each further one is
reached by the edits that turn the text before it into it: a rename is one patch, the rest goes token
by token.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from importlib import import_module
from importlib.resources import files
from itertools import zip_longest

from muse.cli.demo.trace import Edit
from muse.domain import DeleteOp, DomainOp, InsertOp, PatchOp, ReplaceOp

DOMAIN = "code"

_TOKEN = re.compile(r"\n[ ]*|[ ]+|\w+|.")
_SLIP_EVERY_WORDS = 13
"""How many words are typed from one slip to the next."""


@dataclass(slots=True)
class Draft:
    """One version of a text; `reading` names who is read before it is written, "" for nobody."""

    text: str
    reading: str = ""


@dataclass(slots=True)
class Writing:
    """The drafts of one function, by one author."""

    path: str
    author: str
    apart: bool
    drafts: list[Draft] = field(default_factory=list)


def project_drafts() -> list[Writing]:
    """The drafts that ship with the demo."""
    material = files("muse.cli.demo") / "material" / "project.drafts"
    return parsed(material.read_text("utf-8"))


def parsed(text: str) -> list[Writing]:
    """The drafts that the text describes, the final ones fetched from the project.

    Raises:
        ValueError: a "===" line is not of the format; names it.
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
    """The edits by which the drafts are typed: those of the session, or of whoever works apart.

    An author writes one function after the other. All authors' first drafts come first, then all
    second ones, so that "reading NAME" finds something to read.
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
    """Words, spaces, line breaks with the indent after them, and single other characters."""
    return _TOKEN.findall(text)


def _ops(path: str, before: str, after: str) -> Iterator[DomainOp]:
    ops = _Ops(path)
    return ops.typing(tokens(after)) if not before else ops.turning(tokens(before), tokens(after))


class _Ops:
    """Makes operations on the tokens of one text; a position counts tokens from its start."""

    def __init__(self, path: str) -> None:
        self._path = path

    def typing(self, text: list[str]) -> Iterator[DomainOp]:
        words = 0
        for position, token in enumerate(text):
            words += token.isidentifier()
            slip = _swapped(token)
            if slip != token and words % _SLIP_EVERY_WORDS == 0:
                yield self._insert(position, slip)
                yield self._replace(position, slip, token)
            else:
                yield self._insert(position, token)

    def turning(self, before: list[str], after: list[str]) -> Iterator[DomainOp]:
        text = list(before)
        for old, new in _renames(before, after):
            places = [position for position, token in enumerate(text) if token == old]
            yield PatchOp(
                op="patch",
                address=self._path,
                child_ops=[self._replace(position, old, new) for position in places],
                child_domain="code.tokens",
                child_summary=f"rename {old} to {new}",
            )
            text = [new if token == old else token for token in text]
        # From the end, so that the positions of what is still to be changed stay right.
        for kind, start, end, new_start, new_end in reversed(_changes(text, after)):
            if kind == "replace" and (end - start, new_end - new_start) == (1, 1):
                yield self._replace(start, text[start], after[new_start])
                continue
            for position in range(start, end):
                yield self._delete(start, text[position])
            for number, token in enumerate(after[new_start:new_end]):
                yield self._insert(start + number, token)

    def _insert(self, position: int, token: str) -> InsertOp:
        return InsertOp(
            op="insert",
            address=self._path,
            position=position,
            content_id=_content_id(token),
            content_summary=token,
        )

    def _delete(self, position: int, token: str) -> DeleteOp:
        return DeleteOp(
            op="delete",
            address=self._path,
            position=position,
            content_id=_content_id(token),
            content_summary=token,
        )

    def _replace(self, position: int, old: str, new: str) -> ReplaceOp:
        return ReplaceOp(
            op="replace",
            address=self._path,
            position=position,
            old_content_id=_content_id(old),
            new_content_id=_content_id(new),
            old_summary=old,
            new_summary=new,
        )


def _changes(before: list[str], after: list[str]) -> list[tuple[str, int, int, int, int]]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [change for change in matcher.get_opcodes() if change[0] != "equal"]


def _renames(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    """The words that give way to one new word in at least two places, and stay nowhere."""
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
    """The word with two letters in the wrong order, as fingers do it."""
    middle = len(word) // 2
    return word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :] if len(word) > 3 else word


def _content_id(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
