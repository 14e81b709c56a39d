"""The command `stats`: print who did what and when, and what depends on what."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from muse.cli.engine import engine
from muse.cli.options.session import json_option, note_damaged_lines, session_log
from muse.cli.output.printing import (
    is_narrow,
    note,
    pace,
    pluralize,
    print_fields,
    print_json,
    print_table,
    tally,
    terminal_width,
    time_width,
)
from muse.cli.output.progress import ProgressBar
from muse.cli.output.sparkline import levels_for, sparkline
from muse.describing import utc

if TYPE_CHECKING:
    from muse.stats import ActorStats, DomainStats, SessionStats

_UNITS = ((86400, "days"), (3600, "hours"), (60, "min"))


@click.command(
    short_help="Show who did what, when.",
    epilog="\b\nExamples: an overview; the number of ops of each actor, as JSON.\n"
    "  muse op-log stats demo\n"
    "  muse op-log stats demo --json | jq '.actors | map_values(.ops)'",
)
@session_log
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Show the N largest rows of each table.",
)
@click.option("--all", "show_all", is_flag=True, help="Show all rows.")
@json_option("one object with all statistics")
def stats(log: engine.OpLog, *, top: int, show_all: bool, as_json: bool) -> None:
    """Show statistics of SESSION: by actor, domain, kind of op and time, and how ops depend on each other.

    The log is read once. Times are the entries' created_at. "late" counts ops whose timestamp is below the highest
    that had arrived before them. "concurrent" counts ops that arrived while the log already held an op that is not
    one of their ancestors.
    """
    from muse.stats import session_stats

    with ProgressBar(f"reading {log.session_id}") as bar:
        found = session_stats(log, progress=bar)
    note_damaged_lines(log)
    if as_json:
        print_json(found.to_dict())
        return
    most = None if show_all else top
    _print_session(found)
    if found.ops:
        columns = ("ACTOR", "OVER TIME", "LAST (UTC)", "KINDS", "DOMAINS", "LAMPORT")
        _print_parts(found, most, columns[:-2] if is_narrow() else columns, found.actors, _actor_cells)
        _print_parts(found, most, ("DOMAIN", "OVER TIME", "ACTORS", "KINDS"), found.domains, _domain_cells)
        _print_parts(found, most, ("KIND",), found.kinds, lambda _kind: ())
    if found.problem:
        note(f"checkpoint: {found.problem}")


def _print_session(found: SessionStats) -> None:
    time = found.wall_time
    causal = f"{pluralize(found.roots, 'root')}, {found.joins:,} with two parents or more"
    rows = [
        ("session", found.session_id),
        ("ops", f"{found.ops:,} in {pluralize(found.size_bytes, 'byte')}"),
        ("damaged", f"{pluralize(found.damaged_lines, 'line')} passed over"),
        ("pending", "unknown" if found.pending is None else f"{found.pending:,}"),
        ("checkpoint", "damaged" if found.problem else found.checkpoint["snapshot_id"] if found.checkpoint else "none"),
        ("lamport", f"{found.min_lamport_ts} to {found.max_lamport_ts}" if found.ops else "-"),
        (
            "made (UTC)",
            f"{utc(time.first_created_at)} to {utc(time.last_created_at or '')}" if time.first_created_at else "-",
        ),
        ("over time", _over_time(found)),
        ("late", f"{found.late:,}"),
        ("concurrent", f"{found.concurrent:,}"),
        ("causal", f"{causal}, {found.missing_parents:,} with a parent not there before them"),
        (
            "created_at",
            f"{time.out_of_order:,} out of order, {time.missing:,} empty, {time.unparsable:,} not a time",
        ),
    ]
    print_fields(rows)


def _over_time(found: SessionStats) -> str:
    time = found.wall_time
    if not time.bins:
        return "-"
    drawn = _drawn(time.bins)
    each = -(-len(time.bins) // _sparkline_width()) or 1
    rate = engine.ops_per_minute(found.ops, time.span_s)
    return f"{drawn} ({duration(time.bin_width_s * each)} each{f', {pace(rate)} ops/min' if rate else ''})"


def _sparkline_width() -> int:
    """A fifth of the terminal, 32 at most."""
    return min(32, terminal_width() // 5 or 32)


def duration(seconds: float) -> str:
    """A duration in the largest unit that gives at least 1, or in seconds: 0.5 s, 12 s, 3.4 days."""
    unit, name = next(((unit, name) for unit, name in _UNITS if seconds >= unit), (1, "s"))
    return f"{seconds / unit:,.3g} {name}" if seconds / unit < 1000 else f"{seconds / unit:,.0f} {name}"


def _drawn(bins: Sequence[int]) -> str:
    return sparkline(bins, levels_for(sys.stdout), _sparkline_width())


def _print_parts(
    found: SessionStats,
    most: int | None,
    columns: Sequence[str],
    parts: Mapping[str, Any],
    cells: Callable[[Any], Sequence[object]],
) -> None:
    """Print the largest parts of the session as a table: the name, the ops, their share, and what `cells` tells."""
    rows = []
    for name, part in list(parts.items())[:most]:
        ops = getattr(part, "ops", part)
        rows.append((name, ops, f"{100 * ops / found.ops:.1f}%", *cells(part)))
    click.echo()
    headings = (columns[0], "OPS", "SHARE", *columns[1:])
    print_table(headings, rows, right=("OPS", "SHARE"), whole=("OVER TIME", "LAST (UTC)"))
    if len(rows) < len(parts):
        more = pluralize(len(parts) - len(rows), f"more {columns[0].lower()}")
        click.echo(f"and {more}; --all shows them")


def _actor_cells(actor: ActorStats) -> Sequence[object]:
    last = utc(actor.last_created_at or "", time_width())
    lamport = f"{actor.min_lamport_ts}-{actor.max_lamport_ts}"
    return _drawn(actor.bins), last, tally(actor.kinds), tally(actor.domains), lamport


def _domain_cells(domain: DomainStats) -> Sequence[object]:
    return _drawn(domain.bins), tally(domain.actors), tally(domain.kinds)
