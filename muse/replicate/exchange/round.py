"""One round: agree with the server, read, send, look again; any trouble ends it, and the next one begins anew.

Start, restart, reconnect and loss take this one path. What is saved is kept only as long as the server still has the
last message that was seen, and as many up to it as were delivered; else everything is read again, and what the stream
lacks is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from muse.core.op_log import OpLog
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.bookkeeping.ledger import Position
from muse.replicate.bookkeeping.note import Note
from muse.replicate.bookkeeping.save_point import SavePoint
from muse.replicate.errors import ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.exchange.committer import follow, take_over
from muse.replicate.exchange.sender import Rewind, Sender
from muse.replicate.exchange.threads import Threads
from muse.replicate.status import Progress
from muse.replicate.wire.link import ApiError, first_to_end
from muse.replicate.wire.messages import (
    AUDIT_HEADER,
    ID_HEADER,
    PART_HEADER,
    VERSION,
    VERSION_HEADER,
    Assembler,
    audit_message,
    lines_in,
    number_in,
    op_id_of_line,
)
from muse.replicate.wire.stream import Delivered, Stream

_log = logging.getLogger(__name__)

CHECK_SECONDS = 30.0
"""How often it is asked if the server still has what it had."""
QUIET_SECONDS = 5.0
"""If nothing is delivered for so long, although the server counts more, it can't deliver it."""
_SAVE_SECONDS = 0.5
_AGREE_ATTEMPTS, _RETURN_SECONDS = 4, 60.0
_TIME_TOLERANCE_NS = 2000
"""The server rounds the same time in one answer and cuts it in another."""
MAX_REFUSED_KEPT = 1000


