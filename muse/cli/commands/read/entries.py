"""Commands that read entries: `replay`, `query`, `count`."""

from __future__ import annotations

from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.filters import filter_options, note_unmatched
from muse.cli.options.moments import bounds, moment_options
from muse.cli.options.session import json_option, note_damaged_lines, session_log
from muse.cli.output.listing import Listing, listing_options
from muse.cli.output.printing import note, pluralize, print_json


@click.command(
    short_help="Show the entries not committed yet.",
    epilog="\b\nExample: the operations that are not committed yet.\n  muse op-log replay demo --json | jq .domain_op",
)
@session_log
@listing_options
def replay(log: engine.OpLog, *, listing: Listing) -> None:
    """Show the entries that arrived in SESSION since its last checkpoint, in arrival order."""
    mark = log.read_checkpoint()
    listing.print(log.query(since_checkpoint=True))
    since = "no checkpoint yet" if mark is None else f"since checkpoint {mark['snapshot_id']!r}"
    note(f"{pluralize(listing.count, 'entry')} pending ({since})")
    listing.note_unknown_fields()
    note_damaged_lines(log, since_checkpoint=True)


@click.command(
    short_help="Show the entries that match.",
    epilog="\b\n"
    "Examples: ada's last twenty edits of the code; others' edits of app.py; all, for a spreadsheet.\n"
    "  muse op-log query demo --actor ada --domain code --reverse --limit 20\n"
    "  muse op-log query demo --not-actor ada --where address=app.py\n"
    "  muse op-log query demo --format csv --fields created_at,actor_id,domain_op.address\n"
    "What had happened by lunch.\n"
    "  muse op-log query demo --upto 2026-05-03T12:00+02:00",
)
@session_log
@filter_options
@moment_options
@click.option("--reverse", is_flag=True, help="Show the latest arrivals first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show at most N entries.")
@listing_options
def query(
    log: engine.OpLog,
    *,
    filters: dict[str, Any],
    moments: dict[str, str | None],
    reverse: bool,
    limit: int | None,
    listing: Listing,
) -> None:
    """Show the entries of SESSION that match all given options, in arrival order."""
    listing.print(log.query(**filters, **bounds(log, moments), reverse=reverse, limit=limit))
    note(pluralize(listing.count, "entry"))
    listing.note_unknown_fields()
    if not listing.count:
        note_unmatched(log, filters)
    note_damaged_lines(log, since_checkpoint=filters["since_checkpoint"])


@click.command(
    short_help="Count the entries that match.",
    epilog="\b\nExample: how much of ada's work is not committed yet.\n"
    "  muse op-log count demo --actor ada --since-checkpoint",
)
@session_log
@filter_options
@moment_options
@json_option("one object with the number")
def count(log: engine.OpLog, *, filters: dict[str, Any], moments: dict[str, str | None], as_json: bool) -> None:
    """Count the entries of SESSION that match all given options. The index answers; only --where reads."""
    number = log.count(**filters, **bounds(log, moments))
    if as_json:
        print_json({"session_id": log.session_id, "count": number})
    else:
        click.echo(number)
    if not number:
        note_unmatched(log, filters)
    note_damaged_lines(log, since_checkpoint=filters["since_checkpoint"])
