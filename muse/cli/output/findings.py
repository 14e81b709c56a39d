"""What verify found, as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from muse.cli.engine import engine
from muse.cli.output.failures import WAY_OUT
from muse.cli.output.printing import note, pluralize, print_fields, print_table

MOST_LISTED = 100
"""Rows for findings of each kind, lost operations and repairs: on a screen what stands above them stays in reach."""


def print_findings(findings: Sequence[engine.Finding]) -> None:
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


def _row(finding: engine.Finding) -> tuple[object, ...]:
    return (
        finding.id,
        finding.kind,
        finding.severity,
        "-" if finding.byte_offset is None else finding.byte_offset,
        "-" if finding.length is None else finding.length,
        finding.count,
    )


def note_verdict(report: engine.VerifyReport) -> None:
    """Say what was read, and whether it is damaged."""
    verdict = f"damage found ({WAY_OUT})" if not report.ok else "no damage" if report.counts else "nothing found"
    note(
        f"{report.session_id}: {pluralize(report.size_bytes, 'byte')}, {pluralize(report.lines, 'line')}, "
        f"{pluralize(report.entries, 'entry')}: {verdict}"
    )
