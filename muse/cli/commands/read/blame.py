"""The commands `blame` and `conflicts`: who touched a value, and which values were touched without knowing of it."""

from __future__ import annotations

from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.filters import json_or_text
from muse.cli.options.session import json_option, note_damaged_lines, session_log
from muse.cli.output.printing import json_text, note, pluralize, print_json, print_table, shown, tally, time_width
from muse.describing import ENTRY_COLUMNS, WHOLE_COLUMNS, entry_cells, utc

field_option = click.option(
    "--field",
    metavar="PATH",
    default="address",
    show_default=True,
    help="The field of the operation that says what was touched.",
)


@click.command(
    short_help="Show who touched an address, last first.",
    epilog="\b\nExamples: who touched a bar; the last of them, for a program.\n"
    "  muse op-log blame demo bar:17\n"
    "  muse op-log blame demo bar:17 --json | jq -r '.actors[0].actor_id'",
)
@session_log
@click.argument("address")
@field_option
@json_option("one object: field, value, actors, each with its first and last op")
def blame(log: engine.OpLog, address: str, field: str, *, as_json: bool) -> None:
    """Show who touched ADDRESS in SESSION: the last one first, how often, when and how.

    ADDRESS is compared exactly. If it is JSON, such as 17, it is taken as JSON, else as text. FIRST and LAST are
    the times of the ops with the lowest and the highest Lamport timestamp.
    """
    from muse import blame as blaming

    value = json_or_text(address)
    actors = blaming.blame(log, value, field=field)
    note_damaged_lines(log)
    if as_json:
        print_json({"field": field, "value": value, "actors": [touched.to_dict() for touched in actors]})
        return
    width = time_width()
    rows = (
        (
            touched.actor_id,
            touched.ops,
            utc(touched.first["created_at"], width),
            utc(touched.last["created_at"], width),
            touched.last["op_id"][:8],
            tally(touched.kinds),
        )
        for touched in actors
    )
    print_table(
        ("ACTOR", "OPS", "FIRST", "LAST", "LAST OP", "KINDS"), rows, right=("OPS",), whole=("FIRST", "LAST", "LAST OP")
    )
    ops = sum(touched.ops for touched in actors)
    note(
        f"{pluralize(ops, 'op')} by {pluralize(len(actors), 'actor')}" if ops else shown(f"no op has {field}={address}")
    )


@click.command(
    short_help="Show what was touched at once.",
    epilog="\b\nExamples: the addresses; the ops in question on one of them.\n"
    "  muse op-log conflicts demo\n"
    "  muse op-log conflicts demo --address bar:17",
)
@session_log
@click.option("--address", metavar="ADDRESS", help="Show the ops in question on this one alone.")
@field_option
@json_option("one line for each address: value, op_ids, actors")
def conflicts(log: engine.OpLog, address: str | None, field: str, *, as_json: bool) -> None:
    """Show the addresses of SESSION that ops touched of which neither knew the other: one may have undone the other.

    An op knows its parents, what its actor did before it, and all that these know. The address with most such ops comes
    first. The whole log is read.
    """
    found = list(log.history.contested(field))
    note_damaged_lines(log)
    if address is not None:
        wanted = engine.same_value_text(json_or_text(address))
        found = [each for each in found if engine.same_value_text(each.value) == wanted]
    if as_json:
        print_json(*map(_as_json, found))
        return
    if address is None:
        rows = ((_text(each.value), len(each.entries), ", ".join(_actors(each))) for each in found)
        print_table((field.upper(), "OPS", "ACTORS"), rows, right=("OPS",))
    else:
        entries = (entry_cells(entry, time_width()) for each in found for entry in each.entries)
        print_table(ENTRY_COLUMNS, entries, right=("LAMPORT",), whole=WHOLE_COLUMNS)
    note(f"{pluralize(len(found), 'value')} of {field} touched by ops that did not know of each other")


def _as_json(contested: engine.Contested) -> dict[str, Any]:
    op_ids = [entry["op_id"] for entry in contested.entries]
    return {"value": contested.value, "op_ids": op_ids, "actors": _actors(contested)}


def _actors(contested: engine.Contested) -> list[str]:
    return list(dict.fromkeys(entry["actor_id"] for entry in contested.entries))


def _text(value: Any) -> str:
    # As JSON, so that it can be given to --address.
    return value if isinstance(value, str) else json_text(value)
