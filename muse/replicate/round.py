"""One round: agree with the server, read, send, look again; any trouble ends it, and the next one begins anew.

Start, restart, reconnect and loss take this one path. What is saved is kept only as long as the server still has the
last message that was seen, and as many up to it as were delivered; else everything is read again, and what the stream
lacks is sent again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from muse.core.op_log import OpLog
from muse.replicate.committer import Note, follow, take_over
from muse.replicate.errors import ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.ledger import Line, Own, Position, cut_as_before
from muse.replicate.link import ApiError, Link, first_to_end
from muse.replicate.messages import (
    AUDIT_HEADER,
    ID_HEADER,
    PART_HEADER,
    VERSION,
    VERSION_HEADER,
    Assembler,
    Message,
    audit_message,
    lines_in,
    messages_of,
    number_in,
    op_id_of_line,
)
from muse.replicate.redactions import Redactions
from muse.replicate.save_point import ReplicaFolder, SavePoint
from muse.replicate.status import Progress
from muse.replicate.stream import Delivered, Stored, Stream

_log = logging.getLogger(__name__)

CHECK_SECONDS = 30.0
"""How often it is asked if the server still has what it had."""
QUIET_SECONDS = 5.0
"""If nothing is delivered for so long, although the server counts more, it can't deliver it."""
_SAVE_SECONDS = 0.5
_POLL_SECONDS, _LONG_POLL_SECONDS, _ACTIVE_SECONDS = 0.005, 0.025, 2.0
_MANY_LINES = 3
_MAX_IN_FLIGHT, _MAX_UNCONFIRMED, _AGREE_ATTEMPTS = 16, 1 << 16, 4
_ANSWER_SECONDS, _RETURN_SECONDS = 20.0, 60.0
_TIME_TOLERANCE_NS = 2000
"""The server rounds the same time in one answer and cuts it in another."""
MAX_REFUSED_KEPT = 1000
_ENDS_KEPT = 64
"""More than can be on their way."""

Result = TypeVar("Result")


class Rewind(Exception):  # noqa: N818 - it is a way to go on, not a failure
    """Something is missing in the stream: begin from nothing, with another salt."""


