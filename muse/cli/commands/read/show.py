"""The command `show`: show one op with its parents and children."""

from __future__ import annotations

import json
from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.moments import find_op
from muse.cli.options.session import json_option, note_damaged_lines, session_log
from muse.cli.output.failures import WrongUsage
from muse.cli.output.listing import FIELDS
from muse.cli.output.printing import is_narrow, note, print_fields, print_json, print_table, time_width
from muse.describing import ENTRY_COLUMNS, WHOLE_COLUMNS, description, entry_cells
from muse.escaping import escape_for_terminal

_RELATIVES_SHOWN = 20


@click.command(
    short_help="Show one op, its parents and children.",
    epilog="\b\nExamples: by the first letters of its op_id; only the operation, as JSON.\n"
    "  muse op-log show demo 9b2c7d51\n"
    "  muse op-log show demo 9b2c7d51 --json | jq .entry.domain_op",
)
@session_log
@click.argument("op_id")
@json_option("one object: entry, place, parents, missing_parents, children")
def show(log: engine.OpLog, op_id: str, *, as_json: bool) -> None:
    """Show the op of SESSION whose op_id is OP_ID or begins with OP_ID.

    Give at least 4 letters. No other op_id may begin with them.
    """
    try:
        entry = find_op(log, op_id.lower())
    except WrongUsage:
        # The op may have been in one of them.
        note_damaged_lines(log)
        raise
    place = log.locate(entry["op_id"])
    parents = log.history.parents(entry["op_id"])
    missing = log.history.missing_parents(entry["op_id"])
    children = log.history.children(entry["op_id"])
    where = None if place is None else {"byte_offset": place[0], "length": place[1]}
    if as_json:
        print_json(
            {"entry": entry, "place": where, "parents": parents, "missing_parents": missing, "children": children}
        )
        return
    _print_entry(entry, where)
    _print_relatives("PARENT", parents)
    for missing_id in missing:
        click.echo(f"parent {escape_for_terminal(missing_id)} is not in this log")
    _print_relatives("CHILD", children)
    if not children:
        note("no op depends on it yet")


def _print_entry(entry: engine.OpEntry, where: dict[str, int] | None) -> None:
    kind, address, what = description(entry["domain_op"])
    rows = [
        ("op_id", entry["op_id"]),
        ("actor", entry["actor_id"]),
        ("domain", entry["domain"]),
        ("lamport", str(entry["lamport_ts"])),
        ("made", entry["created_at"]),
        ("intent", entry["intent_id"]),
        ("reservation", entry["reservation_id"]),
        ("in file", f"byte {where['byte_offset']}, {where['length']} bytes" if where else ""),
        ("op", "  ".join(part for part in (kind, address, what) if part)),
        *((name, _as_json(value)) for name, value in entry.items() if name not in FIELDS),
    ]
    print_fields((name, value) for name, value in rows if value)
    click.echo(escape_for_terminal(_as_json(entry["domain_op"], indent=2), keep="\n"))


def _as_json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _print_relatives(what: str, entries: list[engine.OpEntry]) -> None:
    if not entries:
        return
    click.echo()
    # Where there is no room for an op_id, its beginning is what `show` takes too.
    digits = 8 if is_narrow() else None
    rows = ((entry["op_id"][:digits], *entry_cells(entry, time_width())) for entry in entries[:_RELATIVES_SHOWN])
    print_table((what, *ENTRY_COLUMNS), rows, whole=(what, *WHOLE_COLUMNS))
    if len(entries) > _RELATIVES_SHOWN:
        click.echo(f"and {len(entries) - _RELATIVES_SHOWN:,} more; --json shows them")
