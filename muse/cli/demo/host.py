"""A host of the demo of replication: a process that records its part of the plan into a repository of its own.

It is started as a script with the arguments REPO SESSION PLAN RATE URL CUT_FROM CUT_UNTIL, the last two in seconds. In
between it is cut off: it records on, and nothing is replicated. To start it again after it was killed is safe.
"""

from __future__ import annotations

import time
from pathlib import Path

from muse.cli.demo.actor import exit_if_orphaned, parse_rate, run_script, send
from muse.cli.demo.plan import PlannedEdit, read_plan
from muse.core.op_log import OpEntry, OpLog
from muse.replicate import Replica, Settings

_POLL_S = 0.01
_MADE_AT = "2026-01-01T00:00:00+00:00"
"""The same each time, so that an edit that is recorded again is the same operation."""


class Host:
    """Records edits when they are due, and replicates but for the time when it is cut off."""

    def __init__(self, repo: str, session_id: str, url: str, cut: tuple[float, float]) -> None:
        self._repo = repo
        self._settings = Settings((url,), space="demo")
        self._replica: Replica | None = None
        self._cut_from, self._cut_until = cut
        self._began = time.monotonic()
        self._log = OpLog(repo, session_id)

    def record(self, edit: PlannedEdit, rate: float | None) -> None:
        """Append one edit, once it is due and what it depends on has come from the other hosts."""
        due = 0.0 if rate is None else edit.due_tick / rate
        while self._elapsed() < due or not all(self._log.get(op_id) for op_id in edit.awaited):
            self.connect()
            time.sleep(_POLL_S)
        self.connect()
        self._log.append(_entry(edit))

    def connect(self) -> None:
        """Begin or end replicating, as it is time for."""
        exit_if_orphaned()
        is_cut_off = self._cut_from <= self._elapsed() < self._cut_until
        if is_cut_off and self._replica is not None:
            self._replica.stop()
            self._replica = None
        elif not is_cut_off and self._replica is None:
            self._replica = Replica(self._repo, self._log.session_id, self._settings).start()

    def close(self) -> None:
        """Stop all of it."""
        if self._replica is not None:
            self._replica.stop()
        self._log.close()

    def _elapsed(self) -> float:
        return time.monotonic() - self._began


def _entry(edit: PlannedEdit) -> OpEntry:
    return {
        "op_id": edit.op_id,
        "actor_id": edit.actor_id,
        "lamport_ts": edit.lamport_ts,
        "parent_op_ids": edit.parent_op_ids,
        "domain": edit.domain,
        "domain_op": edit.domain_op,
        "created_at": _MADE_AT,
        "intent_id": "",
        "reservation_id": "",
    }


def main(repo: str, session_id: str, plan_path: str, rate: str, url: str, cut_from: str, cut_until: str) -> None:
    """Run one host until its part is recorded; then it goes on replicating until it is ended."""
    host = Host(repo, session_id, url, (float(cut_from), float(cut_until)))
    try:
        for edit in read_plan(Path(plan_path)):
            host.record(edit, parse_rate(rate))
        send("done")
        while True:
            host.connect()
            time.sleep(_POLL_S)
    finally:
        host.close()


if __name__ == "__main__":
    run_script(main)