class Round:
    """One round over one connection."""

    def __init__(
        self,
        stream: Stream,
        log: OpLog,
        folder: ReplicaFolder,
        saved: SavePoint,
        progress: Progress,
        note: Note,
    ) -> None:
        self._stream = stream
        self._link = stream.link
        self._log = log
        self._folder = folder
        self._progress = progress
        self._note = note
        self.saved = saved
        """The newest save point."""
        self._ledger = saved.ledger()
        self._is_from_start = saved.resume.seq == 0
        self._own_audit = 0
        self._stored_on_disk: SavePoint | None = None
        self._assembler = Assembler()
        self._now = asyncio.get_running_loop().time
        self._pending = 1
        self._heard = self._now()
        self._caught_up = asyncio.Event()
        self._received = asyncio.Event()
        self._taking = asyncio.Lock()
        self._threads = Threads()
        self._sender = Sender(stream, log, folder, self._ledger, saved.salt, self._threads)

    async def run(self) -> None:
        """Work until there is trouble, which is raised."""
        try:
            await self._stream.ensure()
            await self._agree()
            await self._follow_committer()
            self._pending = await self._stream.consume(self._ledger.resume.seq)
            self._heard = self._now()
            self._progress.note(is_connected=True, url=self._link.url, last_error="")
            self._note_pending()
            await first_to_end(self._receive(), self._sender.run(self._caught_up, self._received), self._look())
        except ApiError as error:
            raise ReplicationUnavailableError(f"{self._link.url}: {error}") from error
        finally:
            self._progress.note(is_connected=False, is_caught_up=False)
            await self._end()

    async def _end(self) -> None:
        # The next round must not begin while a thread of this one still writes.
        await self._threads.end()
        await self._stream.close()
        with suppress(OSError):
            self._save()

    def _save(self) -> None:
        self.saved = self.saved.advanced(self._ledger)
        self._write(self.saved)

    def _write(self, save_point: SavePoint) -> None:
        if save_point != self._stored_on_disk:
            self._folder.save(save_point)
            self._stored_on_disk = save_point

    # -- does the server still have it? ----------------------------------------------------------------

    async def _agree(self) -> int:
        """How many messages the server counts; a `Rewind` if it no longer has what it had."""
        for attempt in range(_AGREE_ATTEMPTS):
            if attempt:
                # A new leader may not have taken in yet what was delivered by another node.
                await asyncio.sleep(0.5)
            seen = self._ledger.seen
            count = await self._stream.count()
            if count >= seen.delivered + self.saved.missing and await self._is_there(seen):
                return count
        raise Rewind(
            f"of {seen.delivered + self.saved.missing} messages up to number {seen.seq} the server has {count}"
        )

    async def _is_there(self, seen: Position) -> bool:
        if not seen.seq:
            return True
        found = await self._stream.message({"seq": seen.seq})
        if found is None:
            return False
        _, subject, time_ns, _ = found
        return subject == self._stream.subject and abs(time_ns - seen.time_ns) <= _TIME_TOLERANCE_NS

    async def _follow_committer(self) -> None:
        if self._progress.take_over:
            await take_over(self._stream, self._note)
            self._progress.note(take_over=False)
        await follow(self._stream, self._note, has_recorded=self._sender.has_recorded)

    async def _check(self) -> None:
        """Agree again, and wait for what the server counts; if it can't deliver it, have it sent again."""
        count = await self._agree()
        # Asked afterwards, so that what was counted lies below. Once later messages come, nothing more comes of it.
        last_seq = await self._stream.last_seq()
        asked_at = self._now()
        while (lacking := count - self._ledger.delivered_up_to(last_seq) - self.saved.missing) > 0:
            if self._ledger.seen.seq > last_seq or self._is_quiet(since=asked_at):
                missing = self.saved.missing + lacking
                self.saved = replace(self.saved, missing=missing)
                _log.warning("%s: the server can't deliver %d of %d messages", self._log.path, missing, count)
                if missing > self.saved.audit:
                    self._own_audit = missing
                    audit = audit_message(missing, stream=self._stream.name, subject=self._stream.subject)
                    await self._sender.publish(audit)
                return
            await self._link.wait(self._received, 0.2)

    # -- reading ---------------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            delivered = await self._stream.delivered(1.0)
            if delivered:
                async with self._taking:
                    await self._take(delivered)
                self._heard = self._now()
                self._pending = delivered[-1].pending
                self._note_pending()
            elif not self._caught_up.is_set() and self._is_quiet():
                # It counts more than it can deliver: the check says so.
                self._pending = 0
                self._note_pending()

    def _is_quiet(self, since: float = 0.0) -> bool:
        return self._now() - max(self._heard, since) > QUIET_SECONDS and self._stream.is_alive()

    def _note_pending(self) -> None:
        if self._pending == 0:
            self._caught_up.set()
        self._received.set()
        self._progress.note(to_receive=self._pending)

    async def _take(self, delivered: list[Delivered]) -> None:
        lines: list[bytes] = []
        done: list[int] = []
        for each in delivered:
            if number_in(each.headers, VERSION_HEADER) > VERSION:
                raise ReplicationRefusedError(
                    f"{self._link.url}: message {each.seq} is of a newer version of the protocol: install a newer Muse"
                )
            if PART_HEADER in each.headers:
                self._ledger.note_received(each.seq, each.time_ns, ())
                line, complete = self._assembler.add(each.headers, each.payload, each.seq, each.time_ns)
                done += complete
                if line is not None:
                    self._ledger.note_line(each.seq, op_id_of_line(line))
                    lines.append(line if line.endswith(b"\n") else line + b"\n")
            elif own := self._sender.take_own(each.headers.get(ID_HEADER, ""), each.payload):
                # These lines are in the log: that need not be looked up.
                self._ledger.note_received(each.seq, each.time_ns, own.op_ids)
                self._sender.redactions.note_received(own.payload)
                self._ledger.note_appended([each.seq], own.end)
            else:
                found = lines_in(each.payload)
                self._ledger.note_received(each.seq, each.time_ns, map(op_id_of_line, found))
                done.append(each.seq)
                lines += found
            self._follow_audit(number_in(each.headers, AUDIT_HEADER))
        done += self._assembler.drop_older(delivered[-1].time_ns)
        if lines:
            data = b"".join(lines)
            self._sender.redactions.note_received(data)
            _, below = await self._threads.run(self._append, data)
        else:
            below = self._ledger.sent_to
        self._ledger.note_appended(done, below)

    def _append(self, data: bytes) -> tuple[int, int]:
        before = self._log.would_refuse
        appended = self._log.append_lines(data, on_skip=self._refuse)
        if more := self._log.would_refuse - before:
            self._progress.note(would_refuse=self._progress.would_refuse + more)
        return appended

    def _refuse(self, op_id: str, reason: str) -> None:
        refused = self._progress.refused
        name = op_id or f"a line ({reason[:60]})"
        if name not in refused and len(refused) < MAX_REFUSED_KEPT:
            _log.warning("%s: %s is not taken over: %s", self._log.path, op_id or "a line", reason)
            self._progress.note(refused={**refused, name: reason})

    def _follow_audit(self, number: int) -> None:
        if number > self.saved.audit:
            # Whoever reads from the start reads everything again already, as far as it was there then.
            if not self._is_from_start or (self._caught_up.is_set() and number != self._own_audit):
                raise Rewind("an audit: some host has found that the server can't deliver everything")
            self.saved = replace(self.saved, audit=number)

    # -- looking after it ------------------------------------------------------------------------------

    async def _look(self) -> None:
        next_check = 0.0
        stuck_at, stuck_since = -1, self._now()
        while True:
            wanted = self._progress.wanted
            if self._caught_up.is_set() and (self._now() >= next_check or wanted > self._progress.synced):
                size = self._sender.log_size()
                await self._check()
                # What is counted was received; until here it is in the log, too.
                async with self._taking:
                    pass
                await self._follow_committer()
                next_check = self._now() + CHECK_SECONDS
                self._progress.note(is_caught_up=True)
                if await self._until_sent(size):
                    self._progress.note(synced=wanted, sent_to=self._ledger.sent_to)
            await self._sender.check_answers()
            self.saved = self.saved.advanced(self._ledger)
            await self._threads.run(self._write, self.saved)
            if self._ledger.sent_to != stuck_at or not self._ledger.unconfirmed:
                stuck_at, stuck_since = self._ledger.sent_to, self._now()
            elif self._now() - stuck_since > _RETURN_SECONDS:
                raise Rewind("a message that the server has acknowledged does not come back")
            self._progress.note(sent_to=self._ledger.sent_to)
            deadline = self._now() + _SAVE_SECONDS
            while self._now() < deadline and not self._progress.wanted > self._progress.synced:
                await asyncio.sleep(0.01)

    async def _until_sent(self, size: int) -> bool:
        """Whether all that the log held at this size has come back; waits, but not long, as there is more to do."""
        deadline = self._now() + 2.0
        while True:
            await self._sender.check_answers()
            if self._sender.has_sent(size):
                return True
            if self._now() > deadline:
                return False
            await asyncio.sleep(0.005)
