"""docs/glossary.md: one word, one meaning."""

from __future__ import annotations

import re

from tests.docs.pages import page

GLOSSARY = page("docs/glossary.md")
TERMS = re.findall(r"^\*\*([^*]+)\*\*", GLOSSARY, re.MULTILINE)


def test_terms_are_sorted_and_defined_once() -> None:
    """A reader finds a word by its place in the alphabet, once."""
    assert sorted(set(TERMS), key=str.lower) == TERMS


def test_the_words_of_the_engine_are_defined() -> None:
    """Every word that names a file, a class or a step of the lifecycle has its entry."""
    words = {word.strip() for term in TERMS for word in term.split(",")}

    assert words >= {
        "append",
        "arrival order",
        "byte offset",
        "catch up",
        "checkpoint",
        "collapse",
        "cut",
        "damaged line",
        "domain",
        "entry",
        "Lamport timestamp",
        "log",
        "merge",
        "rebuild",
        "replay",
        "session",
        "sidecar index",
        "sync",
        "torn tail",
        "total order",
        "verify",
    }


def test_words_in_italics_that_are_terms_are_defined() -> None:
    """What the glossary itself points to in italics has an entry, or is defined where it stands."""
    for pointer in re.findall(r"Compare \*([^*]+)\*", GLOSSARY):
        assert pointer in TERMS
