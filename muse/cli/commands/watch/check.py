"""A full check of the watched session, made in a thread of its own when the user asks for it.

It does not start by itself, because it reads the whole log, and watching a live session should cost little.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from muse.core.op_log import Finding, MuseError, OpLog

_MOST_FINDINGS = 20
_END_WITHIN_S = 2.0


class _StoppedError(Exception):
    """The watch ended before the check was finished."""


class Check:
    """Runs at most one check at a time. The drawing thread reads `status` and `findings`."""

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
                report = log.verify(progress=self._progress, max_findings=_MOST_FINDINGS)
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
