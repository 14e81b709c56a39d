"""Problems found while a session is watched, by the way or by a full check.

There are two kinds: states, which may end again (a torn tail, a damaged checkpoint), and events (a damaged line
arrived, the index was rebuilt). An event that happens again is shown once, with a count.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from muse.core.op_log import Finding, MuseError, OpLog

_MOST_KEPT = 100
_MOST_OF_A_CHECK = 20
_END_WITHIN_S = 2.0


class Findings:
    """The findings of one watch, each one line of text."""

    def __init__(self, clock: Callable[[], str]) -> None:
        """`clock` returns the time of day as text."""
        self._clock = clock
        self._events: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._states: dict[str, str] = {}

    def add_event(self, what: str) -> None:
        """Add an event."""
        times, _ = self._events.pop(what, (0, ""))
        self._events[what] = (times + 1, self._clock())
        while len(self._events) > _MOST_KEPT:
            self._events.popitem(last=False)

    def set_state(self, kind: str, what: str | None) -> None:
        """Set the state of `kind`: what is wrong with it now, or None if nothing is."""
        if what is None:
            self._states.pop(kind, None)
        else:
            self._states[kind] = what

    def lines(self) -> list[str]:
        """All events, the latest last, then all current states."""
        events = [
            f"{at} {what}{f' ({times} times)' if times > 1 else ''}" for what, (times, at) in self._events.items()
        ]
        return events + [f"now {what}" for what in self._states.values()]


class _StoppedError(Exception):
    """The watch ended before the check was finished."""


class Check:
    """A full check in a thread of its own, at most one at a time. The drawing thread reads `status` and `findings`.

    It is made when the user asks for it, because it reads the whole log, and watching should cost little.
    """

    def __init__(self, repo: Path, session_id: str, clock: Callable[[], str]) -> None:
        self._repo = repo
        self._session_id = session_id
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._stopped = False
        self.status = ""
        """The state of the check, in a few words; "" if none was started."""
        self.findings: list[str] = []
        """The findings of the last check."""

    def start(self) -> None:
        """Start a check, unless one is running."""
        if self._thread is None or not self._thread.is_alive():
            self.status, self.findings = "verify: begins", []
            self._thread = threading.Thread(target=self._run, name="verify", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the check at its next progress report, and wait for it briefly."""
        self._stopped = True
        if self._thread is not None:
            self._thread.join(_END_WITHIN_S)

    def _run(self) -> None:
        try:
            with OpLog(self._repo, self._session_id) as log:
                report = log.verify(progress=self._progress, max_findings=_MOST_OF_A_CHECK)
        except _StoppedError:
            return
        except (MuseError, OSError) as error:
            self.status = f"verify {self._clock()}: {error}"
        else:
            self.findings = [_said(finding) for finding in report.findings]
            counts = ", ".join(f"{number:,} {kind}" for kind, number in sorted(report.counts.items()))
            self.status = f"verify {self._clock()}: {counts or 'nothing found'} in {report.entries:,} entries"

    def _progress(self, done: int, total: int) -> None:
        if self._stopped:
            raise _StoppedError
        self.status = f"verify: {100 * done // max(total, 1)} %"


def _said(finding: Finding) -> str:
    place = "" if finding.byte_offset is None else f" at byte {finding.byte_offset:,}"
    return f"{finding.kind}{place}: {finding.reason}"
