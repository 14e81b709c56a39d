"""The figures as a table on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.figure import Figure


def show(
    console: Console, title: str, sides: tuple[str, str], figures: dict[str, Figure], left_out: dict[str, str]
) -> None:
    """Print the figures, and why others were left out; `sides` are what was measured in turn."""
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "measured", "against"):
        table.add_column(heading, overflow="fold")
    for heading in (*sides, "ratio", "goal", "verdict"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, figure in figures.items():
        table.add_row(
            name,
            figure.what,
            figure.against,
            amount(figure.ours, figure.measured),
            "" if figure.other is None else amount(figure.other, figure.measured),
            _value(figure.value, figure.unit),
            "" if figure.goal is None else f"≤ {_value(figure.goal, figure.unit)}",
            _verdict(figure),
        )
    console.print(table)
    for name, reason in left_out.items():
        console.print(f"{name} was left out: {reason}", style="yellow", markup=False)


def _verdict(figure: Figure) -> Text:
    if figure.goal is None:
        return Text("")
    return Text("met", "green") if figure.met else Text(f"missed, {figure.value / figure.goal:.2f} x goal", "bold red")


def _value(value: float, unit: str) -> str:
    shown = f"{value:.4f}".rstrip("0").rstrip(".") if value < 0.1 else f"{value:.2f}"
    return shown if unit == "ratio" else f"{shown} {unit}"


def amount(value: float, measured: str) -> str:
    """A time in seconds or a number of bytes, with the unit that suits it."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    if measured == "bytes":
        units = (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10))
    for unit, one in units:
        if value >= one:
            return f"{value / one:,.3g} {unit}" if value < 1000 * one else f"{value / one:,.0f} {unit}"
    unit, one = units[-1]
    return f"{value / one:.2f} {unit}"
