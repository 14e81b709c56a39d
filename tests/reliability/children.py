"""The child process of the reliability tests: `python -m tests.reliability.children REPO DURABILITY STEP...`.

Each step is a call on one handle, such as `append:3`; what came of it is one JSON line on standard output,
written at once, so that a kill can't take back an acknowledgement.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from muse.core.op_log import MuseError, OpLog
from tests import making
from tests.workers import mode, say


def numbers(argument: str) -> list[int]:
    """The numbers of "3" or "3-7"."""
    first, _, last = argument.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _peak_kib(log: OpLog, argument: str) -> int:
    """The most memory this process has had. (What getrusage says begins with what the parent had.)"""
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1])


def _limit(log: OpLog, argument: str) -> None:
    wanted = resource.RLIM_INFINITY if argument == "none" else int(argument)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wanted, resource.RLIM_INFINITY))


STEPS: dict[str, Callable[[OpLog, str], Any]] = {
    "append": lambda log, argument: log.append(making.entry(int(argument))),
    "batch": lambda log, argument: log.append_many([making.entry(number) for number in numbers(argument)]),
    "checkpoint": lambda log, argument: log.checkpoint(argument)["op_count"],
    "count": lambda log, argument: log.count(domain="music"),
    "get": lambda log, argument: log.get(making.op_id(int(argument))),
    "limit": _limit,
    "read": lambda log, argument: [entry["op_id"] for entry in log],
    "rebuild": lambda log, argument: log.rebuild_index(),
    "replay": lambda log, argument: [entry["op_id"] for entry in log.replay_since_checkpoint()],
    "size": lambda log, argument: log.path.stat().st_size,
    "verify": lambda log, argument: sorted(log.verify().counts),
    "peak": _peak_kib,
}


def act(log: OpLog, steps: list[str]) -> None:
    """Take the steps one after the other, whatever each of them raises, and tell."""
    for step in steps:
        name, _, argument = step.partition(":")
        told: dict[str, Any] = {"step": step}
        try:
            told["result"] = STEPS[name](log, argument)
        except Exception as error:  # noqa: BLE001 - whatever comes is what the test wants to know
            told["error"] = type(error).__name__
            told["errno"] = getattr(error, "errno", None)
            told["text"] = str(error)
            told["ours"] = isinstance(error, MuseError)
        say(told)


def main() -> None:
    """Open session "s", take the steps, close it."""
    repo, durability, *steps = sys.argv[1:]
    with OpLog(Path(repo), "s", durability=mode(durability)) as log:
        act(log, steps)


if __name__ == "__main__":
    main()
