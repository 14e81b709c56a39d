"""The commands that check and repair a session's files: `verify` and `rebuild-index`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.failures import FOUND_DAMAGE, exit_with
from muse.cli.output import note, pluralize, print_json, print_table
from muse.cli.progress import ProgressBar
from muse.cli.repo import json_option, open_session, repo_option, session_argument

if TYPE_CHECKING:
    from muse.core.op_log import Finding, VerifyReport

WORKERS_FROM_BYTES = 64 << 20
"""From this size of a log on it is read by worker processes: to start them takes a quarter of a second."""


@click.command(
    short_help="Check log, checkpoint and index.",
    epilog="\b\n"
    "Example: the byte offset of each finding.\n"
    "  muse op-log verify demo --json | jq '.findings[].byte_offset'",
)
@session_argument
@json_option("one object, the whole report")
@repo_option
def verify(session: str, repo: Path, *, as_json: bool) -> None:
    """Check every line of SESSION's log, its checkpoint, and that its index agrees with the log.

    Ends with exit code 1 if anything is damaged. Nothing is changed on disk.
    """
    with open_session(repo, session) as log, ProgressBar(f"verifying {session}", "bytes") as bar:
        report = log.verify(progress=bar)
    if as_json:
        print_json(report.to_dict())
    else:
        _print(report)
    exit_with(0 if report.ok else FOUND_DAMAGE)


def _print(report: VerifyReport) -> None:
    if report.findings:
        numbers = ("AT BYTE", "LENGTH")
        print_table(
            (*numbers, "FINDING", "SEVERITY", "REASON", "WHAT TO DO"),
            map(_row, report.findings),
            right=numbers,
        )
    hidden = sum(report.counts.values()) - len(report.findings)
    if hidden > 0:
        note(f"{pluralize(hidden, 'further finding')} not shown")
    if report.pending_tail_bytes:
        note(f"the last {pluralize(report.pending_tail_bytes, 'byte')} are a line still being written")
    note(
        f"{report.log_path}: {pluralize(report.size_bytes, 'byte')}, {pluralize(report.lines, 'line')}, "
        f"{pluralize(report.entries, 'entry')}: {_verdict(report)}"
    )


def _verdict(report: VerifyReport) -> str:
    if not report.ok:
        return "damage found"
    return "no damage" if report.counts else "nothing found"


def _row(finding: Finding) -> tuple[object, ...]:
    return (
        "-" if finding.byte_offset is None else finding.byte_offset,
        "-" if finding.length is None else finding.length,
        finding.kind,
        finding.severity,
        finding.reason,
        finding.remedy,
    )


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
        with ProgressBar(f"indexing {session}", "bytes") as bar:
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
