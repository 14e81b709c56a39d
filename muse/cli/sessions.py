"""The command `sessions`: list all sessions of the repository, from their indexes."""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muse.cli.failures import FOUND_DAMAGE, IO_FAILED, exit_with
from muse.cli.output import note, pluralize, print_json, print_table, tally
from muse.cli.repo import json_option, note_passed_over, repo_option

if TYPE_CHECKING:
    from muse.core.op_log import SessionSummary

_SORT_KEYS: dict[str, Callable[[SessionSummary], Any]] = {
    "session": lambda summary: summary.session_id,
    "ops": lambda summary: summary.ops,
    "pending": lambda summary: summary.pending,
    "rate": lambda summary: summary.ops_per_minute,
    "actors": lambda summary: len(summary.actors),
    "domains": lambda summary: len(summary.domains),
    "size": lambda summary: summary.size_bytes,
    "active": lambda summary: summary.modified_at,
    "checkpoint": lambda summary: summary.checkpoint and summary.checkpoint["created_at"],
}


@click.command(
    short_help="List the sessions.",
    epilog="\b\nExamples: sessions with the most pending ops first; the ids of all sessions.\n"
    "  muse op-log sessions --sort pending --reverse\n"
    "  muse op-log sessions --json | jq -r '.sessions[].session_id'",
)
@click.option(
    "--sort",
    "column",
    type=click.Choice(list(_SORT_KEYS)),
    default="session",
    show_default=True,
    help="Sort by this column, the smallest first; unknown values come last.",
)
@click.option("--reverse", is_flag=True, help="Sort the largest first.")
@json_option('one object, {"sessions": [...]}')
@repo_option
def sessions(repo: Path, *, column: str, reverse: bool, as_json: bool) -> None:
    """List the sessions of the repository, with their counts and checkpoints.

    OPS/MIN is the rate of the last 100 entries, by their created_at. ACTIVE is the time of the last write to the
    log. --sort checkpoint sorts by the time of the checkpoint.

    A session with a damaged checkpoint is marked, and the command ends with exit code 1; one that can't be read does
    not hide the others, and it ends with 3.
    """
    from muse.core.op_log import describe_sessions

    summaries = _sorted(describe_sessions(repo), column, reverse=reverse)
    if as_json:
        print_json({"sessions": [summary.to_dict() for summary in summaries]})
    elif summaries:
        numbers = ("OPS", "PENDING", "OPS/MIN", "LAMPORT", "BYTES")
        columns = ("SESSION", *numbers, "ACTORS", "DOMAINS", "ACTIVE (UTC)", "CHECKPOINT")
        print_table(columns, (_row(summary, repo) for summary in summaries), right=numbers)
    note(f"{pluralize(len(summaries), 'session')} in {repo}")
    for summary in summaries:
        note_passed_over(summary.damaged_lines, summary.session_id, repo)
    troubled = [summary for summary in summaries if summary.problem]
    for summary in troubled:
        note(f"session {summary.session_id!r}: {summary.problem}")
    if any(_is_unreadable(summary, repo) for summary in troubled):
        exit_with(IO_FAILED)
    exit_with(FOUND_DAMAGE if troubled else 0)


def _is_unreadable(summary: SessionSummary, repo: Path) -> bool:
    """Whether there is a log of which nothing is known, since the system refused to read it."""
    from muse.core.op_log import MuseError, OpLog

    if summary.problem is None or summary.modified_at is not None:
        return False
    try:
        with OpLog(repo, summary.session_id) as log:
            return log.exists()
    except MuseError:
        return False
    except OSError:
        return True


def _sorted(summaries: list[SessionSummary], column: str, *, reverse: bool) -> list[SessionSummary]:
    key = _SORT_KEYS[column]
    known = [summary for summary in summaries if key(summary) is not None]
    unknown = [summary for summary in summaries if key(summary) is None]
    return sorted(known, key=key, reverse=reverse) + unknown


def _row(summary: SessionSummary, repo: Path) -> tuple[object, ...]:
    if _is_unreadable(summary, repo):
        return (summary.session_id, "?", "?", "-", "?", "?", "", "", "-", "can't be read")
    mark = summary.checkpoint
    return (
        summary.session_id,
        summary.ops,
        "?" if summary.pending is None else summary.pending,
        "-" if summary.ops_per_minute is None else f"{summary.ops_per_minute:,.1f}",
        summary.max_lamport_ts,
        summary.size_bytes,
        tally(summary.actors),
        tally(summary.domains),
        "-" if summary.modified_at is None else summary.modified_at[:19].replace("T", " "),
        "damaged" if summary.problem and mark is None else "none" if mark is None else mark["snapshot_id"],
    )
