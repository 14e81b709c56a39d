"""The handle of one replica: a thread of its own, or a task of an event loop, that works round after round."""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from muse.commit import CommitHistory
from muse.commit.rebase import finish_rebase, rebase_session
from muse.core.op_log import InvalidArgumentError, MuseError, OpLog
from muse.replicate.committer import Note
from muse.replicate.errors import ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.messages import stream_name, subject_of
from muse.replicate.save_point import ReplicaFolder, SavePoint
from muse.replicate.settings import Settings

_log = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 3.0
_REWIND_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 15.0
_TELL_SECONDS = 1.0


@dataclass(frozen=True)
class ReplicaStatus:
    """How a replica stands."""

    is_running: bool
    """Whether it tries at all: not before it was started, after it was stopped or the server has refused it."""
    is_connected: bool
    """Whether it has a connection that works."""
    is_caught_up: bool
    """Whether all that the server had at the last look is in the log."""
    to_send_bytes: int
    """How much of the log is not known to be in the stream yet."""
    to_receive: int
    """How many messages of the stream were to come at the last delivery."""
    refused: int
    """How many operations of others can't be taken over; they are logged, with their reasons."""
    rewinds: int
    """How often something was missing in the stream, so that everything was compared again."""
    last_error: str
    """Why the last round ended; "" as long as one works."""
    url: str
    """The server that it was last connected to."""


class _Worker:
    """Works round after round, until it is cancelled or the server refuses it for good."""

    def __init__(
        self, repo_root: Path, session_id: str, settings: Settings, durability: Literal["os", "fsync"]
    ) -> None:
        # By name, as only this module needs `nats`: the others are of use without it.
        try:
            self._rounds: Any = importlib.import_module("muse.replicate.round")
            self._links: Any = importlib.import_module("muse.replicate.link")
            self._streams: Any = importlib.import_module("muse.replicate.stream")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("nats"):
                raise
            raise ReplicationUnavailableError("nats-py is missing: pip install 'muse-op-log[nats]'") from error
        self._repo_root = repo_root
        self._session_id = session_id
        self._settings = settings
        self._durability = durability
        self.folder = ReplicaFolder(repo_root, settings.space, session_id)
        self.progress = self._rounds.Progress(sent_to=self.folder.load().sent_to)
        with OpLog(repo_root, session_id) as log:
            self._log_path = log.path
        self._note = Note.of(repo_root, session_id, settings)
        self.is_running = False
        self.failure: Exception | None = None

    async def run(self) -> None:
        """Work; raises nothing but what cancels it. The lock is held already."""
        pause = _FIRST_PAUSE_SECONDS
        telling = asyncio.create_task(self._keep_telling())
        try:
            await asyncio.to_thread(finish_rebase, self._repo_root, self._session_id, self.folder.folder.parent)
            saved = self.folder.load()
            while True:
                began = time.monotonic()
                try:
                    await self._round(saved)
                except self._rounds.Rewind as reason:
                    _log.warning("%s: everything is compared again: %s", self.folder.path, reason)
                    self.progress.note(rewinds=self.progress.rewinds + 1, last_error=str(reason))
                    saved = SavePoint.rewound()
                    # If it can't be written, the old one does not agree with the server after a restart either.
                    with suppress(OSError):
                        self.folder.save(saved)
                    # Not all hosts at once: who comes later finds most of it sent.
                    await asyncio.sleep(random.uniform(0, _REWIND_PAUSE_SECONDS))  # noqa: S311
                except ReplicationRefusedError:
                    raise
                except (MuseError, OSError, TimeoutError) as error:
                    self._tell(error)
                    pause = _FIRST_PAUSE_SECONDS if time.monotonic() - began > _LONGEST_PAUSE_SECONDS else pause * 2
                    pause = min(pause, _LONGEST_PAUSE_SECONDS)
                    await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
                    saved = self.folder.load()
        except Exception as error:  # noqa: BLE001 - told to whoever asks, as nobody awaits this
            self._tell(error)
            self.failure = error
        finally:
            telling.cancel()
            self.is_running = False
            self.progress.note(is_connected=False)

    async def _keep_telling(self) -> None:
        told = None
        while True:
            status = self.status()
            if status != told:
                with suppress(OSError):
                    await asyncio.to_thread(self.folder.save_status, asdict(status))
                told = status
            await asyncio.sleep(_TELL_SECONDS)

    def _tell(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if text != self.progress.last_error:
            _log.warning("%s: %s", self.folder.path, text)
        self.progress.note(last_error=text)

    async def _round(self, saved: SavePoint) -> None:
        space = self._settings.space
        async with self._links.Link(self._settings) as link:
            stream = self._streams.Stream(link, stream_name(space))
            # Opened anew for each round, as a log that was replaced can't be used through an old handle.
            log = OpLog(self._repo_root, self._session_id, durability=self._durability, max_lamport_jump=None)
            try:
                if not await asyncio.to_thread(saved.fits, log):
                    _log.warning("%s: the log is not as it was: everything is compared again", self.folder.path)
                    saved = SavePoint.rewound()
                subject = subject_of(space, "ops", self._session_id)
                await self._rounds.Round(
                    link, log, stream, subject, self.folder, saved, self.progress, self._note
                ).run()
            finally:
                log.close()

    def want_sync(self) -> int:
        """Ask for everything to be exchanged; the number of this wish."""
        with self.progress.changed:
            self.progress.wanted += 1
            return int(self.progress.wanted)

    def is_synced(self, number: int) -> bool:
        """Whether it was done; raises if it never will be."""
        if self.progress.synced >= number:
            return True
        if self.failure is not None:
            raise self.failure
        if not self.is_running:
            raise ReplicationUnavailableError(f"{self.folder.path}: replication is not running")
        return False

    def overdue(self, seconds: float) -> ReplicationUnavailableError:
        """That it took too long."""
        why = self.progress.last_error or (
            f"{self._to_send_bytes()} bytes to send, {self.progress.to_receive} messages to receive"
        )
        return ReplicationUnavailableError(f"not everything was exchanged within {round(seconds, 1):g} seconds: {why}")

    def _to_send_bytes(self) -> int:
        try:
            size = self._log_path.stat().st_size
        except OSError:
            return 0
        return max(size - int(self.progress.sent_to), 0)

    def status(self) -> ReplicaStatus:
        """How it stands."""
        progress = self.progress
        return ReplicaStatus(
            is_running=self.is_running,
            is_connected=progress.is_connected,
            is_caught_up=progress.is_caught_up,
            to_send_bytes=self._to_send_bytes(),
            to_receive=progress.to_receive,
            refused=len(progress.refused),
            rewinds=progress.rewinds,
            last_error=progress.last_error,
            url=progress.url,
        )


class Replica:
    """Replicates one session from a thread of its own, as long as a `with` block lasts; `OpLog.replicate` makes one.

    Recording goes on whatever becomes of the server. What happens is logged, and told by `status`.
    """

    def __init__(
        self,
        repo_root: Path | str,
        session_id: str,
        settings: Settings,
        *,
        durability: Literal["os", "fsync"] = "os",
    ) -> None:
        """Nothing happens before `start`.

        Raises:
            ReplicationUnavailableError: `nats-py` is not installed.
        """
        self._worker = _Worker(Path(repo_root).absolute(), session_id, settings, durability)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> Self:
        """Begin; a `ReplicaBusyError` if this session of this repository is being replicated already."""
        if self._thread is not None:
            raise InvalidArgumentError("replicate: was started already")
        self._worker.folder.lock()
        self._worker.is_running = True
        started = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(started,), name="muse-replicate", daemon=True)
        self._thread.start()
        started.wait(_STOP_SECONDS)
        return self

    def _work(self, started: threading.Event) -> None:
        async def main() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            started.set()
            with suppress(asyncio.CancelledError):
                await self._worker.run()

        try:
            asyncio.run(main())
        finally:
            self._worker.is_running = False
            self._worker.folder.unlock()
            self._worker.progress.note()

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

    def wait_synced(self, timeout: float) -> None:
        """Wait until all that is in the log by now is in the stream, and the other way round.

        Raises:
            ReplicationUnavailableError: it took longer than `timeout` seconds; it goes on all the same.
            ReplicationRefusedError: the server refuses this host.
        """
        number = self._worker.want_sync()
        changed = self._worker.progress.changed
        with changed:
            if not changed.wait_for(lambda: self._worker.is_synced(number), timeout):
                raise self._worker.overdue(timeout)

    def take_over(self, timeout: float) -> None:
        """Have this replica be the one that commits; `muse.replicate.become_committer` does all it takes.

        Raises as `wait_synced`.
        """
        self._worker.progress.note(take_over=True)
        self.wait_synced(timeout)

    def status(self) -> ReplicaStatus:
        """How it stands."""
        return self._worker.status()


