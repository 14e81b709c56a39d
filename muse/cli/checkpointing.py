"""The commands of a commit: `delta` collapses a domain, `checkpoint` marks what is committed."""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

from pathlib import Path

import click

from muse.cli.failures import WrongUsage
from muse.cli.output import note, pluralize, print_json, print_rows, print_table, shown
from muse.cli.progress import ProgressBar
from muse.cli.repo import json_option, note_damaged_lines, open_session, repo_option, session_argument
from muse.describing import description


@click.command(
    short_help="Collapse the pending entries of a domain.",
    epilog="\b\nExample: what a commit of the music would contain.\n  muse op-log delta demo music --json",
)
@session_argument
@click.argument("domain")
@json_option("one object, the StructuredDelta")
@repo_option
def delta(session: str, domain: str, repo: Path, *, as_json: bool) -> None:
    """Collapse the entries of DOMAIN that arrived in SESSION since its checkpoint, in total order."""
    with open_session(repo, session) as log:
        with ProgressBar(f"collapsing {domain}"):
            collapsed = log.to_structured_delta(domain)
        note_damaged_lines(log, repo, since_checkpoint=True)
        if as_json:
            print_json(collapsed)
            return
        rows = (description(op) for op in collapsed["ops"])
        print_rows(("OP", "ADDRESS", "WHAT"), rows)
        note(f"{domain}: {collapsed['summary']}")
        if not collapsed["ops"]:
            known = ", ".join(sorted(log.domains())) or "none"
            note(shown(f"domains in this session: {known}"))


@click.command(
    short_help="Mark all entries so far as committed.",
    epilog="\b\nExample: after the commit 3f9a was made.\n  muse op-log checkpoint demo 3f9a",
)
@session_argument
@click.argument("snapshot_id")
@json_option("one object, the checkpoint record")
@repo_option
def checkpoint(session: str, snapshot_id: str, repo: Path, *, as_json: bool) -> None:
    """Mark all entries that have arrived in SESSION by now as committed in SNAPSHOT_ID.

    Entries that arrive later stay pending, even if their timestamps are lower.
    """
    from muse.core.op_log import InvalidArgumentError

    with open_session(repo, session) as log:
        try:
            mark = log.checkpoint(snapshot_id)
        except InvalidArgumentError as error:
            raise WrongUsage(str(error)) from None
        if as_json:
            print_json(mark)
            return
        print_table(
            ("CHECKPOINT", "COVERS", "HIGHEST LAMPORT", "AT"),
            [(mark["snapshot_id"], mark["op_count"], mark["lamport_ts"], mark["created_at"])],
            right=("COVERS", "HIGHEST LAMPORT"),
        )
        note(f"{pluralize(mark['op_count'], 'entry')} covered; what arrives from now on is pending")
