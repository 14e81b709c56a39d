"""The command `sessions`: list all sessions of the repository, from their indexes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.options.session import json_option, note_passed_over, repo_option
from muse.cli.output.failures import FOUND_DAMAGE, IO_FAILED, exit_with
from muse.cli.output.printing import (
    is_narrow,
    note,
    pace,
    pluralize,
    print_json,
    print_table,
    short_commit,
    tally,
    time_width,
)
from muse.describing import utc

_SORT_KEYS: dict[str, Callable[[engine.SessionSummary], Any]] = {
    "session": lambda summary: summary.session_id,
    "ops": lambda summary: summary.ops,
    "pending": lambda summary: summary.pending,
    "rate": lambda summary: summary.ops_per_minute,
    "actors": lambda summary: len(summary.actors),
    "domains": lambda summary: len(summary.domains),
    "size": lambda summary: summary.size_bytes,
    "active": lambda summary: engine.parse_time(summary.last_created_at or ""),
    "checkpoint": lambda summary: summary.checkpoint and summary.checkpoint["created_at"],
}


@click.command(
    short_help="List the sessions.",
    epilog="\b\nExamples: the ten sessions with the most pending ops; the ids of all sessions.\n"
    "  muse op-log sessions --sort pending --reverse --limit 10\n"
    "  muse op-log sessions --json | jq -r '.sessions[].session_id'",
)
@click.option(
    "--sort",
    "column",
    type=click.Choice(list(_SORT_KEYS)),
    help="Sort by this column, the smallest first; unknown values come last. Default: the last active first.",
)
@click.option("--reverse", is_flag=True, help="Sort the other way round.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show at most N sessions.")
@json_option('one object, {"sessions": [...]}')
@repo_option
def sessions(repo: Path, *, column: str | None, reverse: bool, limit: int | None, as_json: bool) -> None:
    """List the sessions of the repository, with their counts and checkpoints.

    ACTIVE is when the last entry was made, by its created_at. OPS/MIN is the rate of the last 100 entries; "-" if
    they are too few in too short a time. --sort checkpoint sorts by the time of the checkpoint. Below 120 columns a
    terminal shows how many actors and domains there are instead of their names, and the last columns if there is room.

    A session with a damaged checkpoint is marked, and the command ends with exit code 1; one that can't be read does
    not hide the others, and it ends with 3.
    """
    known = engine.describe_sessions(repo)
    summaries = _sorted(known, column or "active", reverse=reverse != (column is None))[:limit]
    if as_json:
        print_json({"sessions": [summary.to_dict() for summary in summaries]})
    else:
        columns = ("SESSION", "OPS", "PENDING", "ACTIVE (UTC)", "CHECKPOINT", "ACTORS", "DOMAINS")
        numbers = ("OPS/MIN", "BYTES", "LAMPORT")
        names = ("ACTORS", "DOMAINS") if is_narrow() else ()
        rows = (_row(summary, repo) for summary in summaries)
        print_table((*columns, *numbers), rows, right=("OPS", "PENDING", *names, *numbers), whole=("ACTIVE (UTC)",))
    more = f"; {len(known) - len(summaries):,} more not shown" if len(summaries) < len(known) else ""
    note(f"{pluralize(len(known), 'session')} in {repo}{more}")
    for summary in summaries:
        note_passed_over(summary.damaged_lines, summary.session_id, repo)
    troubled = [summary for summary in summaries if summary.problem]
    for summary in troubled:
        note(f"session {summary.session_id!r}: {summary.problem}")
    if any(_is_unreadable(summary, repo) for summary in troubled):
        exit_with(IO_FAILED)
    exit_with(FOUND_DAMAGE if troubled else 0)


def _is_unreadable(summary: engine.SessionSummary, repo: Path) -> bool:
    """Whether there is a log of which nothing is known, since the system refused to read it."""
    if summary.problem is None or summary.modified_at is not None:
        return False
    try:
        with engine.OpLog(repo, summary.session_id) as log:
            return log.exists()
    except engine.MuseError:
        return False
    except OSError:
        return True


def _sorted(summaries: list[engine.SessionSummary], column: str, *, reverse: bool) -> list[engine.SessionSummary]:
    key = _SORT_KEYS[column]
    known = [summary for summary in summaries if key(summary) is not None]
    unknown = [summary for summary in summaries if key(summary) is None]
    return sorted(known, key=key, reverse=reverse) + unknown


def _row(summary: engine.SessionSummary, repo: Path) -> tuple[object, ...]:
    if _is_unreadable(summary, repo):
        return (summary.session_id, "?", "?", "-", "can't be read", "", "", "-", "?", "?")
    mark = summary.checkpoint
    return (
        summary.session_id,
        summary.ops,
        "?" if summary.pending is None else summary.pending,
        utc(summary.last_created_at or "", time_width()),
        "damaged"
        if summary.problem and mark is None
        else "none"
        if mark is None
        else short_commit(mark["snapshot_id"]),
        *(len(names) if is_narrow() else tally(names) for names in (summary.actors, summary.domains)),
        pace(summary.ops_per_minute),
        summary.size_bytes,
        summary.max_lamport_ts,
    )
