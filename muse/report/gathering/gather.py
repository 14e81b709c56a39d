"""Reads from the log everything that a report shows: statistics, density, and the ops shown individually.

The log is read once, up to one cut. Then comes the full check. Others may append meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from muse.bins import Bins
from muse.core.op_log import Cut, DamagedCheckpointError, OpEntry, OpLog, OpLogCheckpoint, VerifyReport
from muse.report import limits
from muse.report.gathering.addresses import Addresses
from muse.report.gathering.commits import Commits
from muse.report.gathering.sample import Sample, draw_of
from muse.report.gathering.shown_op import ShownOp, microseconds, shown_op
from muse.report.text import brief
from muse.stats import SessionStats, session_stats

Step = Callable[[str], Callable[[int, int], None]]
"""Called with the name of a step when it begins; returns the step's progress callback (done, total)."""

Counts = Bins[tuple[str | None, str | None]]
"""Ops by actor and domain; those that have no place of their own are None."""


class Ranks:
    """Gives each name a place, such as a lane or a colour. The first names have their own; the rest share the last."""

    def __init__(self, names: Iterable[str], most: int) -> None:
        """`names` are in order of their places. If there are more than `most`, the last place is shared."""
        known = list(names)
        self.shared = max(0, len(known) - most + 1) if len(known) > most else 0
        """How many names share the last place."""
        self.own = tuple(known[: len(known) - self.shared])
        """The names that have their own place."""
        self._place: dict[str | None, int] = {name: place for place, name in enumerate(self.own)}

    def __len__(self) -> int:
        return len(self.own) + bool(self.shared)

    def of(self, name: str | None) -> int:
        """The place of a name; None stands for any that has no place of its own."""
        return self._place.get(name, len(self) - 1)

    def own_name(self, name: str) -> str | None:
        """The name, if it has its own place."""
        return name if name in self._place else None

    def label(self, place: int, things: str, letters: int = limits.NAME_LETTERS) -> str:
        """What stands at a place: its name, or at the shared one, how many `things` share it."""
        return brief(self.own[place], letters) if place < len(self.own) else f"{self.shared:,} other {things}"

    def labels(self, things: str) -> list[str]:
        """What stands at each place."""
        return [self.label(place, things) for place in range(len(self))]


@dataclass(frozen=True)
class Gathered:
    """Everything that a report of one session is made from."""

    stats: SessionStats
    lanes: Ranks
    domains: Ranks
    density: Counts
    """Ops over Lamport time."""
    time_density: Counts
    """The same over wall time, in milliseconds since 1970; ops without a valid time are not in it."""
    addresses: Addresses
    ops: tuple[ShownOp, ...]
    """The ops shown individually. If there is not enough room for all texts, the first ones keep theirs."""
    late_pending: int
    """Of the ops after the checkpoint, how many have a timestamp that is not above the highest that it covers."""
    commits: Commits
    """The commits of the session, and what is in each."""
    verified: VerifyReport | None
    """The result of the full check; None if it was not made."""

    @property
    def is_whole(self) -> bool:
        """Whether every op is shown."""
        return len(self.ops) == self.stats.ops

    def is_pending(self, op: ShownOp) -> bool:
        """Whether an op is neither covered by the checkpoint nor in a commit."""
        return op.pending and not self.commits.number_of(op.arrival)

    def links(self) -> Iterator[tuple[ShownOp, ShownOp]]:
        """Each pair of ops shown of which the second depends on the first."""
        shown = {op.op_id: op for op in self.ops}
        return ((shown[parent], op) for op in self.ops for parent in op.parents if parent in shown)


