"""The bookkeeping: what it promises of stream and log is true at any moment, whoever dies when."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from muse.replicate.bookkeeping.ledger import START, Ledger, Line, Position, cut_as_before
from tests.samples import examples

LINE_BYTES = 10


@dataclass
class Host:
    """A host as plain lists: the ops of its log, and what it does with its ledger."""

    log: list[bytes] = field(default_factory=list)
    saved: tuple[Position, Position, int, object] = (START, START, 0, None)
    ledger: Ledger = field(default_factory=lambda: Ledger(START, START, 0, None))
    read_from_stream: int = 0
    in_hand: list[tuple[int, list[bytes]]] = field(default_factory=list)

    def restart(self) -> None:
        """Die, and go on from what was saved; the log stays."""
        resume, seen, sent_to, sent_line = self.saved
        self.ledger = Ledger(resume, seen, sent_to, sent_line)  # type: ignore[arg-type]
        self.read_from_stream = resume.seq
        self.in_hand.clear()

    def save(self) -> None:
        """What a save point holds."""
        self.saved = (self.ledger.resume, self.ledger.seen, self.ledger.sent_to, self.ledger.sent_line)

    def receive(self, stream: list[list[bytes]], most: int) -> None:
        """Take messages from the stream; they are not in the log yet."""
        for seq in range(self.read_from_stream + 1, min(self.read_from_stream + most, len(stream)) + 1):
            self.ledger.note_received(seq, seq, stream[seq - 1])
            self.in_hand.append((seq, stream[seq - 1]))
            self.read_from_stream = seq

    def append(self) -> None:
        """Put into the log what was received."""
        for _, op_ids in self.in_hand:
            self.log += [op_id for op_id in op_ids if op_id not in self.log]
        self.ledger.note_appended([seq for seq, _ in self.in_hand], len(self.log) * LINE_BYTES)
        self.in_hand.clear()

    def send(self, stream: list[list[bytes]], most: int, *, is_caught_up: bool) -> None:
        """Read the log on, and publish what did not come from the stream."""
        first = self.ledger.read_to // LINE_BYTES
        lines = [
            Line(op_id, number * LINE_BYTES, (number + 1) * LINE_BYTES, b"")
            for number, op_id in enumerate(self.log)
            if first <= number < first + most
        ]
        resume_at = (first + len(lines)) * LINE_BYTES
        if not is_caught_up:
            self.ledger.note_passed(lines, resume_at)
        elif to_send := self.ledger.note_read(lines, resume_at):
            stream.append([line.op_id for line in to_send])

    def work(self, step: str, stream: list[list[bytes]], rng: random.Random) -> None:
        """Take one step."""
        if step == "receive":
            self.receive(stream, rng.randint(1, 3))
        elif step == "send":
            is_caught_up = self.read_from_stream == len(stream) and not self.in_hand
            self.send(stream, rng.randint(1, 4), is_caught_up=is_caught_up)
        else:
            getattr(self, step)()

    def check(self, stream: list[list[bytes]]) -> None:
        """The two sentences, of what is in memory and of what is saved."""
        ledger = self.ledger
        for resume, seen, sent_to in ((ledger.resume, ledger.seen, ledger.sent_to), self.saved[:3]):
            below = set(self.log[: sent_to // LINE_BYTES])
            assert {op_id for message in stream[: resume.seq] for op_id in message} <= below
            assert below <= {op_id for message in stream[: seen.seq] for op_id in message}
            assert resume.seq <= seen.seq
            assert resume.delivered == resume.seq


@given(st.integers(0, 2**32), st.integers(20, 120))
@examples(60)
def test_the_two_sentences_are_always_true_and_nothing_comes_twice(seed: int, steps: int) -> None:
    """Three hosts record, receive, send, save and die at random; at the end all have all, and no op was sent twice.

    A host that dies after it has published reads the stream up to its end before it sends again, as a round does.
    """
    rng = random.Random(seed)
    stream: list[list[bytes]] = []
    hosts = [Host() for _ in range(3)]
    made = 0
    for _ in range(steps):
        host = rng.choice(hosts)
        step = rng.choice(("record", "record", "record", "receive", "append", "send", "save", "restart"))
        if step == "record":
            made += 1
            host.log.append(made.to_bytes(16, "big"))
        else:
            host.work(step, stream, rng)
        for each in hosts:
            each.check(stream)
    for _ in range(made + 4):
        for host in hosts:
            host.receive(stream, made + len(stream))
            host.append()
            host.send(stream, made + 1, is_caught_up=True)
            host.check(stream)
    sent = [op_id for message in stream for op_id in message]
    assert sorted(sent) == sorted(op_id for op_id in {*hosts[0].log})
    for host in hosts:
        assert sorted(host.log) == sorted(sent)
        assert host.ledger.sent_to == len(host.log) * LINE_BYTES
        assert host.ledger.resume == host.ledger.seen
        assert (host.ledger.unconfirmed, host.ledger.remembered) == (0, 0)


def line(number: int) -> Line:
    """The line of one op at its place."""
    return Line(number.to_bytes(16, "big"), number * LINE_BYTES, (number + 1) * LINE_BYTES, b"text")


def test_an_acknowledgement_moves_nothing_but_a_return_does() -> None:
    """`sent_to` stays until one's own message comes from the stream."""
    ledger = Ledger(START, START, 0, None)
    assert ledger.note_read([line(0), line(1)], 20) == [line(0), line(1)]
    assert (ledger.sent_to, ledger.unconfirmed) == (0, 2)
    ledger.note_received(7, 70, [line(0).op_id])
    ledger.note_appended([7], 20)
    assert (ledger.sent_to, ledger.resume) == (10, START)
    ledger.note_received(9, 90, [line(1).op_id])
    ledger.note_appended([9], 20)
    assert (ledger.sent_to, ledger.resume) == (20, Position(9, 90, 2))


