"""Statistics of one session: who did what, when, and what depends on what.

`session_stats` reads the log once, through the public API. Its memory depends on the number of actors, domains, kinds
of op and causal heads (`muse.arrivals`), not on the number of ops.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from muse.arrivals import Arrivals
from muse.bins import Bins
from muse.core.op_log import Cut, DamagedCheckpointError, InvalidCutError, OpEntry, OpLog, OpLogCheckpoint, parse_time

_PROGRESS_EACH_OPS = 1000
_MOST_BINS = 64
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


@dataclass(frozen=True)
class ActorStats:
    """What one actor did."""

    ops: int
    kinds: dict[str, int]
    """Ops by kind, most first."""
    domains: dict[str, int]
    """Ops by domain, most first."""
    first_created_at: str | None
    """The earliest `created_at`, as written in the log; None if no `created_at` is a valid time."""
    last_created_at: str | None
    """The latest `created_at`; None if no `created_at` is a valid time."""
    min_lamport_ts: int
    max_lamport_ts: int
    bins: tuple[int, ...]
    """Ops over wall time, in the bins of `SessionStats.wall_time`."""


@dataclass(frozen=True)
class DomainStats:
    """What happened in one domain."""

    ops: int
    kinds: dict[str, int]
    """Ops by kind, most first."""
    actors: dict[str, int]
    """Ops by actor, most first."""
    bins: tuple[int, ...]
    """Ops over wall time, in the bins of `SessionStats.wall_time`."""


@dataclass(frozen=True)
class WallTime:
    """When ops were made, according to their `created_at`. Nothing is ordered by this field."""

    first_created_at: str | None
    """The earliest `created_at`, as written in the log; None if no `created_at` is a valid time."""
    last_created_at: str | None
    """The latest `created_at`; None if no `created_at` is a valid time."""
    span_s: float
    """Seconds from the earliest to the latest."""
    bins_start: str | None
    """When the first bin begins, ISO 8601 in UTC."""
    bin_width_s: float
    bins: tuple[int, ...]
    """Ops in each bin; at most 64; they begin at multiples of their width."""
    missing: int
    """Ops whose `created_at` is empty; they are not in any bin."""
    unparsable: int
    """Ops whose `created_at` is not an ISO 8601 time; they are not in any bin."""
    out_of_order: int
    """Ops with a `created_at` before the latest `created_at` that had arrived earlier."""


@dataclass(frozen=True)
class SessionStats:
    """What one session holds up to a cut."""

    session_id: str
    ops: int
    size_bytes: int
    """Bytes of the log up to the cut."""
    checkpoint: OpLogCheckpoint | None
    """The most recent checkpoint; None if there is none, or if it is damaged (see `problem`)."""
    pending: int | None
    """Ops up to the cut that arrived after the checkpoint; None if the checkpoint is damaged."""
    problem: str | None
    """What is wrong with the checkpoint and what to do about it; None if nothing is."""
    damaged_lines: int
    """Lines of the log that were passed over, because they are no entry any more."""
    actors: dict[str, ActorStats]
    """By actor_id, most ops first."""
    domains: dict[str, DomainStats]
    """By name, most ops first."""
    kinds: dict[str, int]
    """Ops by kind, most first; an op whose `op` field is missing or not a string is "untyped"."""
    min_lamport_ts: int
    """The lowest Lamport timestamp; 0 if there is no op."""
    max_lamport_ts: int
    """The highest Lamport timestamp; 0 if there is no op."""
    wall_time: WallTime
    late: int
    """Ops whose timestamp is below the highest timestamp that had arrived before them."""
    concurrent: int
    """Ops that arrived while the log already held an op that is not one of their ancestors."""
    roots: int
    """Ops without parents."""
    joins: int
    """Ops with two parents or more."""
    missing_parents: int
    """Ops with at least one parent that had not arrived before them."""

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as a dict that can be written as JSON."""
        return asdict(self)


def session_stats(
    log: OpLog,
    *,
    progress: Callable[[int, int], None] | None = None,
    upto: Cut | None = None,
    observe: Callable[[OpEntry], None] | None = None,
) -> SessionStats:
    """Read the log once and return its statistics.

    Args:
        log: the session. It is only read; others may append to it meanwhile.
        progress: called with (ops read, total ops).
        upto: count only up to this cut; None means everything that has arrived by now.
        observe: called with each entry, so that a caller can collect more in the same pass.

    Raises:
        InvalidCutError: `upto` belongs to another session, or lies beyond the end of the log.
    """
    cut = log.cut()
    if upto is not None:
        if upto.session_id != cut.session_id or upto.byte_offset > cut.byte_offset or upto.op_count > cut.op_count:
            raise InvalidCutError(f"upto: {upto} is not a cut of session {log.session_id!r}: take a cut from this log")
        cut = upto
    tally = _Tally(log)
    for number, entry in enumerate(islice(log, cut.op_count), start=1):
        tally.add(entry)
        if observe:
            observe(entry)
        if progress and number % _PROGRESS_EACH_OPS == 0:
            progress(number, cut.op_count)
    if progress:
        progress(cut.op_count, cut.op_count)
    return tally.result(cut)


