"""Output of the commands: data on standard output, notes on standard error.

Tables are for people, JSON is for programs. Control characters from a log never reach a terminal (`muse.escaping`),
and rich never interprets markup found in data.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TextIO

import click

from muse.escaping import escape_for_terminal, escape_json_for_terminal

if TYPE_CHECKING:
    from rich.console import Console

_WIDTHS_FROM_ROWS = 2000
_WIDEST_COLUMN = 40
_NARROWEST = 8
_USUAL = 80
_WIDE = 120
_LONGEST_CELL = 1000
_SURROGATE = re.compile("[\ud800-\udfff]")


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


def pace(ops_per_minute: float | None) -> str:
    """A number of ops a minute; "-" if it is not known."""
    return "-" if ops_per_minute is None else f"{ops_per_minute:,.{0 if ops_per_minute >= 100 else 1}f}"


def short_commit(snapshot_id: str) -> str:
    """What a commit is called, with the digits of a hash cut to the first twelve."""
    return snapshot_id[:12] if re.fullmatch("[0-9a-f]{40,64}", snapshot_id) else snapshot_id


def print_json(*values: Any) -> None:
    """Print JSON objects at once, each as one line."""
    lines = "".join(f"{json_text(value)}\n" for value in values)
    sys.stdout.buffer.write((escape_json_for_terminal(lines) if sys.stdout.isatty() else lines).encode())
    sys.stdout.buffer.flush()


def json_text(value: Any) -> str:
    """A value as JSON on one line. Of a file's name or an argument that is not UTF-8, bytes are shown as escapes."""
    import orjson

    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        # The escape of a lone surrogate would be JSON too, but strict readers refuse it.
        return _SURROGATE.sub(lambda found: rf"\\u{ord(found[0]):04x}", text)


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


def terminal_width() -> int:
    """The columns of the terminal that the output goes to; 0 if it goes elsewhere, where any line has room."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def is_narrow() -> bool:
    """Whether the output goes to a terminal on which a table has to leave something out."""
    return 0 < terminal_width() < _WIDE


def time_width() -> int:
    """How much of a time there is room for in a table: date and time, the same without the year, or the time of day."""
    return 19 if not is_narrow() else 14 if terminal_width() >= _USUAL else 8


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = (), whole: Sequence[str] = ()
) -> None:
    """Print rows in columns as they come, each on one line; if there are none, print nothing.

    Args:
        columns: the headings.
        rows: the cells of each row.
        right: the columns to align right, and never to narrow.
        whole: further columns never to narrow.
    """
    coming = ([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)
    first = list(islice(coming, _WIDTHS_FROM_ROWS))
    if first:
        table = Columns(columns, first, right=right, whole=whole)
        sys.stdout.writelines(f"{line}\n" for line in chain([table.heading], map(table.line, chain(first, coming))))
        # Notes on standard error come after it.
        sys.stdout.flush()


def print_fields(fields: Iterable[tuple[str, str]], title: str = "") -> None:
    """Print names with their values; a value that is too long for the terminal goes on below itself."""
    from rich.text import Text

    shown_fields = [(shown(name), shown(value)) for name, value in fields]
    indent = max((len(name) for name, _ in shown_fields), default=0) + 2
    out = console(sys.stdout)
    if title:
        click.echo(f"\n{title}")
    for name, value in shown_fields:
        for number, line in enumerate(Text(value).wrap(out, max(out.width - indent, _NARROWEST)) or [""]):
            click.echo(f"{'' if number else name:<{indent}}{line}".rstrip())


class Columns:
    """Formats rows in columns, each on one line, without holding all of them: the first rows decide the widths.

    A later cell that is wider shifts its own row. On a terminal no line is longer than a row of it: where there is no
    room for all, the widest columns are narrowed; where that is not enough, the last ones are left out.
    """

    def __init__(
        self,
        columns: Sequence[str],
        first: Iterable[Sequence[str]],
        *,
        right: Sequence[str] = (),
        whole: Sequence[str] = (),
        narrowest: Sequence[int] = (),
    ) -> None:
        """`narrowest` holds the minimum width of each column; without it there is no minimum."""
        from rich.cells import cell_len

        self._room = terminal_width()
        cells = zip(*(map(shown, row) for row in (columns, *first)), strict=False)
        widths = [max(map(cell_len, column)) for column in cells]
        if not self._room:
            widths = [min(_WIDEST_COLUMN, width) for width in widths]
        widths = list(map(max, widths, narrowest or widths))
        kept = {*right, *whole}
        least = [
            width if name in kept else min(width, max(cell_len(name), _NARROWEST))
            for name, width in zip(columns, widths, strict=True)
        ]
        self._widths = _fitted(widths, least, self._room) if self._room else widths
        self._is_narrowed = self._widths != widths
        self._right = [name in right for name in columns]
        is_bold = self._room > 0 and not os.environ.get("NO_COLOR")
        self.heading = click.style(self.line(columns), bold=True) if is_bold else self.line(columns)

    def line(self, row: Sequence[str]) -> str:
        """One row as a line."""
        from rich.cells import cell_len

        padded: list[str] = []
        for cell, width, right in zip(map(shown, row), self._widths, self._right, strict=False):
            # The last column has all that is left of the line.
            is_cut = self._is_narrowed and len(padded) < len(self._widths) - 1
            fitting = cut_to_width(cell, width) if is_cut else cell
            space = " " * (width - cell_len(fitting))
            padded.append(space + fitting if right else fitting + space)
        text = "  ".join(padded).rstrip()
        return cut_to_width(text, self._room) if self._room else text


def _fitted(widths: list[int], least: list[int], room: int) -> list[int]:
    """The widths of the columns that have room side by side: the widest give way first, then the last are left out."""
    while len(widths) > 1 and sum(least) + 2 * (len(least) - 1) > room:
        widths, least = widths[:-1], least[:-1]
    limit = max(widths)
    fitted = widths
    while limit > 0 and sum(fitted) + 2 * (len(fitted) - 1) > room:
        limit -= 1
        fitted = [max(low, min(width, limit)) for width, low in zip(widths, least, strict=True)]
    return fitted


def cut_to_width(text: str, width: int) -> str:
    """Cut a text that needs more than `width` terminal cells, ending it with an ellipsis."""
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, max(width - 1, 0)) + "…" * (width > 0)


def largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names with their counts, the largest count first, equal counts by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def tally(counts: Mapping[str, int]) -> str:
    """Names with their counts, the largest first: "music 12, code 3"."""
    largest = largest_first(counts)
    more = f", and {len(largest) - 4} more" if len(largest) > 5 else ""
    return ", ".join(f"{name} {count:,}" for name, count in (largest[:4] if more else largest)) + more
