"""The filter options that all commands which select entries share."""

# ruff: noqa: PLC0415 - difflib is imported only when used, so that --help is fast

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from muse.cli.completing import complete_actors, complete_domains
from muse.cli.failures import WrongUsage
from muse.cli.output import note, shown

if TYPE_CHECKING:
    from muse.core.op_log import OpLog

_NAMES_COMPARED = 1000
_LONGEST_COMPARED = 100
_NEAREST = 5

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
        lowest, highest = filters["min_lamport_ts"], filters["max_lamport_ts"]
        if lowest is not None and highest is not None and lowest > highest:
            raise WrongUsage(f"--min-lamport {lowest} is above --max-lamport {highest}: no entry can match both")
        return command(*arguments, filters=filters, **options)

    for option in reversed(_OPTIONS.values()):
        gathered = option(gathered)
    return gathered


def note_unknown_names(log: OpLog, filters: dict[str, Any]) -> None:
    """Where nothing was found: for an actor or domain that no entry has, print a note with the nearest there are."""
    for option, role, names in (("actor_id", "actor", log.actors), ("domain", "domain", log.domains)):
        wanted = filters[option]
        if wanted is not None and wanted not in (known := names()):
            there = ", ".join(map(shown, nearest(wanted, known)))
            note(shown(f"no entry has the {role} {wanted!r}") + (f"; the nearest: {there}" if there else ""))


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """A few of the names, those most like `wanted` first. Of very many only the first are looked at."""
    from difflib import get_close_matches

    compared = {name[:_LONGEST_COMPARED]: name for name in islice(names, _NAMES_COMPARED)}
    return [compared[name] for name in get_close_matches(wanted[:_LONGEST_COMPARED], compared, _NEAREST, cutoff=0)]
