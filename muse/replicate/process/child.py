"""The process that replicates for another one: `parent` starts it, with two pipes.

Lines of JSON come in: first what to do, then wishes. Lines of JSON go out: how it stands whenever that changes, and
what is logged. When its input ends, so has the program that started it, and this process ends at once, as if it were
killed too: whoever starts that program again must not find the session in use.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections import deque
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from muse.core.op_log import Options
from muse.replicate.settings import Settings

_TELL_SECONDS = 0.1
"""How often it is told how it stands, at most, as whoever listens records meanwhile."""
_MOST_RECORDS = 1000


class _Records(logging.Handler):
    """Keeps what is logged until it is told; the oldest is dropped if nobody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: deque[tuple[int, str, str]] = deque(maxlen=_MOST_RECORDS)

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append((record.levelno, record.name, self.format(record)))


def main() -> None:
    """Do what the first line says, until told to stop."""
    # A terminal sends these to the program too: it decides what becomes of this process.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    order = _next_line()
    records = _Records()
    logging.getLogger().addHandler(records)
    logging.getLogger("muse").setLevel(order["log_level"])
    try:
        from muse.replicate.process.worker import Worker  # noqa: PLC0415 - if it can't be imported, that is told

        settings = Settings(**{**order["settings"], "urls": tuple(order["settings"]["urls"])})
        options = order["log_options"]
        if options.get("options"):
            options["options"] = Options(**options["options"])
        worker = Worker(Path(order["repo_root"]), order["session_id"], settings, **options)
        worker.progress.note(**order["wishes"])
    except Exception as error:  # noqa: BLE001 - told to the other process
        _write({"failure": (type(error).__name__, str(error))})
        return
    # What it said until here is told if it ends; nobody reads more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    worker.start(is_locked=True)
    telling = threading.Thread(target=_keep_telling, args=(worker, records, order["parent"]), daemon=True)
    telling.start()
    while "stop" not in (line := _next_line()):
        worker.progress.note(**line)
    worker.stop()
    telling.join()


def _next_line() -> dict[str, Any]:
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        os._exit(0)
    found: dict[str, Any] = json.loads(line)
    return found


def _write(told: dict[str, Any]) -> None:
    try:
        sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
        sys.stdout.buffer.flush()
    except OSError:
        os._exit(0)


def _keep_telling(worker: Any, records: _Records, parent: int) -> None:
    progress, told = worker.progress, None
    # A process that was forked from the parent may hold the other end of the pipe.
    while os.getppid() == parent:
        status = replace(worker.status(), to_send_bytes=0)
        now = {"synced": progress.synced, "sent_to": progress.sent_to, "status": asdict(status)}
        if worker.failure is not None:
            now["failure"] = (type(worker.failure).__name__, str(worker.failure))
        while records.kept:
            _write({"log": records.kept.popleft()})
        if now != told:
            _write(now)
            told = now
        if not status.is_running:
            # Stopped, or for want of files or threads: if it was not told to stop, it is started again.
            break
        with progress.changed:
            progress.changed.wait_for(lambda now=now: progress.synced != now["synced"], _TELL_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
