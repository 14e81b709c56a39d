"""The work of one replica: a thread of this process that works round after round.

It runs in `muse op-log sync`, and in the child process of a program that calls `OpLog.replicate`: not in that program
itself, as a thread of it would take the interpreter away from whoever records.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from muse.commit.rebase import finish_rebase
from muse.core.op_log import InvalidArgumentError, MuseError, OpLog
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.bookkeeping.note import Note
from muse.replicate.bookkeeping.save_point import SavePoint
from muse.replicate.errors import ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.exchange.round import Round
from muse.replicate.exchange.sender import Rewind
from muse.replicate.settings import Settings
from muse.replicate.status import Progress, ReplicaStatus, bytes_to_send, overdue
from muse.replicate.wire.link import Link
from muse.replicate.wire.stream import Stream

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 3.0
_REWIND_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 15.0
_TELL_SECONDS = 1.0


class Worker:
    """Replicates one session as long as a `with` block lasts."""

    def __init__(self, repo_root: Path | str, session_id: str, settings: Settings, **log_options: Any) -> None:
        """Nothing happens before `start`. `log_options` are arguments of the `OpLog` that it opens."""
        self._repo_root = Path(repo_root).absolute()
        self._session_id = session_id
        self._settings = settings
        self._log_options = log_options
        self._folder = ReplicaFolder(self._repo_root, settings.space, session_id)
        self.progress = Progress(sent_to=self._folder.load().sent_to)
        with OpLog(self._repo_root, session_id) as log:
            self._log_path = log.path
        self._note = Note.of(self._repo_root, session_id, settings)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_running = False
        self.failure: Exception | None = None
        """What has ended it for good."""

    def start(self, *, is_locked: bool = False) -> Self:
        """Begin; a `ReplicaBusyError` if this session of this repository is being replicated already.

        `is_locked`: who started this process has the lock.
        """
        if self._thread is not None:
            raise InvalidArgumentError("replicate: was started already")
        if not is_locked:
            self._folder.lock()
        self._is_running = True
        started = threading.Event()
        thread = threading.Thread(target=self._work, args=(started,), name="muse-replicate", daemon=True)
        try:
            thread.start()
        except BaseException:  # there may be too many threads
            self._is_running = False
            self._folder.unlock()
            raise
        self._thread = thread
        started.wait(_STOP_SECONDS)
        return self

    def _work(self, started: threading.Event) -> None:
        async def main() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            started.set()
            with suppress(asyncio.CancelledError):
                await self._run()

        try:
            asyncio.run(main())
        except (OSError, RuntimeError) as error:
            # No event loop can be made or ended: too many files are open, or there are too many threads.
            self._tell(error)
        finally:
            started.set()
            self._is_running = False
            self._folder.unlock()
            self.progress.note()

    def stop(self) -> None:
        """End it, and wait until nothing of it works any more. What is not sent yet is sent the next time."""
        if self._thread is None:
            return
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_STOP_SECONDS)

    def __enter__(self) -> Self:
        return self if self._thread is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- round after round -----------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        telling = asyncio.create_task(self._keep_telling())
        saved = self._folder.load()
        try:
            while True:
                began = time.monotonic()
                try:
                    await self._round(saved)
                except Rewind as reason:
                    _log.warning("%s: everything is compared again: %s", self._folder.path, reason)
                    self.progress.note(rewinds=self.progress.rewinds + 1, last_error=str(reason))
                    saved = SavePoint.rewound()
                    # If it can't be written, the old one does not agree with the server after a restart either.
                    with suppress(OSError):
                        self._folder.save(saved)
                    # Not all hosts at once: who comes later finds most of it sent.
                    await asyncio.sleep(random.uniform(0, _REWIND_PAUSE_SECONDS))  # noqa: S311
                except ReplicationRefusedError as error:
                    self._tell(error)
                    self.failure = error
                    return
                except Exception as error:  # noqa: BLE001 - whatever this machine lacks just now, it may have later
                    self._tell(error)
                    pause = _FIRST_PAUSE_SECONDS if time.monotonic() - began > _LONGEST_PAUSE_SECONDS else pause * 2
                    pause = min(pause, _LONGEST_PAUSE_SECONDS)
                    await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                    saved = self._folder.load()
        finally:
            telling.cancel()
            self.progress.note(is_connected=False)

    async def _keep_telling(self) -> None:
        told = None
        while True:
            status = self.status()
            if status != told:
                with suppress(OSError, RuntimeError):
                    await asyncio.to_thread(self._folder.save_status, asdict(status))
                told = status
            await asyncio.sleep(_TELL_SECONDS)

    def _tell(self, error: Exception) -> None:
        is_foreseen = isinstance(error, MuseError | OSError)
        text = str(error) if is_foreseen and str(error) else f"{type(error).__name__}: {error}".removesuffix(": ")
        if text != self.progress.last_error:
            _log.warning("%s: %s", self._folder.path, text, exc_info=None if is_foreseen else error)
        self.progress.note(last_error=text)

    async def _round(self, saved: SavePoint) -> None:
        await asyncio.to_thread(finish_rebase, self._repo_root, self._session_id, self._folder.folder.parent)
        async with Link(self._settings) as link:
            stream = Stream(link, self._settings.space, self._session_id)
            # Opened anew for each round, as a log that was replaced can't be used through an old handle.
            log = OpLog(self._repo_root, self._session_id, max_lamport_jump=None, **self._log_options)
            try:
                if not await asyncio.to_thread(saved.fits, log):
                    _log.warning("%s: the log is not as it was: everything is compared again", self._folder.path)
                    # Nothing was lost in the stream: what others send just now is the same message.
                    saved = SavePoint(salt=saved.salt)
                await Round(stream, log, self._folder, saved, self.progress, self._note).run()
            finally:
                log.close()

    # -- what others ask -------------------------------------------------------------------------------

    def wait_synced(self, timeout: float) -> None:
        """Wait until all that is in the log by now is in the stream, and the other way round.

        Raises:
            ReplicationUnavailableError: it took longer than `timeout` seconds; it goes on all the same.
            ReplicationRefusedError: the server refuses this host.
        """
        changed = self.progress.changed
        with changed:
            self.progress.wanted += 1
            number = self.progress.wanted
            if not changed.wait_for(lambda: self._is_synced(number), timeout):
                raise overdue(timeout, self.status())

    def _is_synced(self, number: int) -> bool:
        if self.progress.synced >= number:
            return True
        if self.failure is not None:
            raise self.failure
        if not self._is_running:
            why = self.progress.last_error and f": {self.progress.last_error}"
            raise ReplicationUnavailableError(f"{self._folder.path}: replication is not running{why}")
        return False

    def status(self) -> ReplicaStatus:
        """How it stands."""
        progress = self.progress
        return ReplicaStatus(
            is_running=self._is_running and self.failure is None,
            is_connected=progress.is_connected,
            is_caught_up=progress.is_caught_up,
            to_send_bytes=bytes_to_send(self._log_path, progress.sent_to),
            to_receive=progress.to_receive,
            refused=len(progress.refused),
            would_refuse=progress.would_refuse,
            rewinds=progress.rewinds,
            last_error=progress.last_error,
            url=progress.url,
        )