def gather(log: OpLog, *, step: Step, commits: Commits | None = None, check: bool = True) -> Gathered:
    """Read a session for a report.

    Args:
        log: the session; it is only read.
        step: called when a step begins; returns the progress callback for it.
        commits: the commits of the session, which nothing was given to yet.
        check: whether to make the full check too.

    Raises:
        OSError: the log can't be read.
    """
    cut = log.cut()
    commits = commits or Commits(log, ())
    found = _Pass(log, commits)
    stats = session_stats(log, upto=cut, progress=step("reading"), observe=found.add)
    commits.close(cut, is_damaged=bool(stats.damaged_lines))
    verified = log.verify(progress=step("verifying"), max_findings=limits.MAX_FINDINGS) if check else None
    return Gathered(
        stats,
        Ranks(stats.actors, limits.MAX_LANES),
        Ranks(stats.domains, limits.MAX_DOMAINS),
        found.density,
        found.time_density,
        found.addresses,
        tuple(found.all.drawn() if stats.ops <= limits.WHOLE_UP_TO_OPS else found.sampled(cut)),
        found.late_pending,
        commits,
        verified,
    )


def _checkpoint(log: OpLog) -> OpLogCheckpoint | None:
    try:
        return log.read_checkpoint()
    except DamagedCheckpointError:
        return None


class _Pass:
    """Counts the ops, which are given one after the other, and selects those that are shown individually."""

    def __init__(self, log: OpLog, commits: Commits) -> None:
        # Of this moment, so not what is shown in the end, but near enough to say whose ops are counted together.
        self._lanes, self._domains = Ranks(log.actors(), limits.MAX_LANES), Ranks(log.domains(), limits.MAX_DOMAINS)
        self.density: Counts = Bins(limits.MAX_BINS, limits.MAX_CELLS)
        self.time_density: Counts = Bins(limits.MAX_TIME_BINS, limits.MAX_TIME_CELLS)
        self.addresses = Addresses()
        self.all: Sample[ShownOp] = Sample(limits.WHOLE_UP_TO_OPS)
        self.late_pending = 0
        self._linked: Sample[ShownOp] = Sample(limits.SAMPLED_LINKS)
        self._log, self._commits = log, commits
        self._newest: dict[str, str] = {}
        self._arrived = 0
        mark = _checkpoint(log)
        last = (mark["op_count"], mark["lamport_ts"], mark.get("last_op_id")) if mark else (0, -1, None)
        self._covered, self._covers_to, self._last_covered = last

    def add(self, entry: OpEntry) -> None:
        """Consider the next op."""
        self._arrived += 1
        op_id, lamport_ts, arrival = entry["op_id"], entry["lamport_ts"], self._arrived
        # A covered line may have been damaged since, which makes the count too high. The last op_id is exact.
        if op_id == self._last_covered:
            self._covered = arrival
        self.late_pending += arrival > self._covered and lamport_ts <= self._covers_to
        self._commits.add(op_id, arrival, lamport_ts)
        self.addresses.add(entry, arrival)
        whose = self._lanes.own_name(entry["actor_id"]), self._domains.own_name(entry["domain"])
        self.density.add(lamport_ts, whose)
        if (time_us := microseconds(entry["created_at"])) is not None:
            self.time_density.add(time_us // 1_000, whose)
        draw = draw_of(op_id)
        make = partial(self._shown, entry, arrival)
        self.all.offer(op_id, draw, make)
        # Its actor's previous op is in the same lane.
        if any(parent != self._newest.get(entry["actor_id"]) for parent in entry["parent_op_ids"]):
            self._linked.offer(op_id, draw, make)
        self._newest[entry["actor_id"]] = op_id

    def _shown(self, entry: OpEntry, arrival: int) -> ShownOp:
        return shown_op(entry, arrival, pending=arrival > self._covered)

    def sampled(self, upto: Cut) -> Iterable[ShownOp]:
        """The sample of a session that is too large to show every op, with the parents that its links need."""
        linked = self._linked.drawn()
        sample = {op.op_id: op for op in [*linked, *self.all.drawn()[: limits.SAMPLED_OPS]]}
        wanted = dict.fromkeys(parent for op in linked for parent in op.parents if parent not in sample)
        for parent in islice(wanted, limits.MAX_FETCHED_PARENTS):
            entry = self._log.get(parent)
            arrival = self._log.cut(parent).op_count if entry else 0
            if entry and arrival <= upto.op_count:
                sample[parent] = self._shown(entry, arrival)
        return sample.values()
