"""The command `tail`: the last entries, and then what arrives, from any process."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muse.cli.filters import filter_options
from muse.cli.listing import Listing, listing_options
from muse.cli.output import note
from muse.cli.repo import open_session, repo_option, session_argument

if TYPE_CHECKING:
    from muse.core.op_log import Cut, OpEntry, OpLog

_LOOK_AT_READER_S = 1.0


@click.command(
    short_help="Show the last entries, and what arrives.",
    epilog="\b\n"
    "Examples: what is going on now; what ada does to the code, for a program.\n"
    "  muse op-log tail demo -f\n"
    "  muse op-log tail demo -n 0 -f --actor ada --domain code --json | jq .domain_op",
)
@session_argument
@click.option(
    "-n", "--lines", "number", type=click.IntRange(min=0), default=10, show_default=True, help="The last N entries."
)
@click.option("-f", "--follow", is_flag=True, help="Then show each entry as it arrives, until Ctrl-C.")
@filter_options
@listing_options
@repo_option
def tail(session: str, repo: Path, *, number: int, follow: bool, filters: dict[str, Any], listing: Listing) -> None:
    """Show the last entries of SESSION that fit every option given, in arrival order.

    With --follow it goes on with what arrives from any process, each line sent as it comes, whatever
    befalls the index meanwhile. Ctrl-C ends it with exit code 130, a reader that went away with 0.
    """
    with open_session(repo, session) as log:
        if not follow:
            listing.print(reversed(list(log.query(**filters, reverse=True, limit=number))))
            listing.note_unknown_fields()
            return
        cut = log.cut()
        last = list(log.query(**filters, reverse=True, limit=number))[::-1]
        # On from the last one shown, so that nothing is left out and nothing shown twice; where none was found,
        # from before the search.
        since = last[-1]["op_id"] if last else cut
        filters.pop("since_checkpoint")
        note(f"following session {session!r}: Ctrl-C ends it")
        listing.print(chain(last, _arriving(log, since, filters)), there=len(last))


def _arriving(log: OpLog, since: Cut | str, filters: dict[str, Any]) -> Iterator[OpEntry]:
    """What arrives after a place, for as long as there is somebody to read it."""
    while True:
        follower = log.follow(since=since, timeout=_LOOK_AT_READER_S, **filters)
        yield from follower
        since = follower.cut()
        if _reader_is_gone():
            raise BrokenPipeError


def _reader_is_gone() -> bool:
    """Whether standard output leads nowhere any more, which a write that never comes would not tell."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return False
