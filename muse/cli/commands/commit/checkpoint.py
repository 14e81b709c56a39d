"""The commands of a commit: `delta` collapses a domain, `diff` all of them, `checkpoint` marks what is committed."""

from __future__ import annotations

from dataclasses import asdict

import click

from muse.cli.engine import engine
from muse.cli.options.moments import bounds, explain_moments, find_cut, moment_options
from muse.cli.options.session import json_option, note_damaged_lines, session_log
from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import note, pluralize, print_json, print_table, shown
from muse.cli.output.progress import ProgressBar
from muse.describing import description, utc


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
    with ProgressBar(f"collapsing {log.session_id}"):
        deltas = [log.to_structured_delta(domain, since=start, upto=stop) for domain in sorted(log.domains())]
    note_damaged_lines(log)
    deltas = [each for each in deltas if each["ops"]]
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
