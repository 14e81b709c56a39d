"""Commands that read entries: `replay`, `query`, `count`, and `tail`, which goes on with what arrives."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.filters import filter_options, note_unmatched
from muse.cli.options.moments import bounds, moment_options
from muse.cli.options.session import (
    json_option,
    note_damaged_lines,
    note_passed_over,
    open_session,
    repo_option,
    session_argument,
    session_log,
)
from muse.cli.output.failures import WrongUsage, sigterm_like_ctrl_c
from muse.cli.output.listing import Listing, listing_options
from muse.cli.output.printing import note, pluralize, print_json
from muse.cli.output.streams import end_if_output_is_lost


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


_LOOK_AT_READER_S = 1.0


@click.command(
    short_help="Show the last entries and follow new ones.",
    epilog="\b\n"
    "Examples: follow a session; follow ada's edits of the code, as input of a program.\n"
    "  muse op-log tail demo -f\n"
    "  muse op-log tail demo -n 0 -f --actor ada --domain code --json | jq .domain_op",
)
@session_argument
@click.option(
    "-n",
    "--lines",
    "number",
    type=click.IntRange(min=0),
    metavar="N",
    default=10,
    show_default=True,
    help="Show the last N entries.",
)
@click.option("-f", "--follow", is_flag=True, help="Then show new entries as they arrive, until Ctrl-C.")
@click.option("--wait", is_flag=True, help="With --follow: if SESSION does not exist yet, wait for it.")
@filter_options
@listing_options
@repo_option
def tail(
    session: str, repo: Path, *, number: int, follow: bool, wait: bool, filters: dict[str, Any], listing: Listing
) -> None:
    """Show the last entries of SESSION that match all given options, in arrival order.

    With --follow it then shows the entries that any process appends, each one at once, even if the index is damaged
    or rebuilt meanwhile. Ctrl-C ends it with exit code 130, SIGTERM with 143. If the reader of its output goes away,
    it ends with 0.
    """
    if wait and not follow:
        raise WrongUsage("--wait is of use with --follow only")
    open_log = engine.OpLog if wait else open_session
    with sigterm_like_ctrl_c(), open_log(repo, session) as log:
        if not follow:
            listing.print(reversed(list(log.query(**filters, reverse=True, limit=number))))
            listing.note_unknown_fields()
            if not listing.count and number:
                note_unmatched(log, filters)
            note_damaged_lines(log, since_checkpoint=filters["since_checkpoint"])
            return
        cut = log.cut()
        last = list(log.query(**filters, reverse=True, limit=number))[::-1]
        # Continue after the last entry shown, so that no entry is left out or shown twice. If none was found,
        # continue from the cut taken before the search.
        since = last[-1]["op_id"] if last else cut
        filters.pop("since_checkpoint")
        waiting = "" if log.exists() else ", which does not exist yet"
        note(f"following session {session!r}{waiting}: Ctrl-C ends it")
        note_damaged_lines(log)
        listing.print(chain(last, _arriving(log, repo, since, cut, filters)), existing=len(last))


def _arriving(
    log: engine.OpLog, repo: Path, since: engine.Cut | str, told: engine.Cut, filters: dict[str, Any]
) -> Iterator[engine.OpEntry]:
    """Entries that arrive after `since`, for as long as standard output has a reader.

    Damaged lines that arrive after the cut `told` are told of as soon as nothing else arrives.
    """
    while True:
        follower = log.follow(since=since, timeout=_LOOK_AT_READER_S, **filters)
        yield from follower
        since = follower.cut()
        note_passed_over(len(log.damaged_lines(told, since)), log.session_id, repo)
        told = since
        end_if_output_is_lost()
