"""The watched session as it grows, told by its index."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from logging import LogRecord
from pathlib import Path

from muse.cli.commands.watch.findings import Check, Findings
from muse.cli.commands.watch.picture import HISTORY_PARTS, ActorView, View
from muse.cli.commands.watch.rates import MINUTE_S, Rates
from muse.core.op_log import CheckpointError, Cut, LogReplacedError, OpLog, OpLogCheckpoint

_MOST_LINES = 200
"""No screen shows more actors or ops than this."""

_TRIES = 5

_TORN_AFTER_S = 2.0
"""How long a last line may be without its newline before it is no longer taken for one being written."""


def time_of_day() -> str:
    """The local time, as shown in front of an event."""
    return time.strftime("%H:%M:%S")


class Watched:
    """A session that is polled again and again; each poll counts the entries that have arrived since the last one.

    A problem with the session becomes a finding and does not end the watch. If the log is replaced by another file,
    the watch goes on with the new file.
    """

    def __init__(self, repo: Path, session_id: str, now_s: float, clock: Callable[[], str] = time_of_day) -> None:
        self.findings = Findings(clock)
        self.check = Check(repo, session_id, clock)
        self._repo = repo
        self._session_id = session_id
        self._rates = Rates(now_s)
        self._open(now_s)

    def _open(self, now_s: float) -> None:
        self._log = OpLog(self._repo, self._session_id)
        self._cut = self._log.cut()
        self._tail = (0, 0)
        self._tail_since_s = 0.0
        self._actors = Counter(self._log.actors())
        self._max_lamport_ts = 0
        self._read_totals(now_s)
        self._checkpoint: OpLogCheckpoint | None = None
        self._pending: int | None = 0
        self._replaced = False

    def close(self) -> None:
        """Stop the check and close the session."""
        self.check.stop()
        self._log.close()

    def poll(self, now_s: float) -> None:
        """Read the entries that have arrived by now, and look for problems."""
        try:
            if self._replaced:
                self._log.close()
                self._open(now_s)
            self._poll(now_s)
            self.findings.set_state("read", None)
        except LogReplacedError as error:
            self.findings.add_event(f"log replaced: {self._short(str(error))}")
            self._replaced = True
        except OSError as error:
            self.findings.set_state("read", f"the session can't be read: {self._short(str(error))}")

    def _poll(self, now_s: float) -> None:
        cut = self._cut_with_pending()
        if cut != self._cut:
            self._read_totals(now_s)
            for at, length, reason in self._log.damaged_lines(self._cut, cut):
                self.findings.add_event(f"damaged line at byte {at:,}, {length:,} bytes: {reason}")
            self._cut = cut
        self.findings.set_state("tail", self._torn_tail(now_s))

    def _torn_tail(self, now_s: float) -> str | None:
        """The line without a newline at the end, where nobody seems to write it any more."""
        size = self._log.path.stat().st_size if self._log.exists() else 0
        tail = at, length = (self._cut.byte_offset, size - self._cut.byte_offset)
        if tail != self._tail:
            self._tail, self._tail_since_s = tail, now_s
        if length <= 0 or now_s - self._tail_since_s < _TORN_AFTER_S:
            return None
        return f"torn tail at byte {at:,}, {length:,} bytes: its writer died, the next append seals it"

    def _cut_with_pending(self) -> Cut:
        """Take a cut and count what is pending at it. Retry a few times if an entry arrives between the two."""
        for _ in range(_TRIES):
            cut = self._log.cut()
            self._read_checkpoint()
            if self._log.cut() == cut:
                break
        return cut

    def _read_totals(self, now_s: float) -> None:
        actors = Counter(self._log.actors())
        self._rates.add(actors - self._actors, now_s)
        self._actors, self._domains = actors, self._log.domains()
        # Not by the clock of the handle, which each question moves on. The last to arrive mostly have the highest.
        while above := list(self._log.query(min_lamport_ts=self._max_lamport_ts + 1, reverse=True, limit=_MOST_LINES)):
            self._max_lamport_ts = max(entry["lamport_ts"] for entry in above)
        self._newest = list(self._log.query(limit=_MOST_LINES, reverse=True))[::-1]

    def _read_checkpoint(self) -> None:
        try:
            self._checkpoint = self._log.read_checkpoint()
            self._pending = self._log.count(since_checkpoint=True)
            self.findings.set_state("checkpoint", None)
        except CheckpointError as error:
            self._checkpoint = self._pending = None
            self.findings.set_state("checkpoint", f"checkpoint damaged: {self._short(str(error))}")

    def add_engine_message(self, record: LogRecord) -> None:
        """Turn a log message of the engine into a finding."""
        self.findings.add_event(self._short(record.getMessage()))

    def _short(self, message: str) -> str:
        """The message without the session's folder, which would only repeat in every finding."""
        folder = str(self._log.folder)
        return message.replace(f"{folder}/", "").replace(f"{folder}: ", "")

    def view(self, now_s: float) -> View:
        """Everything to show, as of the last poll."""
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
            newest=self._newest,
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
