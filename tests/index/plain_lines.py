"""Lines of a log as plain values, made without a log: what the modules of the index are fed with and compared to."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from muse.core.index.file import new_in_memory, open_database, replacing
from muse.core.index.store import Index
from muse.core.storage.lines import Lines
from tests.small_index import limits

ROLES = ("actor", "domain", "intent", "reservation")


@dataclass(frozen=True)
class PlainLine:
    """One line: an entry, or a line with a problem, which has neither timestamp nor op_id nor names."""

    length: int
    checksum: int
    lamport_ts: int = 0
    op_id: bytes = b""
    actor: str = ""
    domain: str = ""
    intent: str = ""
    reservation: str = ""
    parents: tuple[bytes, ...] = ()
    problem: tuple[str, str] | None = None

    def as_entry(self) -> dict[str, Any]:
        """The fields of the entry that the index looks at."""
        return {
            "op_id": str(uuid.UUID(bytes=self.op_id)),
            "lamport_ts": self.lamport_ts,
            "actor_id": self.actor,
            "domain": self.domain,
            "intent_id": self.intent,
            "reservation_id": self.reservation,
            "parent_op_ids": [str(uuid.UUID(bytes=each)) for each in self.parents],
        }


def some_lines(count: int, start: int = 1) -> list[PlainLine]:
    """Lines that differ from each other, the same ones for the same numbers; every eleventh has a problem."""
    made = []
    for number in range(start, start + count):
        chance = random.Random(number)
        op_id, checksum = chance.randbytes(16), chance.getrandbits(32)
        if number % 11 == 0:
            made.append(PlainLine(1 + number % 7, checksum, problem=("damaged", f"the reason of line {number}")))
            continue
        made.append(
            PlainLine(
                100 + number % 13,
                checksum,
                chance.randrange(1000),
                op_id,
                f"actor {number % 3}",
                f"domain {number % 2}",
                f"intent {number % 5}" if number % 4 else "",
                "",
            )
        )
    return made


def offsets_of(lines: Sequence[PlainLine], start: int = 0) -> list[int]:
    """The byte offset of each line, and of what follows the last."""
    return list(accumulate((each.length for each in lines), initial=start))


def fed_with(lines: Sequence[PlainLine], start: int = 0) -> Lines:
    """The same lines as the index is fed with them."""
    made = Lines(start)
    for each in lines:
        if each.problem:
            made.add_problem(each.length, each.checksum, each.problem)
        else:
            made.add_entry(each.as_entry(), each.op_id, each.length, each.checksum)
    return made


def plain(lines: Lines) -> list[PlainLine]:
    """What `Lines` hold, as plain values."""
    ends = [*lines.offsets, lines.end][1:]
    found = []
    for number, (at, end) in enumerate(zip(lines.offsets, ends, strict=True)):
        parents = lines.parents[number]
        actor, domain, intent, reservation = (getattr(lines, role)[number] for role in ROLES)
        found.append(
            PlainLine(
                end - at,
                lines.checksums[number],
                lines.lamport_ts[number],
                lines.op_ids[number],
                actor,
                domain,
                intent,
                reservation,
                tuple(parents[each : each + 16] for each in range(0, len(parents), 16)),
                lines.problems.get(at),
            )
        )
    return found


def without_parents(lines: Sequence[PlainLine]) -> list[PlainLine]:
    """The lines as if none named a parent."""
    return [replace(each, parents=()) for each in lines]


NAMES = st.sampled_from(["", "ada", "bob", 'Zoë "é"', "\U0001f3b5", "a,b", "null"])
PROBLEMS = st.sampled_from([("blank", ""), ("damaged", "the reason"), ("duplicate", "stands already at byte 0 ü")])
OP_IDS = st.one_of(
    st.binary(min_size=16, max_size=16),
    # Made of few different bytes, so that some contain others in their middle, and halves are alike.
    st.lists(st.sampled_from([b"\0" * 4, b"\1" * 4, b"\0\1\0\1", b"\0" * 3 + b"\1"]), min_size=4, max_size=4).map(
        b"".join
    ),
)
TIMESTAMPS = st.one_of(st.integers(0, 20), st.integers(0, 2**53 - 1), st.sampled_from([2**32 - 1, 2**32, 2**32 + 1]))


@st.composite
def plain_lines(draw: st.DrawFn, min_size: int = 0, max_size: int = 40) -> list[PlainLine]:
    """Any lines, with problems among them; each op_id stands once."""
    op_ids = draw(st.lists(OP_IDS, min_size=min_size, max_size=max_size, unique=True))
    timestamps = draw(st.sampled_from([st.integers(0, 20), TIMESTAMPS]))
    made = []
    for op_id in op_ids:
        length, checksum = draw(st.integers(1, 300)), draw(st.integers(0, 2**32 - 1))
        if draw(st.integers(0, 5)) == 0:
            made.append(PlainLine(length, checksum, problem=draw(PROBLEMS)))
            continue
        actor, domain = draw(NAMES.filter(bool)), draw(NAMES.filter(bool))
        parents = tuple(draw(st.lists(st.sampled_from(op_ids), max_size=2)))
        made.append(
            PlainLine(length, checksum, draw(timestamps), op_id, actor, domain, draw(NAMES), draw(NAMES), parents)
        )
    return made


def segments_of_four() -> AbstractContextManager[None]:
    """Limits under which four lines become a segment, and one or two stay in the tail."""
    return limits(SEGMENT_LINES=4, LONG_BATCH_LINES=3, PAGE_KEYS=5)


def index_in_memory() -> Index:
    """An empty index."""
    return Index(new_in_memory())


def index_on_disk(folder: Path) -> Index:
    """A connection to the index in a folder, which is made if it is not there."""
    if not (folder / "index.db").exists():
        with replacing(folder, 5):
            pass
    database = open_database(folder)
    assert database is not None
    return Index(database)
