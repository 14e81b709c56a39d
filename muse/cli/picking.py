"""Picking fields of an entry by name: `actor_id`, `domain_op.address`, `parent_op_ids.0`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

FIELDS: Final = (
    "op_id",
    "actor_id",
    "lamport_ts",
    "parent_op_ids",
    "domain",
    "domain_op",
    "created_at",
    "intent_id",
    "reservation_id",
)
"""The nine fields of an entry, in the order of the format."""


class _Missing:
    """The value of a field that an entry does not have."""


MISSING: Final = _Missing()


def pick(value: Any, path: str) -> Any:
    """Return the value at `path`, or `MISSING` if there is none.

    A dot separates a key of an object, or an index of a list, from the path inside it. A key that contains a dot
    itself takes precedence.
    """
    if isinstance(value, Mapping) and path in value:
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
    if isinstance(value, Mapping):
        return value.get(key, MISSING)
    if isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(value):
        return value[int(key)]
    return MISSING


def field_names(_context: click.Context, _parameter: click.Parameter, given: str | None) -> tuple[str, ...] | None:
    """Split an option's value at its commas into field names; None if the option was not given.

    Raises:
        BadParameter: there is no name, or one is empty or repeated.
    """
    if given is None:
        return None
    if not given.strip():
        raise click.BadParameter("no field is named: write them like actor_id,domain_op.address")
    names = tuple(name.strip() for name in given.split(","))
    if not all(names):
        raise click.BadParameter("a field name is empty: write them like actor_id,domain_op.address")
    if len(set(names)) < len(names):
        raise click.BadParameter("a field is given twice")
    return names