class Round:
    """One round over one connection."""

    def __init__(
        self,
        link: Link,
        log: OpLog,
        stream: Stream,
        subject: str,
        folder: ReplicaFolder,
        saved: SavePoint,
        progress: Progress,
        note: Note,
    ) -> None:
        self._link = link
        self._stream = stream
        self._log = log
        self._folder = folder
        self._progress = progress
        self._note = note
        self._subject = subject
        self.saved = saved
        """The newest save point."""
        self._ledger = saved.ledger()
        self._is_from_start = saved.resume.seq == 0
        self._stored_on_disk: SavePoint | None = None
        self._assembler = Assembler()
        self._now = asyncio.get_running_loop().time
        self._pending = 1
        self._heard = self._now()
        self._caught_up = asyncio.Event()
        self._received = asyncio.Event()
        self._answered = asyncio.Event()
        self._own: dict[str, Own] = {}
        self._in_flight: deque[float] = deque()
        self._taking = asyncio.Lock()
        self._looked_to = -1
        self._redactions = Redactions(log, folder, saved.salt)
        self._ends = deque(folder.load_ends(), _ENDS_KEPT)
        self._threads = ThreadPoolExecutor(2, "muse-replica")
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self) -> None:
        """Work until there is trouble, which is raised."""
        try:
            await self._stream.ensure()
            await self._agree()
            await self._follow_committer()
            self._pending = await self._stream.consume(self._subject, self._ledger.resume.seq)
            self._heard = self._now()
            self._progress.note(is_connected=True, url=self._link.url, last_error="")
            self._note_pending()
            await first_to_end(self._receive(), self._send(), self._look())
        except ApiError as error:
            raise ReplicationUnavailableError(f"{self._link.url}: {error}") from error
        finally:
            self._progress.note(is_connected=False, is_caught_up=False)
            await self._end()

    async def _end(self) -> None:
        # A thread can't be cancelled: the next round must not begin while one of this still writes.
        if self._running:
            await asyncio.wait(self._running)
        self._threads.shutdown()
        await self._stream.close()
        with suppress(OSError):
            self._save()

    async def _in_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        future = asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *arguments))
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.shield(future)

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
            count = await self._stream.count(self._subject)
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
        return subject == self._subject and abs(time_ns - seen.time_ns) <= _TIME_TOLERANCE_NS

    async def _follow_committer(self) -> None:
        if self._progress.take_over:
            await take_over(self._stream, self._link, self._note)
            self._progress.note(take_over=False)
        await follow(self._stream, self._link, self._note, has_recorded=self._log_size() > 0)

    async def _check(self) -> None:
        """Agree again, and wait for what the server counts; if it can't deliver it, have it sent again."""
        count = await self._agree()
        asked_at = self._now()
        while (lacking := count - self._ledger.seen.delivered - self.saved.missing) > 0:
            if self._is_quiet(since=asked_at):
                missing = self.saved.missing + lacking
                self.saved = replace(self.saved, missing=missing)
                _log.warning("%s: the server can't deliver %d of %d messages", self._log.path, missing, count)
                if missing > self.saved.audit:
                    await self._publish(audit_message(missing, stream=self._stream.name))
                return
            await self._wait(self._received, 0.2)

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
            elif (own := self._own.pop(each.headers.get(ID_HEADER, ""), None)) and own.payload == each.payload:
                # These lines are in the log: that need not be looked up.
                self._ledger.note_received(each.seq, each.time_ns, own.op_ids)
                self._ledger.note_appended([each.seq], own.end)
            else:
                found = lines_in(each.payload)
                self._ledger.note_received(each.seq, each.time_ns, map(op_id_of_line, found))
                done.append(each.seq)
                lines += found
            self._follow_audit(number_in(each.headers, AUDIT_HEADER))
        done += self._assembler.drop_older(delivered[-1].time_ns)
        if lines:
            self._redactions.note_received(lines)
            _, below = await self._in_thread(self._append, b"".join(lines))
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
            # Whoever reads from the start reads everything again already.
            if not self._is_from_start:
                raise Rewind("an audit: some host has found that the server can't deliver everything")
            self.saved = replace(self.saved, audit=number)

    # -- sending ---------------------------------------------------------------------------------------

    async def _send(self) -> None:
        while not self._caught_up.is_set():
            lines, resume_at = await self._read_log()
            before = self._ledger.read_to
            self._ledger.note_passed(lines, resume_at)
            if self._ledger.read_to == before:
                await self._wait(self._received, 0.2)
        active_until = 0.0
        while True:
            sent = 0
            size = self._log_size()
            if size != self._looked_to:
                active_until = self._now() + _ACTIVE_SECONDS
                sent = await self._send_up_to(size)
            elif self._redactions.is_news():
                await self._send_redactions()
            # Whoever records quickly is not followed line by line: that would cost the program a core.
            is_soon = self._now() < active_until and sent < _MANY_LINES
            await asyncio.sleep(_POLL_SECONDS if is_soon else _LONG_POLL_SECONDS)

    def _log_size(self) -> int:
        try:
            return os.stat(self._log.path).st_size  # noqa: PTH116 - two hundred times a second
        except FileNotFoundError:
            return 0

    async def _send_up_to(self, size: int) -> int:
        """Send what the log holds up to a byte offset at least; how many lines were read."""
        count = resume_at = 0
        while resume_at < size:
            lines, resume_at = await self._read_log()
            if not lines:
                self._ledger.note_read([], max(resume_at, self._ledger.read_to))
                break
            count += len(lines)
            messages: list[Message] = []
            for group in cut_as_before(lines, self._ends):
                messages += self._messages_of(group, resume_at if group[-1] is lines[-1] else group[-1].end)
            if messages:
                # Before they are sent: this process may be killed at any moment.
                self._folder.save_ends(self._ends)
            for message in messages:
                await self._publish(message)
        self._looked_to = size
        return count

    async def _send_redactions(self) -> None:
        lines = await self._in_thread(self._redactions.to_send, self._ledger.read_to)
        to_page = {"stream": self._stream.name, "salt": self.saved.salt}
        for message in messages_of(lines, max_payload=self._link.max_payload, **to_page):
            # Their places are known for long: the answer says nothing about them.
            await self._publish(replace(message, op_ids=()))

    def _messages_of(self, lines: Sequence[Line], resume_at: int) -> list[Message]:
        to_send = self._ledger.note_read(lines, resume_at)
        ends = {line.op_id: line.end for line in to_send}
        messages = list(
            messages_of(
                [line.line for line in to_send],
                stream=self._stream.name,
                salt=self.saved.salt,
                max_payload=self._link.max_payload,
            )
        )
        for message in messages:
            if message.op_ids and PART_HEADER not in message.headers:
                end = ends[message.op_ids[-1]]
                self._own[message.headers[ID_HEADER]] = Own(message.payload, message.op_ids, end)
                self._ends.append(end)
        if to_send and to_send[-1].end not in self._ends:
            self._ends.append(to_send[-1].end)
        return messages

    async def _read_log(self) -> tuple[list[Line], int]:
        return await self._in_thread(self._read_log_after, self._ledger.read_to)

    def _read_log_after(self, byte_offset: int) -> tuple[list[Line], int]:
        placed, resume_at = self._log.lines_after(byte_offset)
        return [Line(op_id_of_line(line), begin, end, line) for begin, end, line in placed], resume_at

    async def _publish(self, message: Message) -> None:
        while len(self._in_flight) >= _MAX_IN_FLIGHT or self._ledger.unconfirmed > _MAX_UNCONFIRMED:
            await self._wait(self._answered, 0.2)
        self._in_flight.append(self._now())
        await self._stream.publish(self._subject, message, partial(self._stored, message))

    def _stored(self, message: Message, answer: Stored | ApiError) -> None:
        self._in_flight.popleft()
        self._answered.set()
        if isinstance(answer, ApiError):
            # A full stream, most likely. Nothing is dropped: the log keeps it, and the next rounds try again.
            self._link.fail(ReplicationUnavailableError(f"{self._link.url}: a message is not stored: {answer}"))
        elif answer.is_duplicate and answer.seq <= self._ledger.seen.seq:
            self._own.pop(message.headers[ID_HEADER], None)
            self._ledger.note_there(message.op_ids)

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        event.clear()
        await self._link.until(event.wait(), seconds)

    # -- looking after it ------------------------------------------------------------------------------

    async def _look(self) -> None:
        next_check = 0.0
        stuck_at, stuck_since = -1, self._now()
        while True:
            wanted = self._progress.wanted
            if self._caught_up.is_set() and (self._now() >= next_check or wanted > self._progress.synced):
                size = self._log_size()
                await self._check()
                # What is counted was received; until here it is in the log, too.
                async with self._taking:
                    pass
                await self._follow_committer()
                next_check = self._now() + CHECK_SECONDS
                self._progress.note(is_caught_up=True)
                if await self._until_sent(size):
                    self._progress.note(synced=wanted, sent_to=self._ledger.sent_to)
            self.saved = self.saved.advanced(self._ledger)
            await self._in_thread(self._write, self.saved)
            if self._in_flight and self._now() - self._in_flight[0] > _ANSWER_SECONDS:
                raise ReplicationUnavailableError(f"{self._link.url}: a message was not acknowledged")
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
        while (self._ledger.sent_to < size and (self._looked_to < size or self._ledger.unconfirmed)) or (
            self._redactions.is_news() or not self._redactions.all_are_back
        ):
            if self._now() > deadline:
                return False
            await asyncio.sleep(0.005)
        return True
