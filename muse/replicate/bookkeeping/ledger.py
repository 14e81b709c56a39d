"""The bookkeeping of one host and one session: what came from the stream, and what of the log is known to be in it.

Pure: it knows neither the log nor the server. Two sentences are true at any moment, and so after any death:

    stream[..resume] lies in the log below sent_to;   log[..sent_to] lies in stream[..seen]

An operation is noted as received before its line is appended, and the sender passes over what was received: so nothing
is sent back. `sent_to` moves only over operations that came from the stream, be they one's own: an acknowledgement of
the server moves nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_SEEN_KEPT = 256
"""More than come while the server answers a question."""


class Position(NamedTuple):
    """One message of the session in the stream."""

    seq: int = 0
    """Its sequence number; 0 stands for before all."""
    time_ns: int = 0
    """When the server stored it, in nanoseconds since 1970."""
    delivered: int = 0
    """How many messages of the session were delivered up to it."""


START = Position()


class Line(NamedTuple):
    """A line of the log, on its way to the stream."""

    op_id: bytes
    begin: int
    end: int
    line: bytes


class Own(NamedTuple):
    """A message that was sent and has not come back."""

    payload: bytes
    op_ids: tuple[bytes, ...]
    end: int
    """Where its last line ends in the log."""


class SentLine(NamedTuple):
    """The last line that is known to be in the stream: that the log still has it shows that it is the same log."""

    op_id: bytes
    begin: int


@dataclass
class _Arrived:
    """A message that was received, as long as what it brought may lie above `sent_to`."""

    position: Position
    op_ids: list[bytes]
    below: int | None = None
    """Where the log ended when all of it was in there; None as long as that isn't so."""


class Ledger:
    """The bookkeeping of one round; it begins with what a save point says."""

    def __init__(self, resume: Position, seen: Position, sent_to: int, sent_line: SentLine | None) -> None:
        self.resume = resume
        """The last message before the ones that have to be read after a restart."""
        self.seen = seen
        """The last message that was received."""
        self.sent_to = sent_to
        """The byte offset of the log below which everything is in the stream."""
        self.sent_line = sent_line
        self.read_to = sent_to
        """How far the log was read."""
        self._received: set[bytes] = set()
        self._arrived: deque[_Arrived] = deque()
        self._by_seq: dict[int, _Arrived] = {}
        self._unconfirmed: deque[Line] = deque()
        self._delivered = resume.delivered
        self._last_seen = deque([seen], _SEEN_KEPT)

    # What comes from the stream.

    def note_received(self, seq: int, time_ns: int, op_ids: Iterable[bytes]) -> None:
        """A message was received; what it brought is not in the log yet."""
        self._delivered += 1
        position = Position(seq, time_ns, self._delivered)
        # Up to `seen` they come for the second time, after a restart.
        if seq > self.seen.seq:
            self.seen = position
            self._last_seen.append(position)
        arrived = _Arrived(position, list(op_ids))
        self._arrived.append(arrived)
        self._by_seq[seq] = arrived
        self._received.update(arrived.op_ids)

    def delivered_up_to(self, seq: int) -> int:
        """How many messages were delivered up to a sequence number; up to now, if that was long ago."""
        return next((each.delivered for each in reversed(self._last_seen) if each.seq <= seq), self.seen.delivered)

    def note_line(self, seq: int, op_id: bytes) -> None:
        """The last part of a long line was received, with the message `seq`."""
        self._by_seq[seq].op_ids.append(op_id)
        self._received.add(op_id)

    def note_appended(self, seqs: Iterable[int], below: int) -> None:
        """What some messages brought lies in the log below a byte offset, or was refused."""
        for seq in seqs:
            if arrived := self._by_seq.get(seq):
                arrived.below = below
        self._advance()

    def note_there(self, op_ids: Iterable[bytes]) -> None:
        """The server has these operations in a message that was received before: it said so instead of storing them."""
        self._received.update(op_ids)
        self._advance()

    # What comes from the log.

    def note_read(self, lines: Sequence[Line], resume_at: int) -> list[Line]:
        """The lines of the log after `read_to` were read; those of them that have to be sent."""
        to_send = [line for line in lines if line.op_id not in self._received]
        # Their text is not needed any more; only their places are.
        self._unconfirmed.extend(line._replace(line=b"") for line in lines)
        self.read_to = resume_at
        self._advance()
        return to_send

    def note_passed(self, lines: Sequence[Line], resume_at: int) -> None:
        """Of lines of the log after `read_to`, pass over those that came from the stream, up to the first other one."""
        passed = 0
        while passed < len(lines) and lines[passed].op_id in self._received:
            passed += 1
        if passed or not lines:
            self.note_read(lines[:passed], resume_at if passed == len(lines) else lines[passed - 1].end)

    @property
    def unconfirmed(self) -> int:
        """How many lines were read and have not come back from the stream, or follow one of these."""
        return len(self._unconfirmed)

    @property
    def remembered(self) -> int:
        """How many op_ids are held in memory."""
        return len(self._received)

    def _advance(self) -> None:
        unconfirmed, received = self._unconfirmed, self._received
        while unconfirmed and unconfirmed[0].op_id in received:
            line = unconfirmed.popleft()
            received.discard(line.op_id)
            self.sent_to, self.sent_line = line.end, SentLine(line.op_id, line.begin)
        if not unconfirmed:
            # What lies behind the last line of an entry is no entry.
            self.sent_to = self.read_to
        while self._arrived and (below := self._arrived[0].below) is not None and below <= self.sent_to:
            arrived = self._arrived.popleft()
            del self._by_seq[arrived.position.seq]
            self._received.difference_update(arrived.op_ids)
            self.resume = arrived.position


def cut_as_before(lines: Sequence[Line], ends: Collection[int]) -> list[Sequence[Line]]:
    """Lines of the log in groups that end where messages ended that were sent before, so that the same come of them.

    What was on its way when a connection was lost may arrive later, after it was sent again: the server stores it once
    only if it has the same id. If a message ended behind these lines, the last group is left out, unless it is all.
    """
    groups, begin = [], 0
    for number, line in enumerate(lines, start=1):
        if line.end in ends or number == len(lines):
            groups.append(lines[begin:number])
            begin = number
    if len(groups) > 1 and lines[-1].end not in ends and max(ends, default=0) > lines[-1].end:
        groups.pop()
    return groups
