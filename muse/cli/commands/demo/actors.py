"""The actors of the demo, each a process of its own, that record their edits into one log.

An actor reads its edits from standard input, one a line, and records each when it is due and its parents are in the
log. It keeps the last ones until there is a checkpoint, so that some are always pending after it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

import orjson

from muse.cli.commands.demo.trace import Edit
from muse.cli.output.failures import SystemFailed
from muse.core.op_log import MuseError, OpLog


def environment() -> Mapping[str, str]:
    """With it a process imports this package, which need not be installed, wherever it starts; -P keeps it first."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class Actors:
    """The processes, at work from the beginning. A context manager: none is left when it ends."""

    def __init__(self, edits: Sequence[Edit], free: int, repo: Path, session_id: str, seconds: float) -> None:
        """Let each actor record its part of the edits in `seconds`; only the first `free` before a checkpoint."""
        self._all: dict[str, subprocess.Popen[bytes]] = {}
        for actor_id in dict.fromkeys(edit["actor_id"] for edit in edits):
            mine = [(number >= free, edit) for number, edit in enumerate(edits) if edit["actor_id"] == actor_id]
            act = f"from {__name__} import act; act()"
            with TemporaryFile() as lines:
                lines.writelines(orjson.dumps(each) + b"\n" for each in mine)
                lines.seek(0)
                self._all[actor_id] = subprocess.Popen(  # noqa: S603 - this module
                    [sys.executable, "-P", "-c", act, repo, session_id, str(seconds / len(mine)), str(os.getpid())],
                    env=environment(),
                    stdin=lines,
                    stderr=subprocess.PIPE,
                )

    def are_working(self) -> bool:
        """Whether any is at work; a `SystemFailed` if one has failed, with what it said last."""
        for actor_id, process in self._all.items():
            if process.poll() and process.stderr:
                said = process.stderr.read().decode(errors="replace").splitlines()
                reason = said[-1] if said else f"exit code {process.returncode}"
                raise SystemFailed(f"the process of {actor_id} failed: {reason}")
        return any(process.returncode is None for process in self._all.values())

    def __enter__(self) -> Actors:
        return self

    def __exit__(self, *_failure: object) -> None:
        for process in self._all.values():
            process.kill()
        for process in self._all.values():
            process.communicate()


def act() -> None:
    """Be an actor: REPO SESSION PAUSE_S DEMO, the seconds from one edit to the next and the process that started it."""
    repo, session_id, pause_s, demo = sys.argv[1:]
    started = time.monotonic()
    try:
        with OpLog(repo, session_id) as log:
            for number, line in enumerate(sys.stdin.buffer):
                waits, edit = orjson.loads(line)
                due = started + number * float(pause_s)
                while (
                    time.monotonic() < due
                    or not all(map(log.get, edit["parent_op_ids"]))
                    or (waits and log.read_checkpoint() is None)
                ):
                    if os.getppid() != int(demo):
                        sys.exit("the demo has ended")
                    time.sleep(0.002)
                log.record(**edit)
    except (OSError, MuseError) as error:
        sys.exit(str(error))
