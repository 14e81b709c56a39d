"""What the screen shows, as of one moment, and how it is laid out as lines of text for a screen of a given size.

Column widths depend only on the screen size, so that columns don't move when ops arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.filesize import decimal
from rich.text import Text

from muse.cli.engine import engine
from muse.cli.output.printing import cut_to_width, pluralize, shown, tally
from muse.cli.output.sparkline import BLOCKS, draw_levels
from muse.describing import ENTRY_COLUMNS, entry_cells

KEYS = "q quit  v verify"
HISTORY_PARTS = 20
"""The number of parts in which an actor's last minute is drawn."""


@dataclass(frozen=True)
class ActorView:
    """One actor: its number of ops and its recent rates."""

    actor_id: str
    ops: int
    rate_10s: float
    rate_60s: float
    history: Sequence[int]
    """The last minute in `HISTORY_PARTS` parts, the oldest first."""


@dataclass(frozen=True)
class View:
    """The whole session."""

    session_id: str
    ops: int
    rate_10s: float
    size_bytes: int
    max_lamport_ts: int
    pending: int | None
    """None if the checkpoint is damaged."""
    checkpoint: engine.OpLogCheckpoint | None
    domains: Mapping[str, int]
    actors: Sequence[ActorView]
    """The most active first; at most as many as a screen has lines."""
    more_actors: int
    """The number of actors not in `actors`."""
    newest: Sequence[engine.OpEntry]
    """The last ops to arrive, in arrival order."""
    findings: Sequence[str]
    """Problems found since the watch began, the newest last."""
    check: str
    """The state of the full check; "" if none was started."""


@dataclass(frozen=True)
class _Column:
    title: str
    width: int
    right: bool = False


def picture(view: View, width: int, height: int) -> list[Text]:
    """Return at most `height` lines, none wider than `width` cells."""
    head = _head(view, width)[: 3 if height >= 16 else 2 if height >= 8 else 1]
    findings = _findings(view, width, most=max(1, height // 6))
    gap = [Text()] if height >= 28 else []
    rest = height - len(head) - len(findings) - 2 * len(gap) - 1
    wanted = len(view.actors) + (view.more_actors > 0) + 1
    actors = _actors(view, width, min(wanted, rest // 2))
    newest = _newest(view, width, rest - len(actors))
    body = [*head, *findings, *gap, *actors, *gap, *newest][: max(height - 1, 0)]
    body += [Text()] * (height - 1 - len(body))
    return [*body, _line(f"{KEYS}  {view.check}", width, "dim")]


def _head(view: View, width: int) -> list[Text]:
    mark = view.checkpoint
    since = "no checkpoint yet" if mark is None else f"since checkpoint {mark['snapshot_id']!r}"
    pending = "pending unknown: see findings" if view.pending is None else f"{view.pending:,} pending, {since}"
    actors = pluralize(len(view.actors) + view.more_actors, "actor")
    domains = f"{pluralize(len(view.domains), 'domain')}: {tally(view.domains)}" if view.domains else "no domains"
    return [
        _line(f"{view.session_id}  {pluralize(view.ops, 'op')}, {_rate(view.rate_10s)}/s", width, "bold"),
        _line(pending, width, "yellow" if view.pending else ""),
        _line(f"{actors}; {domains}; Lamport {view.max_lamport_ts:,}; {decimal(view.size_bytes)}", width),
    ]


def _findings(view: View, width: int, most: int) -> list[Text]:
    found = view.findings
    if not found:
        return [_line("no findings since the watch began", width, "green")]
    hidden = f" ({len(found) - most} earlier not shown)" if len(found) > most else ""
    title = _line(f"{pluralize(len(found), 'finding')}{hidden}:", width, "bold red")
    return [title, *(_line(f" {what}", width, "red") for what in found[-most:])]


def _actors(view: View, width: int, lines: int) -> list[Text]:
    if lines < 2 or not view.actors:
        return []
    columns = [_Column("ACTOR", min(24, max(8, width // 4))), _Column("OPS", 9, right=True)]
    columns += [_Column("/S 10s", 6, right=True)]
    if width >= 46:
        columns += [_Column("/S 60s", 6, right=True)]
    if width >= 70:
        columns += [_Column("LAST MINUTE", HISTORY_PARTS)]
    hides = view.more_actors or len(view.actors) > lines - 1
    listed = view.actors[: lines - 2 if hides else lines - 1]
    highest = max((max(actor.history, default=0) for actor in listed), default=0)
    found = [_row([column.title for column in columns], columns, width, "bold")]
    found += [_row(_actor_cells(actor, highest), columns, width) for actor in listed]
    if hides:
        found.append(_line(f"and {len(view.actors) + view.more_actors - len(listed):,} more", width, "dim"))
    return found


def _actor_cells(actor: ActorView, highest: int) -> list[str]:
    rates = _rate(actor.rate_10s), _rate(actor.rate_60s)
    return [actor.actor_id, f"{actor.ops:,}", *rates, draw_levels(actor.history, BLOCKS, highest)]


def _newest(view: View, width: int, lines: int) -> list[Text]:
    if lines < 2:
        return []
    columns, chosen = _op_columns(width)
    found = [_row([column.title for column in columns], columns, width, "bold")]
    for entry in view.newest[-(lines - 1) :]:
        cells = entry_cells(entry, 8)
        found.append(_row([cells[number] for number in chosen], columns, width))
    return found


def _op_columns(width: int) -> tuple[list[_Column], list[int]]:
    """The columns of `query` that fit on a screen of this width, and their numbers. The last one takes the rest."""
    wide = width >= 100
    widths = (10, 8, 16, 10, 8, 24, width) if wide else (8, 8, 10, 8, 7, 16, width)
    columns = [_Column(*pair) for pair in zip(ENTRY_COLUMNS, widths, strict=True)]
    chosen = [0, 1, 2, 3, 4, 5, 6] if width >= 76 else [0, 1, 2, 4, 5]
    return [columns[number] for number in chosen], chosen


def _row(cells: Sequence[str], columns: Sequence[_Column], width: int, style: str = "") -> Text:
    fitted = [_fitted(cell, column) for cell, column in zip(cells, columns, strict=False)]
    return Text(cut_to_width("  ".join(fitted).rstrip(), width), style)


def _fitted(cell: str, column: _Column) -> str:
    text = cut_to_width(shown(cell), column.width)
    space = " " * (column.width - cell_len(text))
    return space + text if column.right else text + space


def _line(text: str, width: int, style: str = "") -> Text:
    return Text(cut_to_width(shown(text).rstrip(), width), style)


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:,.0f}"
