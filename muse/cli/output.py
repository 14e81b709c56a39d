"""Output of the commands: data on standard output, notes on standard error.

Tables are for people, JSON is for programs. Control characters from a log never reach a terminal (`muse.escaping`),
and rich never interprets markup found in data.
"""

# ruff: noqa: PLC0415 - orjson and rich are imported only when used, so that --help is fast

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TextIO

import click

from muse.cli.streams import end_if_output_is_lost
from muse.escaping import escape_for_terminal, escape_json_for_terminal

if TYPE_CHECKING:
    from rich.console import Console

_WIDTHS_FROM_ROWS = 200
_WIDEST_COLUMN = 40
_LONGEST_CELL = 1000


def note(text: str) -> None:
    """Print a note for people on standard error, so that it does not mix with the data."""
    click.echo(escape_for_terminal(text, keep="\n"), err=True)


def shown(text: str) -> str:
    """A text from a log as people see it: escaped, and cut if it is so long that laying it out would take seconds."""
    return escape_for_terminal(text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 1] + "…")


def pluralize(number: int, thing: str, things: str = "") -> str:
    """A number with its noun: 1 entry, 2 entries, 1,200 entries."""
    plural = things or (thing[:-1] + "ies" if thing.endswith("y") else thing + "s")
    return f"{number:,} {thing if number == 1 else plural}"


def print_json(*values: Any) -> None:
    """Print JSON objects at once, each as one line."""
    import orjson

    lines = b"".join(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in values)
    sys.stdout.buffer.write(escape_json_for_terminal(lines.decode()).encode() if sys.stdout.isatty() else lines)
    sys.stdout.buffer.flush()


def console(stream: TextIO) -> Console:
    """A rich console that uses colours only on a terminal, and only if NO_COLOR is not set."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        # In a pipe, each row is one line.
        width=None if terminal else 1_000_000,
        markup=False,
        highlight=False,
        emoji=False,
    )


_LARGE_TABLE_ROWS = 200


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """Print a table; the columns named in `right` are aligned right."""
    cells = [[shown(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row] for row in rows]
    if len(cells) > _LARGE_TABLE_ROWS:
        # rich takes half a millisecond for each row.
        _print_large_table(columns, cells, right=set(right))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console(sys.stdout)
    table = Table(box=box.SIMPLE_HEAD if out.is_terminal else None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(table)


def _print_large_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Container[str]) -> None:
    """Print a table line by line."""
    widths = [
        max(map(len, cells)) if name in right else 0 for name, *cells in zip(columns, columns, *rows, strict=True)
    ]
    padded = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in (columns, *rows)]
    lines = Columns(padded[0], padded[1:])
    sys.stdout.write("".join(f"{lines.line(row)}\n" for row in padded))


class Columns:
    """Formats rows in columns without holding all of them in memory: the first rows decide the widths.

    A later cell that is wider shifts only its own row. On a terminal, long lines are cut at the margin.
    """

    def __init__(self, columns: Sequence[str], first: Iterable[Sequence[str]], narrowest: Sequence[int] = ()) -> None:
        """`narrowest` holds the minimum width of each column; without it there is no minimum."""
        from rich.cells import cell_len

        cells = zip(*(map(shown, row) for row in (columns, *first)), strict=True)
        widths = [min(_WIDEST_COLUMN, max(map(cell_len, column))) for column in cells]
        self._widths = [max(pair) for pair in zip(widths, narrowest or (0,) * len(widths), strict=True)]
        self._widest = console(sys.stdout).width if sys.stdout.isatty() else 0

    def line(self, row: Sequence[str]) -> str:
        """One row, or the heading, as a line."""
        from rich.cells import cell_len

        cells = list(map(shown, row))
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, self._widths, strict=True)]
        text = "  ".join(padded).rstrip()
        return cut_to_width(text, self._widest) if self._widest else text


def cut_to_width(text: str, width: int) -> str:
    """Cut a text that needs more than `width` terminal cells, ending it with an ellipsis."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…" * (width > 0)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns as they come; if there are none, print nothing."""
    coming = iter(rows)
    first = list(islice(coming, _WIDTHS_FROM_ROWS))
    if first:
        table = Columns(columns, first)
        for row in chain([columns], first, coming):
            click.echo(table.line(row))
            end_if_output_is_lost()


def largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names with their counts, the largest count first, equal counts by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def tally(counts: Mapping[str, int]) -> str:
    """Names with their counts, the largest first: "music 12, code 3"."""
    largest = largest_first(counts)
    more = f", and {len(largest) - 4} more" if len(largest) > 5 else ""
    return ", ".join(f"{name} {count:,}" for name, count in (largest[:4] if more else largest)) + more
