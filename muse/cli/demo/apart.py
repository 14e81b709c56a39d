"""The offline actor: a process that records the same session in a replica of its own.

It is started as a script with the arguments REPO SESSION PLAN RATE OTHER_REPO. It merges OTHER_REPO's replica once,
as soon as that holds an entry. After that it works without it. It exchanges the same lines with the main process as
`muse.cli.demo.actor`.
"""

from __future__ import annotations

import time
from pathlib import Path

from muse.cli.demo.actor import exit_if_orphaned, parse_rate, run_script, send, wait_for_go
from muse.cli.demo.plan import PlannedEdit, read_plan
from muse.core.op_log import OpLog

_POLL_S = 0.01


def take_over(log: OpLog, other_repo: str) -> int:
    """Merge the other replica once, as soon as it holds an entry; return how many entries came."""
    with OpLog(other_repo, log.session_id) as other:
        while not len(other):
            exit_if_orphaned()
            time.sleep(_POLL_S)
        return log.merge(other)


def record(log: OpLog, plan: list[PlannedEdit], rate: float | None) -> int:
    """Record the plan's edits with this replica's own clock; return how many there are.

    In each domain, every edit depends on the one before it, and the first on the last merged entry. The op_ids of the
    plan are not used, because no other process waits for these edits.
    """
    latest: dict[str, str] = {entry["domain"]: entry["op_id"] for entry in log}
    started = time.monotonic()
    for number, edit in enumerate(plan):
        exit_if_orphaned()
        if rate is not None:
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        parents = [latest[edit.domain]] if edit.domain in latest else []
        entry = log.record(edit.actor_id, edit.domain, edit.domain_op, parent_op_ids=parents)
        latest[edit.domain] = entry["op_id"]
    return len(plan)


def main(repo: str, session_id: str, plan_path: str, rate: str, other_repo: str) -> None:
    """Run the offline actor."""
    plan = read_plan(Path(plan_path))
    with OpLog(repo, session_id) as log:
        wait_for_go()
        take_over(log, other_repo)
        count = record(log, plan, parse_rate(rate))
    send(f"done {count}")


if __name__ == "__main__":
    run_script(main)
