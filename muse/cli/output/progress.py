"""A progress bar on standard error, for work that takes more than a second. Shown only on a terminal."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from muse.cli.output.printing import console
from muse.escaping import escape_for_terminal

if TYPE_CHECKING:
    from rich.progress import Progress

_SHOWN_AFTER_S = 1.0


class ProgressBar:
    """A context manager around the work, and the work's progress callback: `bar(done, total)`.

    If the work never calls it, the bar pulses. It may be called from any thread. A call only stores two numbers, so
    it hardly slows the work down.
    """

    def __init__(self, what: str, unit: str = "") -> None:
        """`what` is the label of the bar. With `unit` "bytes" amounts are shown as sizes, else as plain numbers."""
        self._what = escape_for_terminal(what)
        self._unit = unit
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._ended = False
        self._timer: threading.Timer | None = None

    def __call__(self, done: int, total: int) -> None:
        """Store how far the work has come."""
        bar = self._bar
        if bar is not None:
            bar.update(bar.task_ids[0], completed=done, total=total)

    def __enter__(self) -> ProgressBar:
        if sys.stderr.isatty():
            self._timer = threading.Timer(_SHOWN_AFTER_S, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_failure: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        from rich import progress

        what = progress.TextColumn("{task.description}", markup=False)
        amount = progress.DownloadColumn() if self._unit == "bytes" else progress.MofNCompleteColumn()
        columns = (what, progress.BarColumn(), amount, progress.TimeElapsedColumn())
        bar = progress.Progress(*columns, console=console(sys.stderr), transient=True)
        bar.add_task(self._what, total=None)
        # The work may have ended while rich was being imported.
        with self._lock:
            if not self._ended:
                self._bar = bar
                bar.start()
