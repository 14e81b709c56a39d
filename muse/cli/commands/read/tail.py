"""The command `tail`: show the last entries, then new entries as they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.filters import filter_options, note_unmatched
from muse.cli.options.session import note_damaged_lines, note_passed_over, open_session, repo_option, session_argument
from muse.cli.output.failures import WrongUsage, sigterm_like_ctrl_c
from muse.cli.output.listing import Listing, listing_options
from muse.cli.output.printing import note
from muse.cli.output.streams import end_if_output_is_lost

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
