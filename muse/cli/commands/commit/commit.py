"""The commands that make and list a session's commits in git: `commit` and `commits`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.engine import engine
from muse.cli.options.repository import git_option, git_target
from muse.cli.options.session import json_option, note_passed_over, repo_of, repo_option, session_argument, session_log
from muse.cli.output.printing import note, pluralize, print_json, print_table, short_commit, tally, time_width
from muse.cli.output.progress import ProgressBar
from muse.describing import utc

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
    help="Begin where the checkpoint is, if there is no commit yet: what it covers was committed elsewhere.",
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

    The session itself need not be there.
    """
    found = git_target(git, repo).commits(session)
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
