"""Listing of entries: as a table for people, or as JSON lines or CSV for programs, with all or some fields.

Each entry is printed as it comes, so a list may be larger than memory, or endless.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from itertools import chain, islice, repeat
from typing import Any, Final

import click

from muse.cli.engine import engine
from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import Columns, json_text, note, time_width
from muse.cli.output.streams import end_if_output_is_lost
from muse.cli.output.together import together
from muse.describing import ENTRY_COLUMNS, WHOLE_COLUMNS, entry_cells
from muse.escaping import escape_for_terminal, escape_json_for_terminal
from muse.picking import MISSING, pick

FIELDS: Final = (
    "op_id",
    "actor_id",
    "lamport_ts",
    "parent_op_ids",
    "domain",
    "domain_op",
    "created_at",
    "intent_id",
    "reservation_id",
)
"""The nine fields of an entry, in the order of the format."""

_CHUNK_CHARACTERS = 1 << 16
_WIDTHS_FROM_ROWS = 200
_USUAL_WIDTHS: tuple[int, ...] = (7, 0, 12, 8, 8, 12, 0)


@dataclass
class Listing:
    """How to list entries; made by `listing_options`."""

    format: str
    fields: tuple[str, ...] | None
    """The fields given with --fields; None for the default fields of the format."""
    count: int = field(default=0, init=False)
    """How many entries have been listed."""
    _found: Counter[str] = field(default_factory=Counter, init=False)

    def print(self, entries: Iterable[engine.OpEntry], *, existing: int | None = None) -> None:
        """Print entries as they come.

        Args:
            entries: the entries to print.
            existing: None if all entries exist already. For an endless stream, how many exist already; these decide
                the column widths, and every line is then written before the next entry is awaited.
        """
        follows = existing is not None
        widths_from = _WIDTHS_FROM_ROWS if existing is None else existing
        if self.format == "table":
            _print(self._table_lines(self._counted(entries), widths_from, follows=follows), at_once=follows)
        else:
            lines = self._json_lines if self.format == "json" else self._csv_lines
            _print(lines(self._counted(entries)), at_once=follows, in_utf8=True)

    def note_unknown_fields(self) -> None:
        """Print a note for each field in --fields that no entry had, since it may be misspelt."""
        if self.count:
            for name in self.fields or ():
                if not self._found[name]:
                    note(f"no entry listed has a field {name!r}; every entry has {', '.join(FIELDS)}")

    def _counted(self, entries: Iterable[engine.OpEntry]) -> Iterator[engine.OpEntry]:
        for entry in entries:
            self.count += 1
            yield entry

    def _values(self, entry: engine.OpEntry, fields: Sequence[str]) -> list[Any]:
        values = [pick(entry, name) for name in fields]
        self._found.update(name for name, value in zip(fields, values, strict=True) if value is not MISSING)
        return [None if value is MISSING else value for value in values]

    def _json_lines(self, entries: Iterator[engine.OpEntry]) -> Iterator[str]:
        on_terminal = sys.stdout.isatty()
        for entry in entries:
            value = dict(zip(self.fields, self._values(entry, self.fields), strict=True)) if self.fields else entry
            line = json_text(value)
            yield escape_json_for_terminal(line) if on_terminal else line

    def _csv_lines(self, entries: Iterator[engine.OpEntry]) -> Iterator[str]:
        import csv

        fields = self.fields or FIELDS
        on_terminal = sys.stdout.isatty()
        text = StringIO()
        # The default dialect, RFC 4180: only with its line terminator is a lone carriage return quoted.
        writer = csv.writer(text)
        rows: Iterator[Sequence[str]] = (list(map(_cell, self._values(entry, fields))) for entry in entries)
        for row in chain([fields], rows):
            writer.writerow([escape_for_terminal(cell, keep="\n") for cell in row] if on_terminal else row)
            yield text.getvalue().removesuffix("\n")
            text.seek(0)
            text.truncate()

    def _table_lines(self, entries: Iterator[engine.OpEntry], widths_from: int, *, follows: bool) -> Iterator[str]:
        columns: tuple[str, ...] = ENTRY_COLUMNS
        narrowest = _USUAL_WIDTHS
        rows: Iterator[Sequence[str]] = map(entry_cells, entries, repeat(time_width()))
        if self.fields is not None:
            fields = columns = self.fields
            narrowest = (0,) * len(fields)
            rows = (list(map(_cell, self._values(entry, fields))) for entry in entries)
        first = list(islice(rows, widths_from))
        if first or follows:
            table = Columns(columns, first, whole=WHOLE_COLUMNS, narrowest=narrowest if follows else ())
            yield table.heading
            yield from map(table.line, chain(first, rows))


def _cell(value: Any) -> str:
    """A value as a table cell: text unchanged, None as "", anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def _print(lines: Iterable[str], *, at_once: bool, in_utf8: bool = False) -> None:
    """Print lines in chunks, or each line at once. JSON and CSV are UTF-8 in every locale."""
    pending: list[str] = []
    size = 0
    for line in lines:
        pending.append(line)
        size += len(line)
        if at_once or size >= _CHUNK_CHARACTERS:
            _write(pending, in_utf8=in_utf8)
            pending, size = [], 0
    _write(pending, in_utf8=in_utf8)


def _write(lines: Sequence[str], *, in_utf8: bool) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if in_utf8:
        sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
    else:
        sys.stdout.write(text)
    end_if_output_is_lost()


def _field_names(_context: click.Context, _parameter: click.Parameter, given: str | None) -> tuple[str, ...] | None:
    """Split an option's value at its commas into field names; None if the option was not given.

    Raises:
        BadParameter: there is no name, or one is empty or repeated.
    """
    if given is None:
        return None
    if not given.strip():
        raise click.BadParameter("no field is named: write them like actor_id,domain_op.address")
    names = tuple(name.strip() for name in given.split(","))
    if not all(names):
        raise click.BadParameter("a field name is empty: write them like actor_id,domain_op.address")
    if len(set(names)) < len(names):
        raise click.BadParameter("a field is given twice")
    return names


def _listing(format: str | None, fields: tuple[str, ...] | None, *, as_json: bool) -> Listing:  # noqa: A002 - the option's name
    if as_json and format not in (None, "json"):
        raise WrongUsage(f"--json and --format {format} contradict each other: choose one")
    return Listing("json" if as_json else format or "table", fields)


listing_options = together(
    "listing",
    _listing,
    click.option("--format", type=click.Choice(["table", "json", "csv"]), help="The output format; default: table."),
    click.option("--json", "as_json", is_flag=True, help="Short for --format json: one entry per line."),
    click.option(
        "--fields",
        callback=_field_names,
        metavar="NAME,NAME…",
        help="Show only these fields, in this order; a dot names an inner field, as in domain_op.address.",
    ),
)
"""`--format`, `--json` and `--fields`; the command receives them as `listing`."""
