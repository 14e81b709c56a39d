"""The handle of one replica, for a program with threads or an event loop; a process of its own does the work."""

from __future__ import annotations

import asyncio
import time
import warnings
from pathlib import Path
from typing import Any, Self

from muse.commit import CommitHistory
from muse.commit.rebase import rebase_session
from muse.core.op_log import OpLog
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.process.parent import ReplicatingProcess
from muse.replicate.settings import Settings
from muse.replicate.status import ReplicaStatus

_POLL_SECONDS = 0.01


class _Handle:
    def __init__(self, repo_root: Path | str, session_id: str, settings: Settings, **log_options: Any) -> None:
        """Nothing happens before it is started. `log_options` are other arguments of `OpLog`, such as `durability`.

        Raises:
            ReplicationUnavailableError: `nats-py` is not installed.
        """
        self._process = ReplicatingProcess(repo_root, session_id, settings, log_options)

    def status(self) -> ReplicaStatus:
        """How it stood a tenth of a second ago, at most."""
        return self._process.status()

    def __del__(self) -> None:
        process = self.__dict__.get("_process")
        if process is not None and process.status().is_running:
            warnings.warn(f"{self!r} was not stopped", ResourceWarning, stacklevel=2, source=self)
            process.end()


class Replica(_Handle):
    """Replicates one session by a process of its own, as long as a `with` block lasts; `OpLog.replicate` makes one.

    Recording goes on whatever becomes of the server. What happens is logged, and told by `status`. When this program
    ends, however that is, the process ends too; in a child that was forked the handle is one that has stopped.
    """

    def start(self) -> Self:
        """Begin; a `ReplicaBusyError` if this session of this repository is being replicated already."""
        self._process.start()
        return self

    def stop(self) -> None:
        """End it, and wait until nothing of it works any more. What is not sent yet is sent the next time."""
        self._process.stop()

    def __enter__(self) -> Self:
        return self if self._process.was_started else self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_synced(self, timeout: float) -> None:
        """Wait until all that is in the log by now is in the stream, and the other way round.

        Raises:
            ReplicationUnavailableError: it took longer than `timeout` seconds; it goes on all the same.
            ReplicationRefusedError: the server refuses this host.
        """
        self._process.wait(self._process.wish(), timeout)

    def take_over(self, timeout: float) -> None:
        """Have this replica be the one that commits; `muse.replicate.become_committer` does all it takes.

        Raises as `wait_synced`.
        """
        self._process.wait(self._process.wish(take_over=True), timeout)


class AsyncReplica(_Handle):
    """`Replica` for an event loop, which it does not block: `async with` instead of `with`."""

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._process.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End it, and wait until nothing of it works any more."""
        await asyncio.shield(asyncio.to_thread(self._process.stop))

    async def wait_synced(self, timeout: float) -> None:
        """`Replica.wait_synced`; other tasks go on meanwhile."""
        number = self._process.wish()
        deadline = time.monotonic() + timeout
        while not self._process.is_done(number):
            if time.monotonic() > deadline:
                raise self._process.overdue(timeout)
            await asyncio.sleep(_POLL_SECONDS)


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
