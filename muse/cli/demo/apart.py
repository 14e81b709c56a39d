"""The actor who works apart: a process that records the same session in a replica of its own.

Started as a script with REPO SESSION PLAN RATE OTHER_REPO. It takes over what OTHER_REPO's replica
holds once something has arrived there, and from then on sees nothing of it. It speaks with the main
process as `muse.cli.demo.actor` does.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from muse.cli.demo.actor import leave_if_alone, rate_of, say, wait_for_go
from muse.cli.demo.plan import PlannedEdit, read_plan
from muse.core.op_log import OpLog

_POLL_S = 0.01


def take_over(log: OpLog, other_repo: str) -> int:
    """Merge what the other replica holds, as soon as it holds anything."""
    with OpLog(other_repo, log.session_id) as other:
        while not len(other):
            leave_if_alone()
            time.sleep(_POLL_S)
        return log.merge(other)


def record(log: OpLog, plan: list[PlannedEdit], rate: float | None) -> int:
    """Record the plan's edits with this replica's own clock; return how many.

    In each domain the first depends on the last one taken over, each other on the one before it: the
    plan's own op_ids are not used, as nobody else waits for these edits.
    """
    latest: dict[str, str] = {entry["domain"]: entry["op_id"] for entry in log}
    started = time.monotonic()
    for number, edit in enumerate(plan):
        leave_if_alone()
        if rate is not None:
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        parents = [latest[edit.domain]] if edit.domain in latest else []
        entry = log.record(edit.actor_id, edit.domain, edit.domain_op, parent_op_ids=parents)
        latest[edit.domain] = entry["op_id"]
    return len(plan)


def main(repo: str, session_id: str, plan_path: str, rate: str, other_repo: str) -> None:
    """Be the actor who works apart, from start to end."""
    plan = read_plan(Path(plan_path))
    with OpLog(repo, session_id) as log:
        wait_for_go()
        take_over(log, other_repo)
        count = record(log, plan, rate_of(rate))
    say(f"done {count}")


if __name__ == "__main__":
    main(*sys.argv[1:])
