"""The half of a round that sends: what is new in the log, and once more what was redacted."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from muse.core.op_log import OpLog
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.bookkeeping.ledger import Ledger, Line, Own, cut_as_before
from muse.replicate.bookkeeping.redactions import Redactions
from muse.replicate.errors import ReplicationUnavailableError
from muse.replicate.exchange.threads import Threads
from muse.replicate.wire.link import ApiError
from muse.replicate.wire.messages import ID_HEADER, PART_HEADER, Message, messages_of, op_id_of_line
from muse.replicate.wire.stream import Stored, Stream

_POLL_SECONDS, _LONG_POLL_SECONDS, _ACTIVE_SECONDS = 0.005, 0.025, 2.0
_MANY_LINES = 3
_MAX_IN_FLIGHT = 16
_MAX_UNCONFIRMED, _MAX_UNCONFIRMED_BYTES = 1 << 16, 32 << 20
"""How many lines, and how much of the log, may be on their way: they are in memory until they have come back."""
_ANSWER_SECONDS = 20.0
_ENDS_KEPT = 64
"""More than can be on their way."""


class Rewind(Exception):  # noqa: N818 - it is a way to go on, not a failure
    """Something is missing in the stream: begin from nothing, with another salt."""


class Sender:
    """Sends the operations of one session over one connection."""

    def __init__(
        self, stream: Stream, log: OpLog, folder: ReplicaFolder, ledger: Ledger, salt: str, threads: Threads
    ) -> None:
        self._stream = stream
        self._link = stream.link
        self._log = log
        self._folder = folder
        self._ledger = ledger
        self._salt = salt
        self._threads = threads
        self._now = asyncio.get_running_loop().time
        self._own: dict[str, Own] = {}
        self._in_flight: deque[float] = deque()
        self._answered = asyncio.Event()
        self._duplicates: list[tuple[int, Message]] = []
        self._looked_to = -1
        self._ends = deque(folder.load_ends(), _ENDS_KEPT)
        self.redactions = Redactions(log, folder, salt)
        self.has_recorded = self.log_size() > 0
        """Whether the log held something at the start, or something since that is not from the stream."""

    async def run(self, caught_up: asyncio.Event, received: asyncio.Event) -> None:
        """Send what is new, and look again, until there is trouble; not before all that the stream holds is received.

        Args:
            caught_up: set when it is.
            received: set at each delivery.
        """
        while not caught_up.is_set():
            lines, resume_at = await self._read_log()
            before = self._ledger.read_to
            self._ledger.note_passed(lines, resume_at)
            if self._ledger.read_to == before:
                await self._link.wait(received, 0.2)
        active_until = 0.0
        while True:
            count = 0
            size = self.log_size()
            if size != self._looked_to:
                active_until = self._now() + _ACTIVE_SECONDS
                count = await self._send_up_to(size)
            if self.redactions.is_news():
                await self._send_redactions()
            # Whoever records quickly is not followed line by line: that would cost the program a core.
            is_soon = self._now() < active_until and count < _MANY_LINES
            await asyncio.sleep(_POLL_SECONDS if is_soon else _LONG_POLL_SECONDS)

    def log_size(self) -> int:
        """In bytes; 0 if there is no log. A `ReplicationUnavailableError` if it lost what was sent: begin anew."""
        try:
            size = os.stat(self._log.path).st_size  # noqa: PTH116 - two hundred times a second
        except FileNotFoundError:
            size = 0
        if size < (sent := self._ledger.sent_to):
            raise ReplicationUnavailableError(f"{self._log.path}: the log was cut from {sent} to {size} bytes")
        return size

    async def _send_up_to(self, size: int) -> int:
        """Send what the log holds up to a byte offset at least; how many lines were read."""
        count, ledger = 0, self._ledger
        while True:
            while ledger.unconfirmed > _MAX_UNCONFIRMED or ledger.read_to - ledger.sent_to > _MAX_UNCONFIRMED_BYTES:
                await self._link.wait(self._answered, 0.2)
            lines, resume_at = await self._read_log()
            if not lines:
                ledger.note_read([], max(resume_at, ledger.read_to))
                break
            count += len(lines)
            messages: list[Message] = []
            for group in cut_as_before(lines, self._ends):
                messages += self._messages_of(group, resume_at if group[-1] is lines[-1] else group[-1].end)
            if messages:
                # Before they are sent: this process may be killed at any moment.
                self._folder.save_ends(self._ends)
            for message in messages:
                await self.publish(message)
            # Not `resume_at`: the last lines may have been left out, for the next turn.
            if ledger.read_to >= size:
                break
        self._looked_to = size
        return count

    async def _send_redactions(self) -> None:
        lines = await self._threads.run(self.redactions.to_send, self._ledger.sent_to, self._ledger.read_to)
        for message in self._pack(lines):
            # Their places are known for long: the answer says nothing about them.
            await self.publish(replace(message, op_ids=()))

    def _messages_of(self, lines: Sequence[Line], resume_at: int) -> list[Message]:
        to_send = self._ledger.note_read(lines, resume_at)
        self.has_recorded |= bool(to_send)
        ends = {line.op_id: line.end for line in to_send}
        messages = list(self._pack(line.line for line in to_send))
        for message in messages:
            if message.op_ids and PART_HEADER not in message.headers:
                end = ends[message.op_ids[-1]]
                self._own[message.headers[ID_HEADER]] = Own(message.payload, message.op_ids, end)
                self._ends.append(end)
        if to_send and to_send[-1].end not in self._ends:
            self._ends.append(to_send[-1].end)
        return messages

    def _pack(self, lines: Iterable[bytes]) -> Iterator[Message]:
        stream = self._stream
        most = self._link.max_payload
        return messages_of(lines, stream=stream.name, subject=stream.subject, salt=self._salt, max_payload=most)

    async def _read_log(self) -> tuple[list[Line], int]:
        return await self._threads.run(self._read_log_after, self._ledger.read_to)

    def _read_log_after(self, byte_offset: int) -> tuple[list[Line], int]:
        placed, resume_at = self._log.lines_after(byte_offset)
        return [Line(op_id_of_line(line), begin, end, line) for begin, end, line in placed], resume_at

    def take_own(self, message_id: str, payload: bytes) -> Own | None:
        """What is known of a message that has come back, if it is one that was sent from here."""
        own = self._own.pop(message_id, None)
        return own if own is not None and own.payload == payload else None

    async def check_answers(self) -> None:
        """Look at what the server says that it has already.

        Raises:
            ReplicationUnavailableError: it has let a message wait too long.
            Rewind: it only knows the id: the message was removed since.
        """
        while self._duplicates:
            seq, message = self._duplicates.pop()
            found = await self._stream.message({"seq": seq})
            if found is None or found[1] != self._stream.subject or found[3] != message.payload:
                raise Rewind(f"the server takes the id of message {seq} for one that it has, and does not have it")
            self._own.pop(message.headers[ID_HEADER], None)
            self.redactions.note_received(message.payload)
            self._ledger.note_there(message.op_ids)
        if self._in_flight and self._now() - self._in_flight[0] > _ANSWER_SECONDS:
            raise ReplicationUnavailableError(f"{self._link.url}: a message was not acknowledged")

    def has_sent(self, size: int) -> bool:
        """Whether all that the log held at this size, and all redactions, have come back, or will not soon."""
        is_under_way = self._looked_to < size or self._ledger.unconfirmed
        return not (self._ledger.sent_to < size and is_under_way) and not (
            self.redactions.is_news() or not self.redactions.all_are_back
        )

    async def publish(self, message: Message) -> None:
        """Have the server store a message, as soon as not too many are on their way."""
        while len(self._in_flight) >= _MAX_IN_FLIGHT:
            await self._link.wait(self._answered, 0.2)
        self._in_flight.append(self._now())
        await self._stream.publish(message, partial(self._stored, message))

    def _stored(self, message: Message, answer: Stored | ApiError) -> None:
        self._in_flight.popleft()
        self._answered.set()
        if isinstance(answer, ApiError):
            # A full stream, most likely. Nothing is dropped: the log keeps it, and the next rounds try again.
            self._link.fail(ReplicationUnavailableError(f"{self._link.url}: a message is not stored: {answer}"))
        elif answer.is_duplicate and answer.seq <= self._ledger.seen.seq:
            # It does not come back any more.
            self._duplicates.append((answer.seq, message))
