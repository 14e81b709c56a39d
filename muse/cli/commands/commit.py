"""The commands that collapse what is pending, `delta` and `diff`, and that mark or make a commit, or list them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.engine import engine
from muse.cli.options.moments import bounds, explain_moments, find_cut, moment_options
from muse.cli.options.repository import git_option, git_target
from muse.cli.options.session import (
    json_option,
    note_damaged_lines,
    note_passed_over,
    open_session,
    repo_of,
    repo_option,
    session_argument,
    session_log,
)
from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import note, pluralize, print_json, print_table, short_commit, shown, tally, time_width
from muse.cli.output.progress import ProgressBar
from muse.describing import description, utc

if TYPE_CHECKING:
    from muse.commit import Committed

_where_commits_are = git_option("The git repository with the commits; default: the one that .muse/ lies in.")


@click.command(
    short_help="Commit all pending entries to git.",
    epilog="\b\n"
    "Examples: see what would be committed; commit it.\n"
    "  muse op-log commit demo --dry-run\n"
    '  muse op-log commit demo --message "The second verse"',
)
@session_log
@_where_commits_are
@click.option("-m", "--message", metavar="TEXT", help="What to say about it; default: what is in it.")
@click.option(
    "--adopt",
    is_flag=True,
    help="For the first commit: begin at the checkpoint. What lies before it is committed elsewhere.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be committed.")
@json_option("one object for the commit, or none if nothing is pending")
def commit(
    log: engine.OpLog, git: Path | None, message: str | None, *, adopt: bool, dry_run: bool, as_json: bool
) -> None:
    """Commit what arrived in SESSION since its last commit, and mark it as committed.

    The commit is added to refs/muse/SESSION; branches, index and working tree of the repository are not touched.
    It is safe at any time, also while others record or commit, and to try again after any failure: no entry is
    committed twice.
    """
    from muse.commit import commit as commit_log
    from muse.commit.protocol import prepare

    target = git_target(git, repo_of(log))
    with ProgressBar(f"committing {log.session_id}"):
        if dry_run:
            batch = prepare(log, target, message=message, adopt=adopt)
            made = batch.committed_as("") if batch else None
        else:
            made = commit_log(log, target, message=message, adopt=adopt)
    if made is None:
        note("nothing is pending")
        return
    damaged = log.damaged_lines(type(made.cut)(log.session_id, 0, 0), log.cut())
    _print_commits([made], as_json=as_json)
    in_commit = sum(made.start <= at < made.cut.byte_offset for at, _, _ in damaged)
    note_passed_over(in_commit, log.session_id, repo_of(log))
    number = pluralize(made.ops, "entry")
    note(f"{number} would be committed" if dry_run else f"{number} committed; what arrives from now on is pending")


@click.command(
    short_help="List the commits of a session.",
    epilog="\b\nExample: what the last commit contains.\n  muse op-log commits demo --json | head -n 1 | jq .actors",
)
@session_argument
@_where_commits_are
@json_option("one object for each commit, one a line")
@repo_option
def commits(session: str, git: Path | None, repo: Path, *, as_json: bool) -> None:
    """List what was committed of SESSION, the newest first: when, how many entries of which domain, and whose.

    The session itself need not be there if its commits are.
    """
    found = git_target(git, repo).commits(session)
    if not found:
        open_session(repo, session).close()
    _print_commits(found[::-1], as_json=as_json)
    ops = found[-1].cut.op_count if found else 0
    note(f"{pluralize(len(found), 'commit')} of {pluralize(ops, 'entry')}")


def _print_commits(found: Sequence[Committed], *, as_json: bool) -> None:
    if as_json:
        print_json(*({"commit": each.commit_id, **each.to_record()} for each in found))
        return
    rows = (
        (
            short_commit(each.commit_id) or "-",
            utc(each.created_at, time_width()),
            each.ops,
            tally(each.domains),
            tally(each.actors),
        )
        for each in found
    )
    print_table(("COMMIT", "UTC", "ENTRIES", "DOMAINS", "ACTORS"), rows, right=("ENTRIES",), whole=("UTC",))


@click.command(
    short_help="Collapse the pending entries of a domain.",
    epilog="\b\nExample: what a commit of the music would contain.\n  muse op-log delta demo music --json",
)
@session_log
@click.argument("domain")
@moment_options
@json_option("one object, the StructuredDelta")
def delta(log: engine.OpLog, domain: str, *, moments: dict[str, str | None], as_json: bool) -> None:
    """Collapse the entries of DOMAIN that arrived in SESSION since its checkpoint, in total order.

    With --since it is another moment instead of the checkpoint.
    """
    with ProgressBar(f"collapsing {domain}"):
        collapsed = log.to_structured_delta(domain, **bounds(log, moments))
    note_damaged_lines(log, since_checkpoint=moments["since"] is None)
    if as_json:
        print_json(collapsed)
        return
    rows = (description(op) for op in collapsed["ops"])
    print_table(("OP", "ADDRESS", "WHAT"), rows)
    note(f"{domain}: {collapsed['summary']}")
    if not collapsed["ops"]:
        known = ", ".join(sorted(log.domains())) or "none"
        note(shown(f"domains in this session: {known}"))


@click.command(
    short_help="Show what happened between two moments.",
    epilog="\b\n"
    "Examples: since lunch; between two commits, for a program.\n"
    "  muse op-log diff demo 2026-05-03T12:00\n"
    "  muse op-log diff demo commit:3f9a commit:77b0 --json | jq '.deltas[].summary'",
)
@session_log
@click.argument("since")
@click.argument("upto", default="now")
@json_option("one object: session_id, since, upto, deltas, a StructuredDelta for each domain")
@explain_moments
def diff(log: engine.OpLog, since: str, upto: str, *, as_json: bool) -> None:
    """Show what arrived in SESSION after the moment SINCE and by the moment UPTO, as a delta for each domain.

    UPTO is now if it is left out.
    """
    start, stop = find_cut(log, since), find_cut(log, upto)
    if stop.byte_offset < start.byte_offset:
        raise WrongUsage(f"{upto!r} comes before {since!r}: name the earlier moment first")
    by_domain: defaultdict[str, list[engine.OpEntry]] = defaultdict(list)
    with ProgressBar(f"collapsing {log.session_id}"):
        # In one pass: to ask for each domain takes minutes where there are thousands.
        for entry in log.query(since=start, upto=stop):
            by_domain[entry["domain"]].append(entry)
        deltas = [engine.collapse(domain, entries) for domain, entries in sorted(by_domain.items())]
    note_damaged_lines(log)
    if as_json:
        print_json({"session_id": log.session_id, "since": asdict(start), "upto": asdict(stop), "deltas": deltas})
        return
    rows = ((each["domain"], *description(op)) for each in deltas for op in each["ops"])
    print_table(("DOMAIN", "OP", "ADDRESS", "WHAT"), rows)
    for each in deltas:
        note(shown(f"{each['domain']}: {each['summary']}"))
    note(f"{pluralize(stop.op_count - start.op_count, 'entry')} after the first {start.op_count:,}")


@click.command(
    short_help="Mark all entries so far as committed.",
    epilog="\b\nExample: after the commit 3f9a was made.\n  muse op-log checkpoint demo 3f9a",
)
@session_log
@click.argument("snapshot_id")
@json_option("one object, the checkpoint record")
def checkpoint(log: engine.OpLog, snapshot_id: str, *, as_json: bool) -> None:
    """Mark all entries that have arrived in SESSION by now as committed in SNAPSHOT_ID.

    Entries that arrive later stay pending, even if their timestamps are lower.
    """
    try:
        mark = log.checkpoint(snapshot_id)
    except engine.InvalidArgumentError as error:
        # Also what would be bad data in an entry.
        raise WrongUsage(str(error)) from None
    if as_json:
        print_json(mark)
        return
    print_table(
        ("CHECKPOINT", "COVERS", "HIGHEST LAMPORT", "UTC"),
        [(mark["snapshot_id"], mark["op_count"], mark["lamport_ts"], utc(mark["created_at"]))],
        right=("COVERS", "HIGHEST LAMPORT"),
    )
    note(f"{pluralize(mark['op_count'], 'entry')} covered; what arrives from now on is pending")
