"""Commands that read: `replay`, `query`, `sessions`."""

# ruff: noqa: PLC0415 - the engine is imported when it is needed, so that a help text comes at once

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.failures import FOUND_DAMAGE, ends_with
from muse.cli.output import (
    counted,
    note,
    print_entries,
    print_entries_as_json,
    print_json,
    print_table,
    tally,
)
from muse.cli.repo import json_option, open_session, repo_option

if TYPE_CHECKING:
    from muse.core.op_log import OpEntry, SessionSummary

# The largest timestamp of the format, said here so that the help text needs no engine.
_LAMPORT = click.IntRange(0, 2**53 - 1)


@click.command(
    short_help="Show what is not committed yet.",
    epilog="\b\n"
    "Example: what is not committed yet, with the ops alone.\n"
    "  muse op-log replay demo --json | jq .domain_op",
)
@click.argument("session")
@json_option("one entry a line, as it is in the log")
@repo_option
def replay(session: str, repo: Path, *, as_json: bool) -> None:
    """Show what arrived in SESSION since its last checkpoint, in arrival order."""
    with open_session(repo, session) as log:
        mark = log.read_checkpoint()
        count = _print(log.query(since_checkpoint=True), as_json=as_json)
        since = "no checkpoint yet" if mark is None else f"since checkpoint {mark['snapshot_id']!r}"
        note(f"{counted(count, 'entry')} pending ({since})")


@click.command(
    short_help="Show the entries that fit.",
    epilog="\b\n"
    "Example: the first twenty edits that ada made to the code.\n"
    "  muse op-log query demo --actor ada --domain code --limit 20",
)
@click.argument("session")
@click.option("--actor", "actor_id", metavar="NAME", help="Only what this actor did.")
@click.option("--domain", metavar="NAME", help="Only this domain.")
@click.option("--intent", "intent_id", metavar="ID", help="Only entries linked to this intent.")
@click.option("--reservation", "reservation_id", metavar="ID", help="Only entries linked to this reservation.")
@click.option("--min-lamport", "min_lamport_ts", type=_LAMPORT, metavar="N", help="Only timestamps of N or more.")
@click.option("--max-lamport", "max_lamport_ts", type=_LAMPORT, metavar="N", help="Only timestamps up to N.")
@click.option("--since-checkpoint", is_flag=True, help="Only what arrived after the last checkpoint.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N entries.")
@json_option("one entry a line, as it is in the log")
@repo_option
def query(
    session: str,
    repo: Path,
    *,
    actor_id: str | None,
    domain: str | None,
    intent_id: str | None,
    reservation_id: str | None,
    min_lamport_ts: int | None,
    max_lamport_ts: int | None,
    since_checkpoint: bool,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show the entries of SESSION that fit every option given, in arrival order."""
    with open_session(repo, session) as log:
        found = log.query(
            actor_id=actor_id,
            domain=domain,
            intent_id=intent_id,
            reservation_id=reservation_id,
            min_lamport_ts=min_lamport_ts,
            max_lamport_ts=max_lamport_ts,
            since_checkpoint=since_checkpoint,
            limit=limit,
        )
        note(counted(_print(found, as_json=as_json), "entry"))


def _print(entries: Iterable[OpEntry], *, as_json: bool) -> int:
    return print_entries_as_json(entries) if as_json else print_entries(entries)


@click.command(
    short_help="List the sessions.",
    epilog="\b\nExample: the ids of all sessions.\n  muse op-log sessions --json | jq -r '.sessions[].session_id'",
)
@json_option('one object, {"sessions": [...]}')
@repo_option
def sessions(repo: Path, *, as_json: bool) -> None:
    """List the sessions of the repository, with their counts and checkpoints."""
    from muse.core.op_log import describe_sessions

    summaries = describe_sessions(repo)
    if as_json:
        print_json({"sessions": [summary.to_dict() for summary in summaries]})
    elif summaries:
        numbers = ("OPS", "PENDING", "LAMPORT", "BYTES")
        print_table(("SESSION", *numbers, "ACTORS", "DOMAINS", "CHECKPOINT"), map(_row, summaries), right=numbers)
    note(f"{counted(len(summaries), 'session')} in {repo}")
    troubled = [summary for summary in summaries if summary.problem]
    for summary in troubled:
        note(f"session {summary.session_id!r}: {summary.problem}")
    ends_with(FOUND_DAMAGE if troubled else 0)


def _row(summary: SessionSummary) -> tuple[object, ...]:
    mark = summary.checkpoint
    return (
        summary.session_id,
        summary.ops,
        "?" if summary.pending is None else summary.pending,
        summary.max_lamport_ts,
        summary.size_bytes,
        tally(summary.actors),
        tally(summary.domains),
        "damaged" if summary.problem and mark is None else "none" if mark is None else mark["snapshot_id"],
    )
