"""The commands that check a session's files and make the index anew: `verify` and `rebuild-index`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.committing import git_option, verify_with_commits
from muse.cli.failures import FOUND_DAMAGE, WAY_OUT, exit_with, index_named
from muse.cli.output import note, pluralize, print_fields, print_json, print_table
from muse.cli.progress import ProgressBar
from muse.cli.repo import json_option, open_session, repo_option, session_argument

if TYPE_CHECKING:
    from muse.core.op_log import Finding, LostOperation, VerifyReport

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
@session_argument
@git_option("Hold the log against its commits in this git repository too.")
@json_option("one object, the whole report")
@repo_option
def verify(session: str, git: Path | None, repo: Path, *, as_json: bool) -> None:
    """Check every line of SESSION's log, its checkpoint, and that its index agrees with the log.

    What the index knew and the log no longer has is listed as lost, each operation with where to ask for it. Nothing is
    changed on disk. Ends with exit code 1 if anything is damaged, unless it was accepted. --json lists everything,
    a table the first thousand of each kind. With --git, each entry has to be in exactly one commit, as it is in the
    log, or pending.
    """
    with open_session(repo, session) as log:
        with ProgressBar(f"verifying {session}", "bytes") as bar:
            report = log.verify(progress=bar, max_findings=None if as_json else MOST_LISTED)
        commits = verify_with_commits(log, git) if git else None
    if as_json:
        print_json(report.to_dict() | ({"commits": asdict(commits)} if commits else {}))
    else:
        print_findings(report.findings)
        _print_lost(report)
        _note_what_was_read(report)
    exit_with(0 if report.ok and not (commits and commits.problems) else FOUND_DAMAGE)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what was found as a table; then the reason of each, and what to do about each kind."""
    if not findings:
        return
    numbers = ("AT BYTE", "LENGTH", "COUNT")
    print_table(("ID", "FINDING", "SEVERITY", *numbers), map(_row, findings), right=numbers)
    for title, texts in (
        ("why:", [(each.id, each.reason) for each in findings]),
        ("what to do:", list(dict.fromkeys((each.kind, each.remedy) for each in findings))),
    ):
        print_fields(texts, title)


def _row(finding: Finding) -> tuple[object, ...]:
    return (
        finding.id,
        finding.kind,
        finding.severity,
        "-" if finding.byte_offset is None else finding.byte_offset,
        "-" if finding.length is None else finding.length,
        finding.count,
    )


def _print_lost(report: VerifyReport) -> None:
    lost = [each for finding in report.findings if finding.severity == "damage" for each in finding.operations]
    if not lost:
        return
    click.echo()
    print_table(
        ("OP_ID", "ACTOR", "LAMPORT", "DOMAIN", "AT BYTE", "ASK"),
        (
            (each.op_id, each.actor_id, str(each.lamport_ts), each.domain, f"{each.byte_offset:,}", _whom_to_ask(each))
            for each in lost
        ),
        whole=("OP_ID",),
    )


def _whom_to_ask(operation: LostOperation) -> str:
    return operation.snapshot_id or "replicas, exports"


def _note_what_was_read(report: VerifyReport) -> None:
    hidden = sum(report.counts.values()) - sum(each.count for each in report.findings)
    if hidden > 0:
        note(f"{pluralize(hidden, 'further finding')} not shown: --json has all")
    named = sum(len(each.operations) for each in report.findings)
    if unnamed := report.counts.get("operation-lost", 0) - named:
        note(f"{pluralize(unnamed, 'further lost operation')} not shown: --json has all")
    if report.pending_tail_bytes:
        note(f"the last {pluralize(report.pending_tail_bytes, 'byte')} are no line: torn, or still being written")
    note_verdict(report)


def note_verdict(report: VerifyReport) -> None:
    """Say what was read, and whether it is damaged."""
    note(
        f"{report.session_id}: {pluralize(report.size_bytes, 'byte')}, {pluralize(report.lines, 'line')}, "
        f"{pluralize(report.entries, 'entry')}: {_verdict(report)}"
    )


def _verdict(report: VerifyReport) -> str:
    if not report.ok:
        return f"damage found ({WAY_OUT})"
    return "no damage" if report.counts else "nothing found"


@click.command(
    "rebuild-index",
    short_help="Rebuild the index from the log.",
    epilog="\b\nExample: after the disk was full.\n  muse op-log rebuild-index demo",
)
@session_argument
@json_option("one object with the counts")
@repo_option
def rebuild_index(session: str, repo: Path, *, as_json: bool) -> None:
    """Build a new index of SESSION from its log, then replace the old index with it.

    This is safe at any time, also while others append. The log is not changed. A log of 64 MiB or more is read by
    one process for each processor.
    """
    with open_session(repo, session) as log:
        started = time.monotonic()
        size_bytes = log.path.stat().st_size if log.path.exists() else 0
        workers = (os.cpu_count() or 1) if size_bytes >= WORKERS_FROM_BYTES else 1
        with index_named(log.folder / "index.db"), ProgressBar(f"indexing {session}", "bytes") as bar:
            log.rebuild_index(progress=bar, workers=workers)
        elapsed_s = time.monotonic() - started
        if as_json:
            print_json(
                {
                    "session_id": session,
                    "ops": len(log),
                    "size_bytes": size_bytes,
                    "elapsed_s": round(elapsed_s, 3),
                }
            )
            return
        numbers = ("OPS", "BYTES", "SECONDS")
        print_table(("SESSION", *numbers), [(session, len(log), size_bytes, f"{elapsed_s:.2f}")], right=numbers)
        note("the index was rebuilt from the log")
