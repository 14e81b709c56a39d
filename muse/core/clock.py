"""The Lamport clock of one handle: logical time, which orders operations without wall clocks.

Whoever has seen an operation gives its next one a higher number (L. Lamport, "Time, Clocks, and the Ordering of Events
in a Distributed System", 1978). So one timestamp that is far too high lifts all later ones above it, in every replica.
"""

from __future__ import annotations

import uuid

from muse.core.errors import LimitExceededError
from muse.core.options import MAX_LAMPORT_TS


class LamportClock:
    """Counts upwards: above all it has seen and all it gave out. Its owner locks."""

    def __init__(self, max_jump: int) -> None:
        """`max_jump`: how far above all it has seen a timestamp may lie that is not its own."""
        self.now = 0
        """The highest timestamp that it has seen or given out."""
        self.max_jump = max_jump

    def observe(self, lamport_ts: int) -> None:
        """Move to at least `lamport_ts`."""
        self.now = max(self.now, lamport_ts)

    def tick(self) -> int:
        """The next timestamp.

        Raises:
            LimitExceededError: the log holds the largest timestamp there is.
        """
        if self.now >= MAX_LAMPORT_TS:
            raise LimitExceededError(
                f"lamport_ts: the log already holds {self.now}, the largest timestamp there is: an entry was "
                "appended with a timestamp far too high; find it with query(min_lamport_ts=…), and go on in a new "
                "session"
            )
        self.now += 1
        return self.now

    def refusal(self, op_id: bytes, lamport_ts: int) -> LimitExceededError:
        """Why a timestamp that lies more than `max_jump` above `now` is not taken."""
        return LimitExceededError(
            f"lamport_ts: {lamport_ts} of {uuid.UUID(bytes=op_id)} is more than {self.max_jump} above {self.now}, the "
            "highest so far: a clock has gone wrong, and all later timestamps would have to be above it; correct it, "
            "or open the log with a larger max_lamport_jump (None takes all)"
        )
