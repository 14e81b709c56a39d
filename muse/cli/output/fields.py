"""The fields of an entry, and the option that names some: `actor_id`, `domain_op.address`, `parent_op_ids.0`."""

from __future__ import annotations

from typing import Final

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
