"""The commands that check a session: `verify`, `accept` for damage that can't be undone, and `rebuild-index`."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.engine import engine
from muse.cli.options.consent import by_option, is_agreed, yes_option
from muse.cli.options.repository import git_option, git_target
from muse.cli.options.session import json_option, session_log
from muse.cli.output.failures import FOUND_DAMAGE, WrongUsage, exit_with, index_named
from muse.cli.output.findings import MOST_LISTED, note_verdict, print_findings
from muse.cli.output.printing import note, pluralize, print_json, print_table
from muse.cli.output.progress import ProgressBar

if TYPE_CHECKING:
    from muse.commit import CommitReport

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
    a table the first hundred of each kind. With --git, each entry has to be in exactly one commit, as it is in the
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


@click.command(
    short_help="Accept damage that can't be undone.",
    epilog="\b\n"
    "Example: what no replica has is gone, and that is understood.\n"
    "  muse op-log accept demo operation-lost --why 'disk of 3 May, no replica has them'",
)
@session_log
@click.argument("finding", metavar="FINDING...", nargs=-1, required=True)
@click.option("--why", required=True, metavar="TEXT", help="Why the damage is acceptable; verify shows it.")
@by_option("Who accepts it; default: the name of the user.")
@yes_option
@json_option("one object: what was accepted or would be, and whether other damage is left")
def accept(log: engine.OpLog, finding: tuple[str, ...], why: str, by: str, *, yes: bool, as_json: bool) -> None:
    """Write down in accepted.json that these findings of SESSION are understood and accepted: no damage from then on.

    Each FINDING is an id as verify prints it, or the beginning of one, or a kind, such as operation-lost, for all of
    that kind. From then on verify lists them as notes, with who accepted them, when and why. What is found later is
    damage again.
    """
    with ProgressBar(f"verifying {log.session_id}", "bytes") as bar:
        report = log.verify(progress=bar, max_findings=None)
    chosen = _chosen(report, finding)
    if not as_json:
        print_findings(chosen)
    count = pluralize(sum(each.count for each in chosen), "line or operation", "lines or operations")
    is_done = bool(chosen) and is_agreed(f"Accept {count} as {by}: {why}?", yes=yes)
    if is_done:
        log.accept(chosen, by=by, why=why)
        note(f"accepted by {by}: {count}")
    left = [each for each in report.findings if each.severity == "damage" and not (is_done and each in chosen)]
    if as_json:
        accepted = [asdict(each) for each in chosen]
        print_json(
            {
                "session_id": log.session_id,
                "by": by,
                "why": why,
                "applied": is_done,
                "ok": not left,
                "findings": accepted,
            }
        )
    if not chosen:
        note("nothing to accept")
    note(f"damage that is not accepted: {pluralize(len(left), 'finding')}" if left else "no damage is left")
    exit_with(0 if is_done or not chosen else FOUND_DAMAGE)


def _chosen(report: engine.VerifyReport, names: Sequence[str]) -> list[engine.Finding]:
    """The findings that the names stand for, each once, without those that are accepted already."""
    chosen: list[engine.Finding] = []
    for name in names:
        found = [each for each in report.findings if name == each.kind or (name and each.id.startswith(name.lower()))]
        if not found and name not in engine.ACCEPTABLE:
            raise WrongUsage(f"no finding {name!r}: muse op-log verify prints the id of each")
        if len({each.kind for each in found}) > 1 or (len(found) > 1 and found[0].kind != name):
            raise WrongUsage(f"{name!r} can mean {', '.join(each.id for each in found[:10])}: write more of the id")
        if found and found[0].kind not in engine.ACCEPTABLE:
            raise WrongUsage(f"{found[0].kind} is not for accepting: {found[0].remedy}")
        chosen += [each for each in found if each.severity == "damage" and each not in chosen]
    return chosen
