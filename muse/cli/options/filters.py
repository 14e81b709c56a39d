"""The filter options that all commands which select entries share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.completing import complete_actors, complete_domains
from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import note, shown
from muse.cli.output.together import Decorator, together

_NAMES_COMPARED = 1000
_LONGEST_COMPARED = 100
_NEAREST = 5

# The largest timestamp of the format, repeated here so that --help does not import the engine.
_LAMPORT = click.IntRange(0, 2**53 - 1)


def _names(option: str, name: str, what: str, metavar: str = "NAME", **settings: Any) -> Decorator:
    # An option that was not given is no filter, where an empty collection would match nothing.
    return click.option(
        option,
        name,
        metavar=metavar,
        multiple=True,
        callback=lambda _context, _parameter, given: given or None,
        help=f"Only entries {what}. Repeatable.",
        **settings,
    )


_OPTIONS = (
    _names("--actor", "actor_id", "of this actor", shell_complete=complete_actors),
    _names("--not-actor", "not_actor_id", "of other actors", shell_complete=complete_actors),
    _names("--domain", "domain", "of this domain", shell_complete=complete_domains),
    _names("--not-domain", "not_domain", "of other domains", shell_complete=complete_domains),
    _names("--intent", "intent_id", "linked to this intent", "ID"),
    _names("--reservation", "reservation_id", "linked to this reservation", "ID"),
    click.option(
        "--where",
        metavar="PATH=VALUE",
        multiple=True,
        help="Only entries whose operation has this value at this path, such as address=app.py or fields.pitch.new=60. "
        "A value that is JSON is taken as JSON, any other as text. Repeatable: all must match.",
    ),
    click.option(
        "--min-lamport",
        "min_lamport_ts",
        type=_LAMPORT,
        metavar="N",
        help="Only entries with a Lamport timestamp of N or more.",
    ),
    click.option(
        "--max-lamport",
        "max_lamport_ts",
        type=_LAMPORT,
        metavar="N",
        help="Only entries with a Lamport timestamp of N or less.",
    ),
    click.option("--since-checkpoint", is_flag=True, help="Only entries that arrived after the last checkpoint."),
)


def _filters(**filters: Any) -> dict[str, Any]:
    filters["where"] = _conditions(filters["where"])
    lowest, highest = filters["min_lamport_ts"], filters["max_lamport_ts"]
    if lowest is not None and highest is not None and lowest > highest:
        raise WrongUsage(f"--min-lamport {lowest} is above --max-lamport {highest}: no entry can match both")
    return filters


filter_options = together("filters", _filters, *_OPTIONS)
"""The filters; the command receives them as `filters`, the keyword arguments of `OpLog.query`."""


def _conditions(given: Iterable[str]) -> dict[str, Any] | None:
    """What `--where` asks for, as `OpLog.query` takes it."""
    where: dict[str, Any] = {}
    for condition in given:
        path, equals, value = condition.partition("=")
        if not equals:
            raise WrongUsage(f"--where {condition}: must be PATH=VALUE, such as address=app.py")
        if path in where:
            raise WrongUsage(f"--where {path}=…: given twice, but an operation has one value there")
        where[path] = json_or_text(value)
    return where or None


def json_or_text(value: str) -> Any:
    """What a value of the command line stands for: JSON, or else the text itself; a `WrongUsage` if it is not UTF-8."""
    # By the strict reader of the log: what no line can hold as JSON, such as a huge integer, is text.
    try:
        found = engine.parse_object(b'{"value":%b}' % value.encode())
    except engine.InvalidEntryError:
        return value
    except UnicodeEncodeError:
        raise WrongUsage(f"{value}: must be text in UTF-8") from None
    return found["value"] if len(found) == 1 else value


def note_unmatched(log: engine.OpLog, filters: dict[str, Any]) -> None:
    """Where nothing was found: print a note for what may be a mistake.

    That is an actor or domain that no entry has, with the nearest there are, and JSON that may be meant as text.
    """
    for option, role, names in (("actor_id", "actor", log.actors), ("domain", "domain", log.domains)):
        for wanted in filters[option] or ():
            if wanted not in (known := names()):
                there = ", ".join(map(shown, nearest(wanted, known)))
                note(shown(f"no entry has the {role} {wanted!r}") + (f"; the nearest: {there}" if there else ""))
    for path, value in (filters["where"] or {}).items():
        if isinstance(value, (int, float, type(None))):
            text = json.dumps(value)
            note(shown(f"--where {path}={text} is JSON, not text: for the text write '{path}=\"{text}\"'"))


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """A few of the names, those most like `wanted` first. Of very many only the first are looked at."""
    from difflib import get_close_matches

    compared = {name[:_LONGEST_COMPARED]: name for name in islice(names, _NAMES_COMPARED)}
    return [compared[name] for name in get_close_matches(wanted[:_LONGEST_COMPARED], compared, _NEAREST, cutoff=0)]
