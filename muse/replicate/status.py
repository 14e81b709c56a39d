"""How a replica stands: what its rounds note, and what its users are told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muse.replicate.errors import ReplicationUnavailableError


@dataclass(frozen=True)
class ReplicaStatus:
    """How a replica stands."""

    is_running: bool = False
    """Whether it tries at all: not before it was started, after it was stopped or the server has refused it."""
    is_connected: bool = False
    """Whether it has a connection that works."""
    is_caught_up: bool = False
    """Whether all that the server had at the last look is in the log."""
    to_send_bytes: int = 0
    """How much of the log is not known to be in the stream yet."""
    to_receive: int = 0
    """How many messages of the stream were to come at the last delivery."""
    refused: int = 0
    """How many operations of others can't be taken over; they are logged, with their reasons."""
    would_refuse: int = 0
    """How many were taken over, unchanged, that a guard would have refused, since the start. Only `sync` has one."""
    rewinds: int = 0
    """How often something was missing in the stream, so that everything was compared again."""
    last_error: str = ""
    """Why the last round ended; "" as long as one works."""
    url: str = ""
    """The server that it was last connected to."""


@dataclass
class Progress:
    """What a replica's thread tells others, and is asked by them."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    is_connected: bool = False
    is_caught_up: bool = False
    sent_to: int = 0
    to_receive: int = 0
    rewinds: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    would_refuse: int = 0
    last_error: str = ""
    url: str = ""
    take_over: bool = False
    """Whether this replica is to become the committer."""
    wanted: int = 0
    """How often somebody has asked for everything to be exchanged."""
    synced: int = 0
    """Up to which of these it was."""

    def note(self, **changes: Any) -> None:
        """Change some of it, and wake who waits."""
        if not changes or any(getattr(self, name) != value for name, value in changes.items()):
            with self.changed:
                for name, value in changes.items():
                    setattr(self, name, value)
                self.changed.notify_all()


def bytes_to_send(log_path: Path, sent_to: int) -> int:
    """How much of a log lies above a byte offset."""
    try:
        return max(log_path.stat().st_size - sent_to, 0)
    except OSError:
        return 0


def overdue(seconds: float, status: ReplicaStatus) -> ReplicationUnavailableError:
    """That a wait took too long."""
    why = status.last_error or f"{status.to_send_bytes} bytes to send, {status.to_receive} messages to receive"
    return ReplicationUnavailableError(f"not everything was exchanged within {round(seconds, 1):g} seconds: {why}")