def test_a_duplicate_below_what_was_seen_counts_as_returned() -> None:
    """The server has it in a message that was read before: it will not come again."""
    ledger = Ledger(Position(3, 30, 3), Position(5, 50, 5), 0, None)
    ledger.note_read([line(0)], 10)
    ledger.note_there([line(0).op_id])
    assert (ledger.sent_to, ledger.unconfirmed, ledger.remembered) == (10, 0, 0)


def test_how_many_were_delivered_up_to_a_number_is_known_for_a_while() -> None:
    """Of what is long past, only how many there are by now."""
    ledger = Ledger(START, START, 0, None)
    for seq in range(2, 2000, 2):
        ledger.note_received(seq, seq, [])
    assert [ledger.delivered_up_to(seq) for seq in (5000, 1998, 1997, 1900)] == [999, 999, 998, 950]
    assert ledger.delivered_up_to(10) == 999
    assert Ledger(START, Position(7, 7, 3), 0, None).delivered_up_to(8) == 3


def test_the_parts_of_a_line_hold_back_where_reading_resumes() -> None:
    """As long as the line is not whole, its first part has to be read again after a restart."""
    ledger = Ledger(START, START, 0, None)
    for seq in (1, 2):
        ledger.note_received(seq, seq, ())
    ledger.note_received(3, 3, [line(0).op_id])
    ledger.note_appended([3], 10)
    ledger.note_read([line(0)], 10)
    assert (ledger.sent_to, ledger.resume) == (10, START)
    ledger.note_line(2, line(1).op_id)
    ledger.note_appended([1, 2], 20)
    ledger.note_read([line(1)], 20)
    assert (ledger.sent_to, ledger.resume.seq) == (20, 3)


def test_before_all_is_read_only_what_came_from_the_stream_is_passed_over() -> None:
    """The first line that did not come stops it, as it may come still."""
    ledger = Ledger(START, START, 0, None)
    ledger.note_received(1, 1, [line(0).op_id, line(2).op_id])
    ledger.note_passed([line(0), line(1), line(2)], 30)
    assert (ledger.read_to, ledger.sent_to, ledger.unconfirmed) == (10, 10, 0)


def test_what_is_no_entry_is_passed_over() -> None:
    """Damaged lines at the end of the log don't hold anything up."""
    ledger = Ledger(START, START, 0, None)
    ledger.note_read([], 500)
    assert (ledger.sent_to, ledger.read_to) == (500, 500)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.integers(6, 20), st.integers(0, 9))
@examples(60)
def test_what_is_sent_again_is_cut_where_it_was_cut_before(pages: list[int], read_at_once: int, more: int) -> None:
    """However much is read at once, and whatever was recorded since: each page of before comes again as it was."""
    count = sum(pages) + more
    log = [Line(bytes([number]), number * LINE_BYTES, (number + 1) * LINE_BYTES, b"") for number in range(count)]
    first = [tuple(log[sum(pages[:number]) : sum(pages[: number + 1])]) for number in range(len(pages))]
    ends = [page[-1].end for page in first]
    again: list[tuple[Line, ...]] = []
    while (at := sum(map(len, again))) < count:
        again += [tuple(group) for group in cut_as_before(log[at : at + read_at_once], ends)]
    assert again[: len(first)] == first
    assert [line for group in again for line in group] == log
