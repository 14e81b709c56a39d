"""The command `merge`: what another replica of a session has comes into this one."""

# ruff: noqa: PLC0415 - the engine is imported when it is needed, so that a help text comes at once

from __future__ import annotations

from pathlib import Path

import click

from muse.cli.output import counted, note, print_json, print_table
from muse.cli.progress import Working
from muse.cli.repo import json_option, open_session, repo_option


@click.command(
    short_help="Take over what another replica has.",
    epilog="\b\n"
    "Example: take over what a colleague recorded on the train.\n"
    "  muse op-log merge demo /media/stick/project",
)
@click.argument("session")
@click.argument("other_repo", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("other_session", required=False)
@json_option("one object: session_id, other_repo, other_session_id, added, ops")
@repo_option
def merge(session: str, other_repo: Path, other_session: str | None, repo: Path, *, as_json: bool) -> None:
    """Append to SESSION what the same session in OTHER_REPO has and it lacks, entries unchanged.

    OTHER_SESSION names the session there if its id differs. SESSION is made if it does not exist:
    that is how a new replica begins. Merging again adds nothing.
    """
    from muse.core.op_log import OpLog

    with open_session(other_repo, other_session or session) as other, OpLog(repo, session) as log:
        with Working(f"merging {session}") as working:
            added = log.merge(other, progress=working)
        total = len(log)
        if as_json:
            print_json(
                {
                    "session_id": session,
                    "other_repo": str(other_repo),
                    "other_session_id": other.session_id,
                    "added": added,
                    "ops": total,
                }
            )
            return
        print_table(("SESSION", "ADDED", "OPS NOW"), [(session, added, total)], right=("ADDED", "OPS NOW"))
        note(f"{counted(added, 'entry')} came from {other.path}")
