"""The values that the screen shows, as of one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muse.cli.engine import engine

HISTORY_PARTS = 20
"""The number of parts in which an actor's last minute is drawn."""


@dataclass(frozen=True)
class ActorView:
    """One actor: its number of ops and its recent rates."""

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
    """None if the checkpoint is damaged."""
    checkpoint: engine.OpLogCheckpoint | None
    domains: Mapping[str, int]
    actors: Sequence[ActorView]
    """The most active first; at most as many as a screen has lines."""
    more_actors: int
    """The number of actors not in `actors`."""
    newest: Sequence[engine.OpEntry]
    """The last ops to arrive, in arrival order."""
    findings: Sequence[str]
    """Problems found since the watch began, the newest last."""
    check: str
    """The state of the full check; "" if none was started."""
