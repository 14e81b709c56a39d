"""Paths into JSON: where they lead."""

from __future__ import annotations

from typing import Any

import pytest

from muse.picking import MISSING, pick


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", {"b": [{"c": 1}], "d.e": 2, "": 3}),
        ("a.b.0.c", 1),
        ("a.d.e", 2),
        ("a.", 3),
        ("a.b.1", MISSING),
        ("a.b.-1", MISSING),
        ("a.b.c", MISSING),
        ("a.b.0.c.d", MISSING),
        ("x.y", 4),
        ("x.y.z", 5),
        ("n", None),
        ("n.m", MISSING),
        ("", MISSING),
    ],
)
def test_path_leads_to_what_stands_there(path: str, expected: Any) -> None:
    """Through objects by key and lists by number; a key may hold dots itself."""
    value = {"a": {"b": [{"c": 1}], "d.e": 2, "": 3}, "x.y": 4, "x": {"y.z": 5}, "n": None}

    assert pick(value, path) == expected
