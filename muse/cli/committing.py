"""The commands that make and list a session's commits in git: `commit` and `commits`."""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muse.cli.failures import SystemFailed
from muse.cli.output import note, pluralize, print_json, print_table, short_commit, tally, time_width
from muse.cli.progress import ProgressBar
from muse.cli.repo import json_option, note_passed_over, open_session, repo_option, session_argument
from muse.describing import utc

if TYPE_CHECKING:
    from muse.commit import CommitReport, Committed, GitTarget
    from muse.core.op_log import OpLog


def git_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--git REPO`, with its help text; the command receives the folder or None as `git`."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option("--git", type=folder, metavar="REPO", help=text)


_where_commits_are = git_option("The git repository with the commits; default: the one that .muse/ lies in.")


@contextmanager
def git_target(git: Path | None, repo: Path) -> Iterator[GitTarget]:
    """The repository that was named, or the one that the sessions are in; what git refuses ends the command."""
    from muse.commit import GitError, GitTarget

    try:
        yield GitTarget(git or repo)
    except GitError as error:
        raise SystemFailed(str(error)) from None


@click.command(
    short_help="Commit all pending entries to git.",
    epilog="\b\n"
    "Examples: see what would be committed; commit it.\n"
    "  muse op-log commit demo --dry-run\n"
    '  muse op-log commit demo --message "The second verse"',
)
@session_argument
@_where_commits_are
@click.option("-m", "--message", metavar="TEXT", help="What to say about it; default: what is in it.")
@click.option(
    "--adopt",
    is_flag=True,
    help="Begin where the checkpoint is, if there is no commit yet: what it covers was committed elsewhere.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be committed.")
@json_option("one object for the commit, or none if nothing is pending")
@repo_option
def commit(
    session: str, git: Path | None, message: str | None, repo: Path, *, adopt: bool, dry_run: bool, as_json: bool
) -> None:
    """Commit what arrived in SESSION since its last commit, and mark it as committed.

    The commit is added to refs/muse/SESSION; branches, index and working tree of the repository are not touched.
    It is safe at any time, also while others record or commit, and to try again after any failure: no entry is
    committed twice.
    """
    from muse.commit import commit as commit_log
    from muse.commit.protocol import prepare

    with open_session(repo, session) as log, git_target(git, repo) as target:
        with ProgressBar(f"committing {session}"):
            if dry_run:
                batch = prepare(log, target, message=message, adopt=adopt)
                made = batch.committed_as("") if batch else None
            else:
                made = commit_log(log, target, message=message, adopt=adopt)
        if made is None:
            note("nothing is pending")
            return
        damaged = log.damaged_lines(type(made.cut)(session, 0, 0), log.cut())
    _print_commits([made], as_json=as_json)
    note_passed_over(sum(made.start <= at < made.cut.byte_offset for at, _, _ in damaged), session, repo)
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
    with git_target(git, repo) as target:
        found = target.commits(session)
    _print_commits(found[::-1], as_json=as_json)
    ops = found[-1].cut.op_count if found else 0
    note(f"{pluralize(len(found), 'commit')} of {pluralize(ops, 'entry')}")


def verify_with_commits(log: OpLog, git: Path) -> CommitReport:
    """Hold a log against its commits, and say what is wrong and how many there are."""
    from muse.commit import verify_commits

    with git_target(git, git) as target, ProgressBar("comparing with the commits"):
        report = verify_commits(log, target)
    for problem in report.problems:
        note(problem)
    if report.redacted:
        note(f"{pluralize(report.redacted, 'entry')} redacted in the log; the commits have them as they were")
    found = pluralize(len(report.problems), "problem") if report.problems else "nothing found"
    committed = pluralize(report.committed, "entry")
    note(f"{pluralize(report.commits, 'commit')} of {committed}, {report.pending:,} more pending: {found}")
    return report


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
