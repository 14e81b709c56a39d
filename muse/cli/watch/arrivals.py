"""The watched session as it grows: what arrives is read once, and everything else is asked of the index."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from muse.cli.watch.check import Check
from muse.cli.watch.findings import Findings
from muse.cli.watch.rates import MINUTE_S, Rates
from muse.cli.watch.view import HISTORY_PARTS, ActorView, View
from muse.core.op_log import CheckpointError, Cut, Damage, LogReplacedError, OpEntry, OpLog, OpLogCheckpoint

_MOST_LINES = 200
"""No screen shows more actors or ops than this."""

_TRIES = 5


def time_of_day() -> str:
    """The local time, as it is shown with what happened."""
    return time.strftime("%H:%M:%S")


class Watched:
    """One session, looked at again and again; every look takes in what has arrived since the last one.

    Whatever befalls the session becomes a finding, and the watch goes on: where the log was replaced,
    with the one that lies there now.
    """

    def __init__(self, repo: Path, session_id: str, now_s: float, clock: Callable[[], str] = time_of_day) -> None:
        self.findings = Findings(clock)
        self.check = Check(repo, session_id, clock)
        self._repo = repo
        self._session_id = session_id
        self._rates = Rates(now_s)
        self._open()

    def _open(self) -> None:
        self._log = OpLog(self._repo, self._session_id)
        self._cut = self._log.cut()
        self._damage = Damage(self._log.path, self._cut)
        self._actors, self._actors_ahead = self._totals(self._log.actors)
        self._domains, self._domains_ahead = self._totals(self._log.domains)
        self._max_lamport_ts = self._log.next_lamport_ts() - 1
        self._newest = deque(_last(self._log, _MOST_LINES), _MOST_LINES)
        self._checkpoint: OpLogCheckpoint | None = None
        self._pending: int | None = 0
        self._replaced = False

    def _totals(self, ask: Callable[[], dict[str, int]]) -> tuple[Counter[str], int]:
        """Totals, and how many entries beyond the cut they have counted already."""
        totals = Counter(ask())
        return totals, totals.total() - self._cut.op_count

    def close(self) -> None:
        """Stop the check and close the session."""
        self.check.stop()
        self._close()

    def _close(self) -> None:
        self._damage.close()
        self._log.close()

    def look(self, now_s: float) -> None:
        """Take in what has arrived by now."""
        try:
            if self._replaced:
                self._close()
                self._open()
            self._look(now_s)
            self.findings.holds("read", None)
        except LogReplacedError as error:
            self.findings.happened(f"log replaced: {self._short(str(error))}")
            self._replaced = True
        except OSError as error:
            self.findings.holds("read", f"the session can't be read: {self._short(str(error))}")

    def _look(self, now_s: float) -> None:
        cut = self._look_around()
        if cut != self._cut:
            self._take_in(cut, now_s)
            for damaged in self._damage.lines_up_to(cut):
                self.findings.happened(damaged)
            self._cut = cut
        self.findings.holds("tail", self._damage.torn_tail(now_s))

    def _look_around(self) -> Cut:
        """A cut, and what is pending at it: the two fit unless writers leave no moment in between."""
        for _ in range(_TRIES):
            cut = self._log.cut()
            self._look_at_checkpoint()
            if self._log.cut() == cut:
                break
        return cut

    def _take_in(self, cut: Cut, now_s: float) -> None:
        actor_ids: Counter[str] = Counter()
        for entry in _between(self._log, self._cut, cut):
            actor_ids[entry["actor_id"]] += 1
            self._newest.append(entry)
            self._max_lamport_ts = max(self._max_lamport_ts, entry["lamport_ts"])
            if self._domains_ahead > 0:
                self._domains_ahead -= 1
            else:
                self._domains[entry["domain"]] += 1
            if self._actors_ahead > 0:
                self._actors_ahead -= 1
            else:
                self._actors[entry["actor_id"]] += 1
        self._rates.add(actor_ids, now_s)

    def _look_at_checkpoint(self) -> None:
        try:
            self._checkpoint = self._log.read_checkpoint()
            self._pending = self._log.count(since_checkpoint=True)
            self.findings.holds("checkpoint", None)
        except CheckpointError as error:
            self._checkpoint = self._pending = None
            self.findings.holds("checkpoint", f"checkpoint damaged: {self._short(str(error))}")

    def hear(self, message: str) -> None:
        """Take note of what the engine logs."""
        self.findings.happened(self._short(message))

    def _short(self, message: str) -> str:
        """A message without the folder, which is the same in all of them."""
        folder = str(self._log.folder)
        return message.replace(f"{folder}/", "").replace(f"{folder}: ", "")

    def view(self, now_s: float) -> View:
        """Everything, as of the last look."""
        recent = self._rates.counts(now_s, MINUTE_S)
        lately = self._rates.counts(now_s, 10)
        order = sorted(self._actors, key=lambda name: (-recent[name], -self._actors[name], name))
        return View(
            session_id=self._session_id,
            ops=self._cut.op_count,
            rate_10s=self._rates.per_second(lately.total(), now_s, 10),
            size_bytes=self._cut.byte_offset,
            max_lamport_ts=self._max_lamport_ts,
            pending=self._pending,
            checkpoint=self._checkpoint,
            domains=self._domains,
            actors=[self._actor(name, recent, lately, now_s) for name in order[:_MOST_LINES]],
            more_actors=max(0, len(order) - _MOST_LINES),
            newest=list(self._newest),
            findings=[*self.check.findings, *self.findings.lines()],
            check=self.check.status,
        )

    def _actor(self, name: str, recent: Counter[str], lately: Counter[str], now_s: float) -> ActorView:
        return ActorView(
            actor_id=name,
            ops=self._actors[name],
            rate_10s=self._rates.per_second(lately[name], now_s, 10),
            rate_60s=self._rates.per_second(recent[name], now_s, MINUTE_S),
            history=self._rates.history(name, now_s, HISTORY_PARTS),
        )


def _between(log: OpLog, start: Cut, stop: Cut) -> Iterator[OpEntry]:
    """The entries between two cuts, in arrival order."""
    return islice(log.follow(since=start), stop.op_count - start.op_count)


def _last(log: OpLog, number: int) -> list[OpEntry]:
    """The last entries to arrive, in arrival order."""
    return list(log.query(limit=number, reverse=True))[::-1]
