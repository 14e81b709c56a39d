"""A child process that replicates, as the program that started it sees it; `child` is the other side.

It is a process because a thread would take the interpreter away from whoever records. It ends with the program, however
that ends: then its input ends. If it ends by itself, it is started again. Nothing secret is in its command line
or its environment: what it is to do, it reads.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from muse.core.op_log import InvalidArgumentError, OpLog
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.errors import ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.settings import Settings
from muse.replicate.status import ReplicaStatus, bytes_to_send, overdue

_log = logging.getLogger(__name__)

_STOP_SECONDS, _END_SECONDS = 15.0, 2.0
_PAUSE_SECONDS = 3.0


class ReplicatingProcess:
    """One replica. Threads may share it; in a process that was forked from this one it has stopped."""

    def __init__(self, repo_root: Path | str, session_id: str, settings: Settings, log_options: dict[str, Any]) -> None:
        if importlib.util.find_spec("nats") is None:
            raise ReplicationUnavailableError("nats-py is missing: pip install 'muse-op-log[nats]'")
        root = Path(repo_root).absolute()
        with OpLog(root, session_id, **log_options) as log:
            self._log_path = log.path
        self._folder = ReplicaFolder(root, settings.space, session_id)
        self._order = {
            "repo_root": str(root),
            "session_id": session_id,
            "settings": asdict(settings),
            "log_options": {**log_options, "options": (given := log_options.get("options")) and asdict(given)},
        }
        self._wishes: dict[str, Any] = {"take_over": False, "wanted": 0}
        self._changed = threading.Condition()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._failure: Exception | None = None
        self._status = ReplicaStatus()
        self._synced = 0
        self._sent_to = self._folder.load().sent_to

    @property
    def was_started(self) -> bool:
        """Whether it was, and nobody has stopped it; it may have ended by itself."""
        return self._thread is not None and not self._is_stopping

    def start(self) -> None:
        """Begin; a `ReplicaBusyError` if this session of this repository is being replicated already."""
        if self._thread is not None:
            raise InvalidArgumentError("replicate: was started already")
        lock_fd = self._folder.lock()
        self._status = ReplicaStatus(is_running=True)
        _started.add(self)
        thread = threading.Thread(target=self._work, args=(lock_fd,), name="muse-replicate", daemon=True)
        try:
            thread.start()
        except BaseException:  # there may be too many threads
            self._status = ReplicaStatus()
            self._folder.unlock()
            raise
        self._thread = thread

    def _work(self, lock_fd: int) -> None:
        try:
            while True:
                try:
                    why = self._run_child(lock_fd)
                except OSError as error:
                    why = f"no process can be started to replicate: {error}"
                if self._is_over():
                    return
                if why != self._status.last_error:
                    _log.warning("%s: %s", self._folder.path, why)
                with self._changed:
                    self._note({"is_connected": False, "is_caught_up": False, "last_error": why})
                    if self._changed.wait_for(self._is_over, _PAUSE_SECONDS):
                        return
        finally:
            self._folder.unlock()
            with self._changed:
                self._note({"is_running": False, "is_connected": False, "is_caught_up": False})

    def _is_over(self) -> bool:
        return self._is_stopping or self._failure is not None

    def _run_child(self, lock_fd: int) -> str:
        """Start it, take in what it tells until it ends, and say how it ended."""
        # It has the lock too: as long as it works, even if this process is dead, nobody else may.
        with (
            tempfile.TemporaryFile(dir=self._folder.folder) as said,
            subprocess.Popen(
                [sys.executable, "-P", "-m", "muse.replicate.process.child"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                pass_fds=(lock_fd,),
                # It has to find the same packages as this process, wherever that has them from.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            ) as child,
        ):
            if child.stdin is not None:
                # One that does not read must not keep anybody waiting.
                os.set_blocking(child.stdin.fileno(), False)
            with self._changed:
                self._child = child
                level = logging.getLogger("muse").getEffectiveLevel()
                self._write({**self._order, "wishes": self._wishes, "log_level": level, "parent": os.getpid()})
                if self._is_stopping:
                    self._write({"stop": True})
            self._listen(child)
            with self._changed:
                self._child = None
            if child.stdin is not None:
                child.stdin.close()
            try:
                code = child.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                # Stopped by a signal, perhaps. Killed anywhere, it loses nothing.
                child.kill()
                code = child.wait()
            said.seek(0)
            why = said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the process that replicates has ended ({code})" + (f": {why}" if why else "")

    # -- what it tells ---------------------------------------------------------------------------------

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        rest = b""
        while self._failure is None and child.stdout and (chunk := os.read(child.stdout.fileno(), 1 << 16)):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                # Others may print something, as modules do that are loaded whenever Python starts.
                with suppress(ValueError):
                    if line.startswith(b"{"):
                        self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        if record := told.get("log"):
            level, name, text = record
            logging.getLogger(name).log(level, "%s", text)
            return
        with self._changed:
            self._synced = told.get("synced", self._synced)
            if self._synced >= self._wishes["wanted"]:
                # Done once: by now another replica may have taken over.
                self._wishes["take_over"] = False
            self._sent_to = told.get("sent_to", self._sent_to)
            if failure := told.get("failure"):
                self._failure = _error(*failure)
            self._note(told.get("status", {}))

    def _note(self, changes: dict[str, Any]) -> None:
        self._status = replace(self._status, **changes)
        self._changed.notify_all()

    # -- what it is told -------------------------------------------------------------------------------

    def _write(self, line: dict[str, Any]) -> None:
        # If it has ended, whoever listens to it learns that.
        with suppress(OSError):
            if self._child is not None and self._child.stdin is not None:
                self._child.stdin.write(json.dumps(line).encode() + b"\n")

    def end(self) -> None:
        """Have it end soon."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
            self._write({"stop": True})

    def stop(self) -> None:
        """End it, and wait until nothing of it works any more. What is not sent yet is sent the next time."""
        if self._thread is None:
            return
        self.end()
        self._thread.join(_STOP_SECONDS)
        with self._changed:
            if self._child is not None:
                self._child.kill()
        self._thread.join(_STOP_SECONDS)

    def wish(self, *, take_over: bool = False) -> int:
        """Ask for everything to be exchanged; the number of this wish."""
        with self._changed:
            self._wishes = {"take_over": take_over or self._wishes["take_over"], "wanted": self._wishes["wanted"] + 1}
            self._write(self._wishes)
            return int(self._wishes["wanted"])

    def is_done(self, number: int) -> bool:
        """Whether a wish was fulfilled; raises if it never will be."""
        if self._synced >= number:
            return True
        if self._failure is not None:
            # The same error each time, but not with all that it went through before.
            raise self._failure.with_traceback(None)
        if not self._status.is_running:
            raise ReplicationUnavailableError(f"{self._folder.path}: replication is not running")
        return False

    def wait(self, number: int, timeout: float) -> None:
        """Wait until a wish is fulfilled; a `ReplicationUnavailableError` if it takes too long."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.is_done(number), timeout):
                raise self.overdue(timeout)

    def overdue(self, seconds: float) -> ReplicationUnavailableError:
        """That it took too long."""
        return overdue(seconds, self.status())

    def status(self) -> ReplicaStatus:
        """How it stood a tenth of a second ago, at most."""
        return replace(self._status, to_send_bytes=bytes_to_send(self._log_path, self._sent_to))

    def forget(self) -> None:
        """After a fork: this process has no thread that listens, and must not keep the child alive."""
        child, self._child = self._child, None
        self._changed = threading.Condition()
        self._status, self._thread = ReplicaStatus(), None
        if child is not None:
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            # It is not this process's child, so not one to wait for.
            child.returncode = 0


def _error(name: str, text: str) -> Exception:
    if name == ReplicationRefusedError.__name__:
        return ReplicationRefusedError(text)
    return ReplicationUnavailableError(text if name == ReplicationUnavailableError.__name__ else f"{name}: {text}")


_started: weakref.WeakSet[ReplicatingProcess] = weakref.WeakSet()


def _in_child() -> None:
    for process in list(_started):
        process.forget()


os.register_at_fork(after_in_child=_in_child)
