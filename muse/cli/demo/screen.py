"""Shows the growing counts of a session: redrawn on a terminal, elsewhere one line per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from rich.live import Live
from rich.table import Table
from rich.text import Text

from muse.cli.output import console, largest_first, shown, tally

if TYPE_CHECKING:
    from rich.console import RenderableType

_LINE_EVERY_S = 1.0
_MOST_ACTORS = 10


class Screen:
    """Shows the counts that `show` is given. A context manager."""

    def __init__(self, stream: TextIO, tell: Callable[[str], None]) -> None:
        """Draw on `stream` if it is a terminal, else print lines with `tell`."""
        self._tell = tell
        self._started = time.monotonic()
        self._last_line_s = 0.0
        self._live = Live(console=console(stream), auto_refresh=False) if stream.isatty() else None

    def show(self, actors: Mapping[str, int], domains: Mapping[str, int], working: int, *, last: bool = False) -> None:
        """Show how many entries are in the log, by actor and by domain."""
        elapsed_s = time.monotonic() - self._started
        if self._live is not None:
            self._live.update(_table(elapsed_s, actors, domains, working), refresh=True)
        elif last or elapsed_s - self._last_line_s >= _LINE_EVERY_S:
            self._last_line_s = elapsed_s
            self._tell(f"   {elapsed_s:4.1f} s  {sum(domains.values()):>7,} in the log: {tally(domains)}")

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def _table(elapsed_s: float, actors: Mapping[str, int], domains: Mapping[str, int], working: int) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=True)
    table.add_column()
    table.add_column(justify="right")
    total = sum(domains.values())
    table.add_row(Text(f"{elapsed_s:.1f} s, {working} at work", "bold"), Text(f"{total:,}", "bold"))
    for name, count in sorted(domains.items()):
        table.add_row(Text(shown(f"domain {name}"), "cyan"), Text(f"{count:,}", "cyan"))
    largest = largest_first(actors)
    for name, count in largest[:_MOST_ACTORS]:
        table.add_row(Text(shown(f"  {name}")), Text(f"{count:,}"))
    if rest := largest[_MOST_ACTORS:]:
        table.add_row(Text(f"  and {len(rest)} more"), Text(f"{sum(count for _, count in rest):,}"))
    return table
