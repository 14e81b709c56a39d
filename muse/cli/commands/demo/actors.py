"""The actors of the demo, each a process of its own, that record their edits into one log.

An actor reads its edits from standard input, one a line, and records each when it is due and its parents are in the
log. It is sent the first edits at once, the rest when the demo goes on after its commit; so some are always pending.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import IO

import orjson

from muse.cli.commands.demo.trace import Edit
from muse.cli.output.failures import SystemFailed
from muse.core.op_log import MuseError, OpLog

_ACT = (sys.executable, "-P", "-c", f"from {__name__} import act; act()")


class Actors:
    """The processes, at work from the beginning. A context manager: none is left when it ends."""

    def __init__(
        self, first: Sequence[Edit], rest: Sequence[Edit], repo: Path, session_id: str, seconds: float
    ) -> None:
        """Let each actor record its part of `first`, and after `may_go_on` its part of `rest`, all in `seconds`."""
        self.may_go_on = Event()
        """Set it to let the actors record the rest."""
        self._all: dict[str, subprocess.Popen[bytes]] = {}
        self._senders: list[Thread] = []
        # The package need not be installed; without -P or with "" the current folder could hide it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        for actor_id in dict.fromkeys(edit["actor_id"] for edit in (*first, *rest)):
            parts = [[orjson.dumps(e) + b"\n" for e in part if e["actor_id"] == actor_id] for part in (first, rest)]
            pause_s = seconds / sum(map(len, parts))
            self._all[actor_id] = process = subprocess.Popen(  # noqa: S603 - this module
                [*_ACT, repo, session_id, str(pause_s), str(os.getpid())],
                env=environment,
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            # A thread for each: an actor reads no faster than it records, and may wait for an edit of another.
            sender = Thread(target=self._send, args=(process.stdin, *map(b"".join, parts)), daemon=True)
            sender.start()
            self._senders.append(sender)

    def _send(self, stdin: IO[bytes], first: bytes, rest: bytes) -> None:
        with suppress(BrokenPipeError), stdin:  # an actor that is gone has told why
            stdin.write(first)
            stdin.flush()
            self.may_go_on.wait()
            stdin.write(rest)

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
        self.may_go_on.set()
        for sender, process in zip(self._senders, self._all.values(), strict=True):
            sender.join()
            with process:  # waits for it
                pass


def act() -> None:
    """Be an actor: REPO SESSION PAUSE_S DEMO, the seconds from one edit to the next and the process that started it."""
    repo, session_id, pause_s, demo = sys.argv[1:]
    started = time.monotonic()
    try:
        with OpLog(repo, session_id) as log:
            for number, line in enumerate(sys.stdin.buffer):
                edit = orjson.loads(line)
                due = started + number * float(pause_s)
                while time.monotonic() < due or not all(map(log.get, edit["parent_op_ids"])):
                    if os.getppid() != int(demo):
                        sys.exit("the demo has ended")
                    time.sleep(0.002)
                log.record(**edit)
    except (OSError, MuseError) as error:
        sys.exit(str(error))
