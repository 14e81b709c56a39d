"""The layout of messages: lines go in and come out as they are."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.replicate.wire import messages
from muse.replicate.wire.messages import GROUP_HEADER, ID_HEADER, PART_HEADER, Assembler, Message
from tests.making import entry, line, op_id
from tests.samples import examples

MAX_PAYLOAD = messages.HEADROOM_BYTES + 2000


def packed(lines: list[bytes], salt: str = "", max_payload: int = MAX_PAYLOAD, subject: str = "s") -> list[Message]:
    """The messages of some lines."""
    made = messages.messages_of(lines, stream="MUSE_t", subject=subject, salt=salt, max_payload=max_payload)
    return list(made)


def unpacked(sent: list[Message]) -> list[bytes]:
    """The lines that a receiver gets."""
    assembler = Assembler()
    found: list[bytes] = []
    for seq, message in enumerate(sent):
        if PART_HEADER in message.headers:
            whole, _ = assembler.add(message.headers, message.payload, seq, seq)
            found += [whole] if whole else []
        else:
            found += messages.lines_in(message.payload)
    return found


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([0, 10, 900, 1700, 5000])), max_size=12))
@examples(40)
def test_lines_come_out_as_they_went_in(kinds: list[tuple[int, int]]) -> None:
    """Short ones share messages, long ones take several; none is longer than the server takes."""
    lines = [line(entry(number, intent_id="x" * length)) for number, length in kinds]
    sent = packed(lines)
    assert unpacked(sent) == lines
    assert all(len(message.payload) <= 2000 for message in sent)
    expected = [uuid.UUID(op_id(number)).bytes for number, _ in kinds]
    assert [each for message in sent for each in message.op_ids] == expected


def test_a_message_holds_at_most_1024_lines() -> None:
    """So that a receiver takes it in one go."""
    lines = [line(entry(1))] * 1025
    assert [len(message.op_ids) for message in packed(lines, max_payload=1 << 20)] == [794, 231]
    assert [len(message.op_ids) for message in packed([b"{}\n"] * 1025, max_payload=1 << 20)] == [1024, 1]


def test_the_id_of_a_message_is_that_of_its_session_content_and_salt() -> None:
    """Two hosts give the same page the same id; after a loss it is another, as in another session of the stream."""
    lines = [line(entry(1)), line(entry(2, intent_id="x" * 3000))]
    made = [packed(lines), packed(lines), packed(lines, salt="s"), packed(lines, subject="fork")]
    made += [[messages.audit_message(1, stream="MUSE_t", subject=subject)] for subject in ("s", "fork")]
    ids = [[message.headers[ID_HEADER] for message in each] for each in made]
    assert ids[0] == ids[1]
    assert len({each for some in ids for each in some}) == sum(map(len, ids[1:]))


def test_parts_of_two_senders_may_come_in_between() -> None:
    """Each group is put together by itself, whatever the order; parts that come twice do no harm."""
    one, two = (packed([line(entry(number, intent_id="x" * 5000))]) for number in (1, 2))
    assembler = Assembler()
    found = []
    for seq, message in enumerate([one[0], two[2], one[0], two[0], one[2], two[1], one[1]]):
        whole, done = assembler.add(message.headers, message.payload, seq, 0)
        if whole:
            found.append((whole, sorted(done)))
    assert found == [
        (line(entry(2, intent_id="x" * 5000)), [1, 3, 5]),
        (line(entry(1, intent_id="x" * 5000)), [0, 2, 4, 6]),
    ]


def test_a_group_that_never_completes_is_dropped_after_an_hour() -> None:
    """By the server's time; its messages needn't be read again."""
    sent = packed([line(entry(1, intent_id="x" * 5000))])
    assembler = Assembler()
    assert assembler.add(sent[0].headers, sent[0].payload, 5, 10**9) == (None, [])
    assert assembler.drop_older(10**9 + 3600 * 10**9) == []
    assert assembler.drop_older(10**9 + 3601 * 10**9) == [5]
    assert assembler.add(sent[1].headers, sent[1].payload, 6, 10**9) == (None, [])


@pytest.mark.parametrize("part", ["", "0/2", "3/2", "x/y", "1/99999999", "1"])
def test_a_part_without_sense_is_passed_over(part: str) -> None:
    """It holds nothing up."""
    assert Assembler().add({PART_HEADER: part, GROUP_HEADER: "g"}, b"", 4, 0) == (None, [4])


@pytest.mark.parametrize(
    "spelled",
    [
        lambda number: line(entry(number)),
        lambda number: b" " + line(entry(number)),
        lambda number: b"\xef\xbb\xbf" + line(entry(number)),
        lambda number: line(entry(number)).replace(b": ", b":").replace(b", ", b","),
    ],
)
def test_the_op_id_of_a_line_is_found_however_it_is_spelled(spelled: Any) -> None:
    """Engine's own spelling, and others'."""
    assert messages.op_id_of_line(spelled(3)) == uuid.UUID(op_id(3)).bytes


def test_parts_of_different_sizes_are_not_mixed() -> None:
    """Some were sent, then the server took more at once: the line comes out whole, not of pieces that overlap."""
    long = line(entry(1, intent_id="x" * 9000))
    assert unpacked([*packed([long])[:2], *packed([long], max_payload=MAX_PAYLOAD + 1000)]) == [long]


@pytest.mark.parametrize("bad", [b"\n", b"{}\n", b"\xff\n", b'{"op_id":"' + b"z" * 36 + b'"}\n', b'{"op_id": 5}\n'])
def test_what_is_no_entry_has_no_op_id(bad: bytes) -> None:
    """It gets a name of its own, longer than any op_id."""
    assert len(messages.op_id_of_line(bad)) == 32


def test_every_session_has_its_own_subject_of_four_tokens() -> None:
    """Dots, stars and spaces of an id never become those of a subject."""
    ids = ["a", "a.b", "a%2Eb", "*", ">", "a b", "é", "a/b", "$"]
    subjects = [messages.subject_of("t", "ops", each) for each in ids]
    assert len(set(subjects)) == len(ids)
    assert all(subject.isascii() and len(subject.split(".")) == 4 for subject in subjects)
    assert not any(set(subject) & set("*> ") for subject in subjects)