class AsyncReplica:
    """`Replica` as a task of an event loop, which it does not block: `async with` instead of `with`."""

    def __init__(
        self,
        repo_root: Path | str,
        session_id: str,
        settings: Settings,
        *,
        durability: Literal["os", "fsync"] = "os",
    ) -> None:
        self._worker = _Worker(Path(repo_root).absolute(), session_id, settings, durability)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._worker.folder.lock()
        self._worker.is_running = True
        self._task = asyncio.get_running_loop().create_task(self._worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End it, and wait until nothing of it works any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._worker.is_running = False
        self._worker.folder.unlock()

    async def wait_synced(self, timeout: float) -> None:
        """`Replica.wait_synced`; other tasks go on meanwhile."""
        number = self._worker.want_sync()
        deadline = time.monotonic() + timeout
        while not self._worker.is_synced(number):
            if time.monotonic() > deadline:
                raise self._worker.overdue(timeout)
            await asyncio.sleep(0.01)

    def status(self) -> ReplicaStatus:
        """How it stands."""
        return self._worker.status()


def become_committer(
    repo_root: Path | str, session_id: str, settings: Settings, target: CommitHistory, *, timeout: float = 60.0
) -> bool:
    """Have this replica make the commits of a session from now on, with its log beginning with what was committed.

    To call it again is right after any failure. Close all handles on the session before.

    Args:
        repo_root: the repository.
        session_id: the session.
        settings: the server and the space.
        target: where the commits are; it has to have all of them.
        timeout: how many seconds catching up may take.

    Returns:
        Whether the log was made anew.

    Raises:
        CommitDivergedError: the target has commits of operations that are nowhere to be had yet.
        ReplicationUnavailableError, ReplicationRefusedError, ReplicaBusyError: as `Replica`.
    """
    root = Path(repo_root).absolute()
    with Replica(root, session_id, settings) as replica:
        replica.wait_synced(timeout)
        replica.take_over(timeout)
    folder = ReplicaFolder(root, settings.space, session_id)
    folder.lock()
    try:
        was_made_anew = rebase_session(root, session_id, target, folder.folder.parent)
    finally:
        folder.unlock()
    with OpLog(root, session_id) as log:
        log.check_may_commit()
    return was_made_anew
