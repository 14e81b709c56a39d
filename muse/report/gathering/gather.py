"""Reads from the log everything that a report shows: statistics, density, and the ops shown individually.

The log is read up to one cut, once for a small session and twice for a session that is too large to show every op.
Then comes the full check. Others may append meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from muse.core.op_log import Cut, DamagedCheckpointError, OpEntry, OpLog, OpLogCheckpoint, VerifyReport
from muse.report.gathering.addresses import Addresses
from muse.report.gathering.commits import Commits
from muse.report.gathering.density import Density
from muse.report.gathering.sample import Sample, draw_of
from muse.report.gathering.shown_op import ShownOp, microseconds, shown_op
from muse.report.limits import (
    MAX_DOMAINS,
    MAX_FETCHED_PARENTS,
    MAX_FINDINGS,
    MAX_LANES,
    MAX_TIME_BINS,
    MAX_TIME_CELLS,
    NAME_LETTERS,
    SAMPLED_LINKS,
    SAMPLED_OPS,
    WHOLE_UP_TO_OPS,
)
from muse.report.text import brief
from muse.stats import SessionStats, session_stats

Step = Callable[[str], Callable[[int, int], None]]
"""Called with the name of a step when it begins; returns the step's progress callback (done, total)."""

_PROGRESS_EACH_OPS = 1000


