"""The filter options that all commands which select entries share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from muse.cli.completing import complete_actors, complete_domains

# The largest timestamp of the format, repeated here so that --help does not import the engine.
_LAMPORT = click.IntRange(0, 2**53 - 1)

_OPTIONS = {
    "actor_id": click.option(
        "--actor",
        "actor_id",
        metavar="NAME",
        shell_complete=complete_actors,
        help="Only entries of this actor.",
    ),
    "domain": click.option(
        "--domain", metavar="NAME", shell_complete=complete_domains, help="Only entries of this domain."
    ),
    "intent_id": click.option("--intent", "intent_id", metavar="ID", help="Only entries linked to this intent."),
    "reservation_id": click.option(
        "--reservation", "reservation_id", metavar="ID", help="Only entries linked to this reservation."
    ),
    "min_lamport_ts": click.option(
        "--min-lamport",
        "min_lamport_ts",
        type=_LAMPORT,
        metavar="N",
        help="Only entries with a Lamport timestamp of N or more.",
    ),
    "max_lamport_ts": click.option(
        "--max-lamport",
        "max_lamport_ts",
        type=_LAMPORT,
        metavar="N",
        help="Only entries with a Lamport timestamp of N or less.",
    ),
    "since_checkpoint": click.option(
        "--since-checkpoint", is_flag=True, help="Only entries that arrived after the last checkpoint."
    ),
}


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filters; the command receives them as `filters`, the keyword arguments of `OpLog.query`."""

    @wraps(command)
    def gathered(*arguments: Any, **options: Any) -> Any:
        filters = {name: options.pop(name) for name in _OPTIONS}
        return command(*arguments, filters=filters, **options)

    for option in reversed(_OPTIONS.values()):
        gathered = option(gathered)
    return gathered