class _Share:
    """The counts for one actor, for one domain, or for the whole session."""

    def __init__(self) -> None:
        self.ops = 0
        self.kinds: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        """For an actor, ops by domain; for a domain, ops by actor."""
        self.lowest: int | None = None
        self.highest = 0
        # The earliest and the latest time, each with the text it was parsed from.
        self.first: tuple[datetime, str] | None = None
        self.last: tuple[datetime, str] | None = None

    def add(self, kind: str, other: str, lamport_ts: int, moment: datetime | None, text: str) -> None:
        self.ops += 1
        self.kinds[kind] += 1
        self.others[other] += 1
        self.lowest = lamport_ts if self.lowest is None else min(self.lowest, lamport_ts)
        self.highest = max(self.highest, lamport_ts)
        if moment and (self.first is None or moment < self.first[0]):
            self.first = moment, text
        if moment and (self.last is None or moment > self.last[0]):
            self.last = moment, text

    def texts(self) -> dict[str, str | None]:
        return {"first_created_at": self.first and self.first[1], "last_created_at": self.last and self.last[1]}


class _Tally:
    """All counters of the single pass over the log."""

    def __init__(self, log: OpLog) -> None:
        self._log = log
        self._all = _Share()
        self._actors: defaultdict[str, _Share] = defaultdict(_Share)
        self._domains: defaultdict[str, _Share] = defaultdict(_Share)
        self._arrivals = Arrivals(lambda op_id: log.get(op_id) is not None)
        self._bins: Bins[tuple[str, str]] = Bins(_MOST_BINS)
        self._missing = self._unparsable = self._out_of_order = 0

    def add(self, entry: OpEntry) -> None:
        actor, domain, lamport_ts, text = entry["actor_id"], entry["domain"], entry["lamport_ts"], entry["created_at"]
        named = entry["domain_op"].get("op")
        kind = named if isinstance(named, str) else "untyped"
        moment, latest = parse_time(text), self._all.last
        for share, other in ((self._actors[actor], domain), (self._domains[domain], actor), (self._all, "")):
            share.add(kind, other, lamport_ts, moment, text)
        self._arrivals.add(entry["op_id"], lamport_ts, entry["parent_op_ids"])
        if moment is None:
            self._missing += not text
            self._unparsable += bool(text)
            return
        self._out_of_order += latest is not None and moment < latest[0]
        self._bins.add((moment - _EPOCH) // _MILLISECOND, ("all", ""), ("actor", actor), ("domain", domain))

    def result(self, cut: Cut) -> SessionStats:
        try:
            checkpoint, problem = self._log.read_checkpoint(), None
        except DamagedCheckpointError as error:
            checkpoint, problem = None, str(error)
        # Asked with a cut of this moment: what was damaged during the pass changes how many entries lie below `cut`.
        damaged = self._log.damaged_lines(Cut(cut.session_id, 0, 0), self._log.cut())
        arrivals = self._arrivals
        return SessionStats(
            session_id=self._log.session_id,
            ops=self._all.ops,
            size_bytes=cut.byte_offset,
            checkpoint=checkpoint,
            pending=None if problem else max(0, cut.op_count - (checkpoint["op_count"] if checkpoint else 0)),
            problem=problem,
            damaged_lines=sum(at < cut.byte_offset for at, _, _ in damaged),
            actors={name: self._actor(name, share) for name, share in _most_ops_first(self._actors)},
            domains={name: self._domain(name, share) for name, share in _most_ops_first(self._domains)},
            kinds=_most_first(self._all.kinds),
            min_lamport_ts=self._all.lowest or 0,
            max_lamport_ts=self._all.highest,
            wall_time=self._wall_time(),
            late=arrivals.late,
            concurrent=arrivals.concurrent,
            roots=arrivals.roots,
            joins=arrivals.joins,
            missing_parents=arrivals.missing_parents,
        )

    def _actor(self, name: str, share: _Share) -> ActorStats:
        return ActorStats(
            ops=share.ops,
            kinds=_most_first(share.kinds),
            domains=_most_first(share.others),
            min_lamport_ts=share.lowest or 0,
            max_lamport_ts=share.highest,
            bins=self._bins.counts(("actor", name)),
            **share.texts(),
        )

    def _domain(self, name: str, share: _Share) -> DomainStats:
        bins = self._bins.counts(("domain", name))
        return DomainStats(share.ops, _most_first(share.kinds), _most_first(share.others), bins)

    def _wall_time(self) -> WallTime:
        first, last, start_ms = self._all.first, self._all.last, self._bins.start()
        # A bin of year 1 may begin before the earliest time that datetime can hold.
        start = _EPOCH + max(timedelta(milliseconds=start_ms or 0), datetime.min.replace(tzinfo=UTC) - _EPOCH)
        return WallTime(
            span_s=(last[0] - first[0]).total_seconds() if first and last else 0.0,
            bins_start=None if start_ms is None else start.isoformat(),
            bin_width_s=self._bins.width / 1000,
            bins=self._bins.counts(("all", "")),
            missing=self._missing,
            unparsable=self._unparsable,
            out_of_order=self._out_of_order,
            **self._all.texts(),
        )


def _most_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _most_ops_first(shares: dict[str, _Share]) -> list[tuple[str, _Share]]:
    return sorted(shares.items(), key=lambda item: (-item[1].ops, item[0]))