class Ranks:
    """Gives each name a place, such as a lane or a colour. The first names have their own; the rest share the last."""

    def __init__(self, names: Iterable[str], most: int) -> None:
        """`names` are in order of their places. If there are more than `most`, the last place is shared."""
        known = list(names)
        self.shared = max(0, len(known) - most + 1) if len(known) > most else 0
        """How many names share the last place."""
        self.own = tuple(known[: len(known) - self.shared])
        """The names that have their own place."""
        self._place = {name: place for place, name in enumerate(self.own)}

    def __len__(self) -> int:
        return len(self.own) + bool(self.shared)

    def of(self, name: str) -> int:
        """The place of a name."""
        return self._place.get(name, len(self.own))

    def label(self, place: int, things: str, letters: int = NAME_LETTERS) -> str:
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
    density: Density | None
    """None if `ops` holds every op."""
    time_density: Density | None
    """The same over wall time, in milliseconds since `start_us`; ops without a valid time are not in it."""
    start_us: int
    """The millisecond of the earliest op, in microseconds since 1970; 0 if none has a valid time."""
    addresses: Addresses
    ops: tuple[ShownOp, ...]
    """The ops shown individually. If there is not enough room for all texts, the first ones keep theirs."""
    late_pending: int
    """Of the ops after the checkpoint, how many have a timestamp that is not above the highest that it covers."""
    commits: Commits
    """The commits of the session, and what is in each."""
    verified: VerifyReport | None
    """The result of the full check; None if it was not made."""

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
    first = _FirstPass(_checkpoint(log), commits)
    stats = session_stats(log, upto=cut, progress=step("reading"), observe=first.add)
    commits.close(cut, is_damaged=bool(stats.damaged_lines))
    lanes, domains = Ranks(stats.actors, MAX_LANES), Ranks(stats.domains, MAX_DOMAINS)
    times = stats.wall_time.first_created_at, stats.wall_time.last_created_at
    start, end = ((microseconds(text or "") or 0) // 1_000 * 1_000 for text in times)
    density, time_density, ops = None, None, first.whole()
    if stats.ops > WHOLE_UP_TO_OPS:
        density = Density(stats.min_lamport_ts, stats.max_lamport_ts)
        time_density = Density(0, (end - start) // 1_000, max_bins=MAX_TIME_BINS, max_cells=MAX_TIME_CELLS)

        def count(entry: OpEntry) -> None:
            place = lanes.of(entry["actor_id"]), domains.of(entry["domain"])
            density.add(*place, entry["lamport_ts"])
            if (time_us := microseconds(entry["created_at"])) is not None:
                time_density.add(*place, (time_us - start) // 1_000)

        ops = _second_pass(log, cut, first, count, step("counting"))
    verified = log.verify(progress=step("verifying"), max_findings=MAX_FINDINGS) if check else None
    return Gathered(
        stats, lanes, domains, density, time_density, start, first.addresses, ops, first.late_pending, commits, verified
    )


def _checkpoint(log: OpLog) -> OpLogCheckpoint | None:
    try:
        return log.read_checkpoint()
    except DamagedCheckpointError:
        return None


class _Arrived:
    """Counts arrivals and tells whether each op arrived after the checkpoint."""

    def __init__(self, checkpoint: OpLogCheckpoint | None) -> None:
        self._last_covered = checkpoint["op_count"] if checkpoint else 0
        self._last_op_id = checkpoint.get("last_op_id", "") if checkpoint else ""
        self.number = 0

    def next(self, op_id: str) -> bool:
        """Count one op; return whether it is pending."""
        self.number += 1
        pending = self.number > self._last_covered
        # A covered line may have been damaged since, which makes the count too high. The last op_id is exact.
        if op_id == self._last_op_id:
            self._last_covered = self.number
        return pending


class _FirstPass:
    """Selects the ops that are shown individually."""

    def __init__(self, checkpoint: OpLogCheckpoint | None, commits: Commits) -> None:
        self.checkpoint = checkpoint
        self._commits = commits
        self.late_pending = 0
        self._covers_to = checkpoint["lamport_ts"] if checkpoint else -1
        self._arrived = _Arrived(checkpoint)
        self._all: Sample[ShownOp] = Sample(WHOLE_UP_TO_OPS)
        self._linked: Sample[ShownOp] = Sample(SAMPLED_LINKS)
        self._newest: dict[str, str] = {}
        self.addresses = Addresses()

    def add(self, entry: OpEntry) -> None:
        """Consider the next op."""
        op_id = entry["op_id"]
        pending = self._arrived.next(op_id)
        self.late_pending += pending and entry["lamport_ts"] <= self._covers_to
        draw = draw_of(op_id)
        arrival = self._arrived.number
        self._commits.add(op_id, arrival, entry["lamport_ts"])
        self.addresses.add(entry, arrival)

        def made() -> ShownOp:
            return shown_op(entry, arrival, pending=pending)

        self._all.offer(op_id, draw, made)
        if self._leads_across(entry):
            self._linked.offer(op_id, draw, made)
        self._newest[entry["actor_id"]] = op_id

    def _leads_across(self, entry: OpEntry) -> bool:
        """Whether an op has a parent other than its actor's previous op."""
        before = self._newest.get(entry["actor_id"])
        return any(parent != before for parent in entry["parent_op_ids"])

    def whole(self) -> tuple[ShownOp, ...]:
        """All ops of a session that is small enough to show every op."""
        return tuple(self._all.drawn())

    def sampled(self) -> tuple[dict[str, ShownOp], set[str]]:
        """The sample by op_id, and the op_ids of parents that its links need but that are not in it."""
        linked = self._linked.drawn()
        sample = {op.op_id: op for op in [*linked, *self._all.drawn()[:SAMPLED_OPS]]}
        wanted = [parent for op in linked for parent in op.parents if parent not in sample]
        return sample, set(wanted[:MAX_FETCHED_PARENTS])


def _second_pass(
    log: OpLog,
    cut: Cut,
    first: _FirstPass,
    count: Callable[[OpEntry], None],
    progress: Callable[[int, int], None],
) -> tuple[ShownOp, ...]:
    """Read the log again to `count` each op and to add the missing parents to the sample."""
    arrived = _Arrived(first.checkpoint)
    sample, wanted = first.sampled()
    for entry in islice(log, cut.op_count):
        pending = arrived.next(entry["op_id"])
        count(entry)
        if entry["op_id"] in wanted:
            sample[entry["op_id"]] = shown_op(entry, arrived.number, pending=pending)
        if arrived.number % _PROGRESS_EACH_OPS == 0:
            progress(arrived.number, cut.op_count)
    return tuple(sample.values())
