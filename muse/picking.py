"""Picking a value out of JSON by its path: `address`, `domain_op.address`, `parent_op_ids.0`."""

from __future__ import annotations

from typing import Any, Final


class _Missing:
    """The value of a field that is not there."""


MISSING: Final = _Missing()


def pick(value: Any, path: str) -> Any:
    """The value at `path`, or `MISSING` if there is none.

    A dot separates a key of an object, or an index of a list, from the path inside it. A key that contains a dot
    itself takes precedence.
    """
    if isinstance(value, dict) and path in value:
        return value[path]
    head, dot, rest = path.partition(".")
    while dot:
        inner = _step(value, head)
        if inner is not MISSING and (found := pick(inner, rest)) is not MISSING:
            return found
        further, dot, rest = rest.partition(".")
        head = f"{head}.{further}"
    return _step(value, path)


def _step(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key, MISSING)
    if isinstance(value, list) and is_list_index(key) and int(key) < len(value):
        return value[int(key)]
    return MISSING


def is_list_index(key: str) -> bool:
    """Whether a part of a path may be an index of a list: digits, and few enough."""
    return key.isascii() and key.isdigit() and len(key) < 10
