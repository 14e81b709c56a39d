"""The Lamport clock of one handle.

Timestamps order what happened without wall clocks: whoever has seen an operation gives its next one
a higher number (L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978).
"""

from __future__ import annotations

from muse.core.errors import LimitExceededError
from muse.core.options import MAX_LAMPORT_TS


class LamportClock:
    """Counts upwards: above all it has seen and all it gave out. Its owner locks."""

    def __init__(self) -> None:
        self._now = 0

    def observe(self, lamport_ts: int) -> None:
        """Move to at least `lamport_ts`."""
        self._now = max(self._now, lamport_ts)

    def tick(self) -> int:
        """The next timestamp.

        Raises:
            LimitExceededError: the log holds the largest timestamp there is.
        """
        if self._now >= MAX_LAMPORT_TS:
            raise LimitExceededError(
                f"lamport_ts: the log already holds {self._now}, the largest timestamp there is: an entry was "
                "appended with a timestamp far too high; find it with query(min_lamport_ts=…), and go on in a new "
                "session"
            )
        self._now += 1
        return self._now
