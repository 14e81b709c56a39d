"""What a run leaves behind: the table, and if asked for a JSON file and a chart."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from rich.console import Console

from benchmarks import table
from benchmarks.figure import Figure
from benchmarks.machine import machine

_WIDTH_IN_A_FILE = 250


@dataclass
class Report:
    """The figures of one run so far."""

    title: str
    options: dict[str, object]
    sides: tuple[str, str] = ("ours", "other")
    """What stands above the times of the two that were measured in turn."""
    figures: dict[str, Figure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def show(self) -> None:
        """Print the table on the standard output, into a file or pipe with each figure on one line."""
        console = Console(width=None if sys.stdout.isatty() else _WIDTH_IN_A_FILE)
        table.show(console, self.title, self.sides, self.figures, self.left_out)

    def write_json(self, path: Path) -> None:
        """Write everything, each round included."""
        content = {
            "title": self.title,
            "machine": machine(),
            "options": self.options,
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "left_out": self.left_out,
        }
        path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
