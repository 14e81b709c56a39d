"""The summary of a text, which stands in the log in its place."""

from __future__ import annotations

import pytest

from muse.ingest.draft import summary

TOKEN = "AKIAQ3EGRT4XYZ7BWJ5N"


@pytest.mark.parametrize("around", [("the key is ", " or so"), ('{"k":"', '"}'), ("postgres://ada:", "@db/shop")])
def test_what_is_cut_holds_no_part_of_a_word(around: tuple[str, str]) -> None:
    """Wherever a secret stands, it is in the summary whole, where a guard finds it, or not at all."""
    before, after = around
    for words in range(1, 80):
        shown = summary("x, " * words + before + TOKEN + after + " y" * 80)
        assert TOKEN in shown or TOKEN[:4] not in shown
        assert len(shown) <= 160


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        (" a\n\tb ", "a b"),
        ("a" + " " * 5000 + "b", "a b"),
        ("x" * 160, "x" * 160),
        ("x" * 161, "x" * 159 + "…"),
        ("表" * 200, "表" * 159 + "…"),
        ("word " * 40, "word " * 31 + "…"),
    ],
)
def test_it_is_the_beginning_on_one_line(text: str, shown: str) -> None:
    """Of at most 160 letters; a word that is very long, or of a script without spaces, is cut."""
    assert summary(text) == shown
