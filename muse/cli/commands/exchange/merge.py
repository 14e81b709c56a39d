"""Commands from one session to another: `fork` and `merge`."""

from __future__ import annotations

from pathlib import Path

import click

from muse.cli.engine import engine
from muse.cli.input.lines import LONGEST_LINE_BYTES
from muse.cli.options.guard import guard_options, note_would_refuse
from muse.cli.options.moments import explain_moments, find_cut
from muse.cli.options.repository import has_sessions, note_first_session
from muse.cli.options.session import (
    json_option,
    note_damaged_lines,
    open_session,
    repo_of,
    repo_option,
    session_argument,
    session_log,
)
from muse.cli.output.failures import FOUND_DAMAGE, WrongUsage, exit_with
from muse.cli.output.printing import note, pluralize, print_json, print_table
from muse.cli.output.progress import ProgressBar


@click.command(
    short_help="Make a session that shares a past.",
    epilog="\b\n"
    "Examples: try something else from where it is; from before the last hour; take over what came of it.\n"
    "  muse op-log fork demo demo-try\n"
    "  muse op-log fork demo demo-try --upto 2026-05-03T12:00\n"
    "  muse op-log merge demo . demo-try",
)
@session_log
@click.argument("new")
@click.option("--upto", metavar="MOMENT", default="now", help="Share only what had arrived by this moment.")
@json_option("one object: session_id, source, byte_offset, ops, pending")
@explain_moments
def fork(log: engine.OpLog, new: str, *, upto: str, as_json: bool) -> None:
    """Make the session NEW of what has arrived in SESSION: the same entries, from which it goes on by itself.

    NEW appears whole, or not at all. SESSION is not changed. What SESSION has committed is not pending in NEW; what is
    pending in SESSION is pending in both. To merge one into the other takes over only what is new there.
    """
    session, repo, cut = log.session_id, repo_of(log), find_cut(log, upto)
    engine.fork_session(repo, session, new, upto=cut)
    with engine.OpLog(repo, new) as made:
        pending = made.count(since_checkpoint=True)
        note_damaged_lines(made)
    if as_json:
        shared = {"byte_offset": cut.byte_offset, "ops": cut.op_count, "pending": pending}
        print_json({"session_id": new, "source": session, **shared})
    else:
        print_table(("SESSION", "OPS", "PENDING"), [(new, cut.op_count, pending)], right=("OPS", "PENDING"))
    note(f"{new} shares {pluralize(cut.op_count, 'entry')} with {session}")


@click.command(
    short_help="Take over what another replica has.",
    epilog="\b\n"
    "Examples: take over what a colleague recorded on the train; what came of a fork in this repository.\n"
    "  muse op-log merge demo /media/stick/project\n"
    "  muse op-log merge demo . demo-try",
)
@session_argument
@click.argument("other_repo", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("other_session", required=False)
@click.option("--keep-going", is_flag=True, help="Pass over an entry that can't be taken, and take the rest.")
@guard_options("take over all the same, and count,")
@json_option("one object: session_id, other_repo, other_session_id, added, refused, redacted, ops, would_refuse")
@repo_option
def merge(
    session: str,
    other_repo: Path,
    other_session: str | None,
    repo: Path,
    *,
    keep_going: bool,
    guard: engine.Guard | None,
    as_json: bool,
) -> None:
    """Append to SESSION what the same session in OTHER_REPO has and it lacks, entries unchanged.

    OTHER_REPO is the folder that holds .muse/. OTHER_SESSION names the session there if its id differs. SESSION is made
    if it does not exist: that is how a new replica begins. Merging again adds nothing. What was redacted there is
    redacted here too.

    An entry that can't be taken, such as one with other content under an op_id that is here, ends the merge with exit
    code 1; what was added before stays. With --keep-going each is listed, and the exit code is 1 too.
    """
    redacted: list[str] = []
    refused: list[tuple[str, str]] = []

    is_first = not has_sessions(repo)
    with (
        open_session(other_repo, other_session or session) as other,
        engine.OpLog(repo, session, max_line_bytes=LONGEST_LINE_BYTES, guard=guard) as log,
    ):
        if log.folder.exists() and log.folder.samefile(other.folder):
            raise WrongUsage(f"{other.folder} is session {session!r} itself: name another replica to merge")
        with ProgressBar(f"merging {session}") as bar:
            added = log.merge(
                other,
                on_conflict="skip" if keep_going else "raise",
                on_skip=lambda op_id, reason: refused.append((op_id, reason)),
                on_redact=redacted.extend,
                progress=bar,
            )
        if is_first and added:
            note_first_session(repo)
        note_would_refuse(log.would_refuse)
        note_damaged_lines(other)
        total = len(log)
        if as_json:
            print_json(
                {
                    "session_id": session,
                    "other_repo": str(other_repo),
                    "other_session_id": other.session_id,
                    "added": added,
                    "refused": len(refused),
                    "redacted": len(redacted),
                    "ops": total,
                    "would_refuse": log.would_refuse,
                }
            )
        else:
            print_table(("SESSION", "ADDED", "OPS NOW"), [(session, added, total)], right=("ADDED", "OPS NOW"))
            if redacted:
                note(f"{pluralize(len(redacted), 'entry')} redacted here, as in {other.path}")
            note(f"{pluralize(added, 'entry')} came from {other.path}")
        for op_id, reason in refused:
            note(f"not merged: {op_id}: {reason}")
    exit_with(FOUND_DAMAGE if refused else 0)
