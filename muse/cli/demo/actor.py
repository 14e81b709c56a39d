"""One actor of the demo: a process of its own that writes its part of the plan into the session.

Started as a script with REPO SESSION PLAN RATE, RATE being edits a second, or "max". It speaks with the
main process in lines: it says "ready", is told "go", says "done N" (N entries acknowledged). In
between it may wait for "cut", after which it writes the edits that were held back.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import IO

from muse.cli.demo.plan import PlannedEdit, read_plan
from muse.core.op_log import OpEntry, OpLog, make_op_entry

_MOST_IN_BATCH = 256
_SHORTEST_WAIT_S = 0.0005
_LONGEST_WAIT_S = 0.005

_MAIN_PROCESS = os.getppid()


class Actor:
    """Writes planned edits, each no sooner than it is due and its parents are in the log.

    What is due is written at once. So a process that keeps up writes edit by edit, and one that fell
    behind, or has no pace, writes what it may in batches.
    """

    def __init__(self, log: OpLog, rate: float | None, told: IO[str]) -> None:
        """`rate` is ticks a second, None for no waiting; `told` is where the main process speaks."""
        self.acknowledged = 0
        self._log = log
        self._rate = rate
        self._told = told
        self._batch: list[OpEntry] = []
        self._cut_was_taken = False

    def play(self, plan: list[PlannedEdit]) -> None:
        """Write the whole plan."""
        started = time.monotonic()
        for edit in plan:
            if edit.held:
                self._wait_for_cut()
            for op_id in edit.awaited:
                self._wait_for(op_id)
            if self._rate is not None:
                self._wait_until(started + edit.due_tick / self._rate)
            self._batch.append(_entry(edit))
            if len(self._batch) >= _MOST_IN_BATCH:
                self._flush()
        self._flush()

    def _wait_for_cut(self) -> None:
        if not self._cut_was_taken:
            self._flush()
            _expect(self._told, "cut")
            self._cut_was_taken = True

    def _wait_for(self, op_id: str) -> None:
        """Wait until another actor's entry is in the log."""
        if self._log.get(op_id) is not None:
            return
        # Its writer may itself be waiting for an entry of this batch.
        self._flush()
        wait_s = _SHORTEST_WAIT_S
        while self._log.get(op_id) is None:
            leave_if_alone()
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _wait_until(self, moment: float) -> None:
        if moment > time.monotonic():
            self._flush()
            leave_if_alone()
            time.sleep(max(0.0, moment - time.monotonic()))

    def _flush(self) -> None:
        if len(self._batch) == 1:
            self.acknowledged += self._log.append(self._batch[0])
        elif self._batch:
            self.acknowledged += self._log.append_many(self._batch)
        self._batch.clear()


def _entry(edit: PlannedEdit) -> OpEntry:
    entry = make_op_entry(edit.actor_id, edit.domain, edit.domain_op, edit.lamport_ts, parent_op_ids=edit.parent_op_ids)
    entry["op_id"] = edit.op_id
    return entry


def rate_of(text: str) -> float | None:
    """Edits a second; None for "max"."""
    return None if text == "max" else float(text)


def leave_if_alone() -> None:
    """End this process when the main one is gone: nobody would hear of the work."""
    if os.getppid() != _MAIN_PROCESS:
        sys.exit("the main process is gone")


def say(what: str) -> None:
    """Tell the main process."""
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def _expect(told: IO[str], word: str) -> None:
    line = told.readline()
    if line.strip() != word:
        sys.exit(f"expected to be told {word!r}, was told {line!r}")


def wait_for_go() -> None:
    """Say that everything is prepared, and wait for the common start."""
    say("ready")
    _expect(sys.stdin, "go")


def main(repo: str, session_id: str, plan_path: str, rate: str) -> None:
    """Be one actor, from start to end."""
    plan = read_plan(Path(plan_path))
    with OpLog(repo, session_id) as log:
        actor = Actor(log, rate_of(rate), sys.stdin)
        wait_for_go()
        actor.play(plan)
    say(f"done {actor.acknowledged}")


if __name__ == "__main__":
    main(*sys.argv[1:])
