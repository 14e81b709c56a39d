"""One actor of the demo: a process that appends its part of the plan to the session.

It is started as a script with the arguments REPO SESSION PLAN RATE. RATE is edits per second, or "max". It exchanges
lines with the main process: it prints "ready" and waits for "go", and at the end it prints "done N" (N entries
acknowledged). If some of its edits are held back, it waits for "cut" before it writes them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from muse.cli.demo.plan import PlannedEdit, read_plan
from muse.core.op_log import OpEntry, OpLog, make_op_entry

_MOST_IN_BATCH = 256
_SHORTEST_WAIT_S = 0.0005
_LONGEST_WAIT_S = 0.005

REFUSED = "Error: "
"""Begins the line in which a process says what the system refused."""

_MAIN_PROCESS = os.getppid()


class Actor:
    """Writes planned edits. Each is written once it is due and its parents are in the log.

    An actor that keeps up with its schedule writes single edits. One that has fallen behind, or has no schedule,
    writes in batches.
    """

    def __init__(self, log: OpLog, rate: float | None, commands: IO[str]) -> None:
        """`rate` is ticks per second, or None for no schedule. The main process's lines are read from `commands`."""
        self.acknowledged = 0
        self._log = log
        self._rate = rate
        self._commands = commands
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
            _expect(self._commands, "cut")
            self._cut_was_taken = True

    def _wait_for(self, op_id: str) -> None:
        """Wait until another actor's entry is in the log."""
        if self._log.get(op_id) is not None:
            return
        # Write this batch first: the other actor may be waiting for an entry in it.
        self._flush()
        wait_s = _SHORTEST_WAIT_S
        while self._log.get(op_id) is None:
            exit_if_orphaned()
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _wait_until(self, moment: float) -> None:
        if moment > time.monotonic():
            self._flush()
            exit_if_orphaned()
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


def parse_rate(text: str) -> float | None:
    """Parse edits per second; return None for "max"."""
    return None if text == "max" else float(text)


def exit_if_orphaned() -> None:
    """Exit if the main process has ended, because nobody would use the result."""
    if os.getppid() != _MAIN_PROCESS:
        sys.exit("the main process has ended")


def send(what: str) -> None:
    """Send a line to the main process."""
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def _expect(commands: IO[str], word: str) -> None:
    line = commands.readline()
    if line.strip() != word:
        sys.exit(f"expected {word!r} from the main process, got {line!r}")


def wait_for_go() -> None:
    """Report that this process is ready, and wait for the common start."""
    send("ready")
    _expect(sys.stdin, "go")


def main(repo: str, session_id: str, plan_path: str, rate: str) -> None:
    """Run one actor."""
    plan = read_plan(Path(plan_path))
    with OpLog(repo, session_id) as log:
        actor = Actor(log, parse_rate(rate), sys.stdin)
        wait_for_go()
        actor.play(plan)
    send(f"done {actor.acknowledged}")


def run_script(main: Callable[..., None]) -> None:
    """Run `main` with the arguments of the script; what the system refuses ends it with one line, not a traceback."""
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(f"{REFUSED}{error}")


if __name__ == "__main__":
    run_script(main)
