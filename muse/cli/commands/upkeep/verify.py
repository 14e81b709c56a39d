"""The commands that check a session's files and make the index anew: `verify` and `rebuild-index`."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.engine import engine
from muse.cli.options.repository import git_option, git_target
from muse.cli.options.session import json_option, session_log
from muse.cli.output.failures import FOUND_DAMAGE, exit_with, index_named
from muse.cli.output.findings import note_verdict, print_findings
from muse.cli.output.printing import note, pluralize, print_json, print_table
from muse.cli.output.progress import ProgressBar

if TYPE_CHECKING:
    from muse.commit import CommitReport

MOST_LISTED = 1000
"""Findings of each kind in a table, and lost operations."""

WORKERS_FROM_BYTES = 64 << 20
"""From this size of a log on it is read by worker processes: to start them takes a quarter of a second."""


@click.command(
    short_help="Check log, checkpoint and index.",
    epilog="\b\n"
    "Examples: what is wrong; is each operation in exactly one commit; the op_ids of what is lost.\n"
    "  muse op-log verify demo\n"
    "  muse op-log verify demo --git .\n"
    "  muse op-log verify demo --json | jq -r '.findings[].operations[].op_id'",
)
@session_log
@git_option("Hold the log against its commits in this git repository too.")
@json_option("one object, the whole report")
def verify(log: engine.OpLog, git: Path | None, *, as_json: bool) -> None:
    """Check every line of SESSION's log, its checkpoint, and that its index agrees with the log.

    What the index knew and the log no longer has is listed as lost, each operation with where to ask for it. Nothing is
    changed on disk. Ends with exit code 1 if anything is damaged, unless it was accepted. --json lists everything,
    a table the first thousand of each kind. With --git, each entry has to be in exactly one commit, as it is in the
    log, or pending.
    """
    with ProgressBar(f"verifying {log.session_id}", "bytes") as bar:
        report = log.verify(progress=bar, max_findings=None if as_json else MOST_LISTED)
    commits = _verify_with_commits(log, git) if git else None
    if as_json:
        print_json(report.to_dict() | ({"commits": asdict(commits)} if commits else {}))
    else:
        print_findings(report.findings)
        _print_lost(report)
        _note_what_was_read(report)
    exit_with(0 if report.ok and not (commits and commits.problems) else FOUND_DAMAGE)


def _print_lost(report: engine.VerifyReport) -> None:
    lost = [each for finding in report.findings if finding.severity == "damage" for each in finding.operations]
    if not lost:
        return
    click.echo()
    rows = (
        (
            *(each.op_id, each.actor_id, str(each.lamport_ts), each.domain, f"{each.byte_offset:,}"),
            each.snapshot_id or "replicas, exports",
        )
        for each in lost
    )
    print_table(("OP_ID", "ACTOR", "LAMPORT", "DOMAIN", "AT BYTE", "ASK"), rows, whole=("OP_ID",))


def _note_what_was_read(report: engine.VerifyReport) -> None:
    hidden = sum(report.counts.values()) - sum(each.count for each in report.findings)
    if hidden > 0:
        note(f"{pluralize(hidden, 'further finding')} not shown: --json has all")
    named = sum(len(each.operations) for each in report.findings)
    if unnamed := report.counts.get("operation-lost", 0) - named:
        note(f"{pluralize(unnamed, 'further lost operation')} not shown: --json has all")
    if report.pending_tail_bytes:
        note(f"the last {pluralize(report.pending_tail_bytes, 'byte')} are no line: torn, or still being written")
    note_verdict(report)


def _verify_with_commits(log: engine.OpLog, git: Path) -> CommitReport:
    """Hold a log against its commits, and say what is wrong and how many there are."""
    from muse.commit import verify_commits

    with ProgressBar("comparing with the commits"):
        report = verify_commits(log, git_target(git, git))
    for problem in report.problems:
        note(problem)
    if report.redacted:
        note(f"{pluralize(report.redacted, 'entry')} redacted in the log; the commits have them as they were")
    found = pluralize(len(report.problems), "problem") if report.problems else "nothing found"
    committed = pluralize(report.committed, "entry")
    note(f"{pluralize(report.commits, 'commit')} of {committed}, {report.pending:,} more pending: {found}")
    return report


@click.command(
    "rebuild-index",
    short_help="Rebuild the index from the log.",
    epilog="\b\nExample: after the disk was full.\n  muse op-log rebuild-index demo",
)
@session_log
@json_option("one object with the counts")
def rebuild_index(log: engine.OpLog, *, as_json: bool) -> None:
    """Build a new index of SESSION from its log, then replace the old index with it.

    This is safe at any time, also while others append. The log is not changed. A log of 64 MiB or more is read by
    one process for each processor.
    """
    started = time.monotonic()
    size_bytes = log.path.stat().st_size if log.path.exists() else 0
    workers = (os.cpu_count() or 1) if size_bytes >= WORKERS_FROM_BYTES else 1
    with index_named(log.folder / "index.db"), ProgressBar(f"indexing {log.session_id}", "bytes") as bar:
        log.rebuild_index(progress=bar, workers=workers)
    elapsed_s = time.monotonic() - started
    if as_json:
        print_json(
            {
                "session_id": log.session_id,
                "ops": len(log),
                "size_bytes": size_bytes,
                "elapsed_s": round(elapsed_s, 3),
            }
        )
        return
    numbers = ("OPS", "BYTES", "SECONDS")
    print_table(("SESSION", *numbers), [(log.session_id, len(log), size_bytes, f"{elapsed_s:.2f}")], right=numbers)
    note("the index was rebuilt from the log")
