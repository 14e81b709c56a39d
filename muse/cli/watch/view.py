"""What a picture of the session shows: plain values, as of one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from muse.core.op_log import OpEntry, OpLogCheckpoint

HISTORY_PARTS = 20
"""In how many parts an actor's last minute is drawn."""


@dataclass(frozen=True)
class ActorView:
    """One actor: how much, and how fast lately."""

    actor_id: str
    ops: int
    rate_10s: float
    rate_60s: float
    history: Sequence[int]
    """The last minute in `HISTORY_PARTS` parts, the oldest first."""


@dataclass(frozen=True)
class View:
    """The whole session."""

    session_id: str
    ops: int
    rate_10s: float
    size_bytes: int
    max_lamport_ts: int
    pending: int | None
    """None where the checkpoint can't be used."""
    checkpoint: OpLogCheckpoint | None
    domains: Mapping[str, int]
    actors: Sequence[ActorView]
    """The most active first; no more than a screen can have lines."""
    more_actors: int
    """How many there are besides."""
    newest: Sequence[OpEntry]
    """The last ops to arrive, in arrival order."""
    findings: Sequence[str]
    """What is or was wrong since the watch began, the newest last."""
    check: str
    """How the full check stands, "" where none was asked for."""
