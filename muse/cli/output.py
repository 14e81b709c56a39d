"""What a command prints: data on standard output, commentary on standard error.

Tables are for people, JSON is for programs. Neither sends a control character that came from a log to
a terminal (`muse.cli.escaping`), and rich never interprets markup found in data.
"""

# ruff: noqa: PLC0415 - orjson and rich are imported when they are needed, so that a help text comes at once

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

import click

from muse.cli.describing import description
from muse.cli.escaping import shown, shown_in_json

if TYPE_CHECKING:
    from rich.console import Console

    from muse.core.op_log import OpEntry

_CHUNK_BYTES = 1 << 16
_WIDTHS_FROM_ROWS = 200
_WIDEST_COLUMN = 40


def note(text: str) -> None:
    """Say something to the person: on standard error, out of the way of the data."""
    click.echo(shown(text, keep="\n"), err=True)


def counted(number: int, thing: str, things: str = "") -> str:
    """A number with its noun: 1 entry, 2 entries, 1,200 entries."""
    plural = things or (thing[:-1] + "ies" if thing.endswith("y") else thing + "s")
    return f"{number:,} {thing if number == 1 else plural}"


def print_json(value: Any) -> None:
    """Print one JSON object as one line."""
    _print_lines([value])


def print_entries_as_json(entries: Iterable[OpEntry]) -> int:
    """Print one entry a line, verbatim as in the log; return how many there were."""
    return _print_lines(entries)


def _print_lines(values: Iterable[object]) -> int:
    import orjson

    safe = sys.stdout.isatty()
    out = sys.stdout.buffer
    pending = bytearray()
    count = 0
    for value in values:
        line = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
        pending += shown_in_json(line.decode()).encode() if safe else line
        count += 1
        if len(pending) >= _CHUNK_BYTES:
            out.write(pending)
            pending.clear()
    out.write(pending)
    out.flush()
    return count


def console(stream: TextIO) -> Console:
    """A rich console that colours a terminal only, and that only where NO_COLOR is not set."""
    from rich.console import Console

    class QuietOnBrokenPipe(Console):
        def on_broken_pipe(self) -> None:
            # rich would leave with code 1, which means damage here.
            raise BrokenPipeError

    terminal = stream.isatty()
    return QuietOnBrokenPipe(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        # Into a pipe a row is a line, however long.
        width=None if terminal else 1_000_000,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """Print a small table; the columns named in `right` are aligned right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console(sys.stdout)
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(f"{cell:,}" if isinstance(cell, int) else str(cell))) for cell in row))
    out.print(table)


def print_entries(entries: Iterable[OpEntry]) -> int:
    """Print entries as lines of a table, as they come; return how many there were."""
    rows = (
        (str(entry["lamport_ts"]), entry["actor_id"], entry["domain"], *description(entry["domain_op"]))
        for entry in entries
    )
    return print_rows(("LAMPORT", "ACTOR", "DOMAIN", "OP", "ADDRESS", "WHAT"), rows)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Print rows in columns without holding all of them; return how many there were.

    The first rows decide the widths; a later cell that is wider moves its own row only. On a terminal
    a line ends at the margin; elsewhere it is whole.
    """
    from rich.cells import cell_len, set_cell_size

    coming = (tuple(shown(cell) for cell in row) for row in rows)
    first = list(islice(coming, _WIDTHS_FROM_ROWS))
    if not first:
        return 0
    widths = [
        min(_WIDEST_COLUMN, max(cell_len(cell) for cell in column)) for column in zip(columns, *first, strict=True)
    ]
    widest = console(sys.stdout).width if sys.stdout.isatty() else 0
    count = 0

    def line(cells: Sequence[str]) -> str:
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)]
        text = "  ".join(padded).rstrip()
        return set_cell_size(text, widest - 1) + "…" if widest and cell_len(text) > widest else text

    click.echo(line(columns))
    for number, row in enumerate(_chain(first, coming), start=1):
        click.echo(line(row))
        count = number
    return count


def _chain(first: list[tuple[str, ...]], rest: Iterable[tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    yield from first
    yield from rest


def tally(counts: Mapping[str, int]) -> str:
    """Names with their counts, the largest first: "music 12, code 3"."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f", and {len(largest) - 4} more" if len(largest) > 5 else ""
    return ", ".join(f"{name} {count:,}" for name, count in (largest[:4] if more else largest)) + more
