"""The light and dark colours of the report, used by both the page and the picture.

The domain colours were found by a search. Any two can be told apart with each kind of colour blindness (no red, green
or blue cones), and each has a contrast of at least 3:1 to the background. tests/report/test_palette.py checks both.
Domains also differ by shape (`SHAPES`).
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "page": "#f5f6f8",
    "card": "#ffffff",
    "ink": "#16191d",
    "soft": "#555d68",
    "line": "#dde1e6",
    "stripe": "#f6f7f9",
    "link": "#59616c",
    "mark": "#b3261e",
    "good": "#0b6b3a",
    "focus": "#0054f1",
    "d0": "#0054f1",
    "d1": "#ff4c69",
    "d2": "#15a09a",
    "d3": "#9c08a8",
    "d4": "#638b03",
    "d5": "#3d2f6b",
    "shared": "#555a61",
}
DARK: Mapping[str, str] = {
    "page": "#0e1013",
    "card": "#15181d",
    "ink": "#e8ebef",
    "soft": "#a3abb6",
    "line": "#2b3038",
    "stripe": "#1a1e24",
    "link": "#98a1ad",
    "mark": "#ff8078",
    "good": "#5fd394",
    "focus": "#4acbff",
    "d0": "#4acbff",
    "d1": "#ff8400",
    "d2": "#0cc065",
    "d3": "#e083b5",
    "d4": "#f2dc5d",
    "d5": "#a378ef",
    "shared": "#787d84",
}
SHAPES = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "m-3.6-3.6h7.2v7.2h-7.2z",
    "m0-4.8l4.6 8.2h-9.2z",
    "m0-5.2l5.2 5.2-5.2 5.2-5.2-5.2z",
    "m0 4.8l4.6-8.2h-9.2z",
    "m-2-4.8h4l2.8 4.8-2.8 4.8h-4l-2.8-4.8z",
)
"""For each of the `MAX_DOMAINS` places of domains, the shape of its marks, as an SVG path from their middle."""


def colour_name(place: int, own: int) -> str:
    """The name of the colour of the domain at this place, if `own` domains have their own colour."""
    return f"d{place}" if place < own else "shared"


def style_variables() -> str:
    """The colours as CSS variables: by the reader's preference, unless `data-theme` is set on the root element."""
    light, dark = _variables(LIGHT), _variables(DARK)
    return (
        f":root{{color-scheme:light;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}\n"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())
