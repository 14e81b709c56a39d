"""The colours of the report: seen on their ground, and told apart by any eye."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from muse.report.palette import DARK, LIGHT

DOMAINS = ("d0", "d1", "d2", "d3", "d4", "d5", "shared")
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])

# What is left of linear red, green and blue to who lacks one kind of cones: Machado, Oliveira and Fernandes 2009.
SIGHT = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def linear(colour: str) -> list[float]:
    """Linear red, green and blue of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    shades = [sum(map(lambda part, weight: part * weight, linear(x), (0.2126, 0.7152, 0.0722))) for x in (one, other)]
    return (max(shades) + 0.05) / (min(shades) + 0.05)


def oklab(colour: str, sight: str) -> tuple[float, float, float]:
    """Where a colour lies in Oklab, to who sees it so."""
    red, green, blue = (
        max(0.0, sum(map(lambda weight, part: weight * part, row, linear(colour)))) for row in SIGHT[sight]
    )
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@THEMES
@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_domains_differ_for_any_eye(theme: Mapping[str, str], sight: str) -> None:
    """No two colours of domains lie nearer in Oklab than 0.08, some four times what is just seen side by side."""
    for one, other in itertools.combinations(DOMAINS, 2):
        places = oklab(theme[one], sight), oklab(theme[other], sight)
        distance = sum((a - b) ** 2 for a, b in zip(*places, strict=True)) ** 0.5
        assert distance > 0.08, (one, other)


@THEMES
def test_marks_stand_out_and_text_can_be_read(theme: Mapping[str, str]) -> None:
    """3:1 for marks, 4.5:1 for text, on every ground they lie on, as WCAG 2 asks."""
    for name in (*DOMAINS, "mark", "focus", "link"):
        assert contrast(theme[name], theme["card"]) >= 3, name
    for name, ground in itertools.product(("ink", "soft", "mark", "good", "focus"), ("card", "page", "stripe")):
        assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)


def test_both_themes_have_the_same_colours() -> None:
    """No colour is missing in one of them."""
    assert set(LIGHT) == set(DARK)
