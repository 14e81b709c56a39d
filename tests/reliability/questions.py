"""Every question a log answers, with the answer by the plain scan: what a damaged index must not change.

Which question comes first decides which part of the index is looked at first, so a sweep asks each one of
a fresh handle on a fresh copy of the damage.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from muse.core.op_log import OpEntry, OpLog, describe_sessions
from tests import making, plain_scan
from tests.plain_graph import PlainGraph
from tests.plain_scan import Entry, exact, exact_list

NEW = making.entry(123_456)


@dataclass
class Situation:
    """A session as a plain scan sees it, and how many of its entries the checkpoint covers."""

    entries: list[Entry]
    covered: int
    byte_offset: int
    """Where the last whole line ends."""

    @property
    def pending(self) -> list[Entry]:
        """What arrived after the checkpoint."""
        return self.entries[self.covered :]

    @property
    def op_ids(self) -> list[str]:
        """The op_id of each entry."""
        return [entry["op_id"] for entry in self.entries]

    @cached_property
    def graph(self) -> PlainGraph:
        """What depends on what."""
        return PlainGraph(self.entries)

    @property
    def windows(self) -> list[tuple[int, int]]:
        """Some ranges of timestamps, from narrow to all."""
        stamps = sorted(entry["lamport_ts"] for entry in self.entries)
        middle, last = stamps[len(stamps) // 2], stamps[-1]
        return [(middle, middle), (stamps[3], stamps[-3]), (0, middle), (last, last + 1), (0, 2**53 - 1)]


Ask = Callable[[OpLog, Situation], Any]
QUESTIONS: dict[str, tuple[Ask, Callable[[Situation], Any]]] = {}


def question(expected: Callable[[Situation], Any]) -> Callable[[Ask], Ask]:
    """Register a question together with its answer by the plain scan."""

    def register(ask: Ask) -> Ask:
        QUESTIONS[ask.__name__] = (ask, expected)
        return ask

    return register


def _names(situation: Situation, field: str) -> list[str]:
    return sorted({entry[field] for entry in situation.entries})


def _matching(situation: Situation, field: str) -> dict[str, list[str]]:
    return {
        name: exact_list(entry for entry in situation.entries if entry[field] == name)
        for name in _names(situation, field)
    }


def _numbers(situation: Situation, field: str) -> dict[str, int]:
    return plain_scan.tally(situation.entries, field)


@question(lambda situation: exact_list(situation.entries))
def read_all(log: OpLog, situation: Situation) -> Any:
    """The whole log."""
    return exact_list(log.read_all())


@question(lambda situation: len(situation.entries))
def length(log: OpLog, situation: Situation) -> Any:
    """Its length."""
    return len(log)


@question(lambda situation: exact_list(situation.entries))
def get_each(log: OpLog, situation: Situation) -> Any:
    """Each entry by its op_id, from the first."""
    return exact_list(log.get(entry["op_id"]) for entry in situation.entries)


@question(lambda situation: exact_list(reversed(situation.entries)))
def get_each_from_the_end(log: OpLog, situation: Situation) -> Any:
    """The same from the last."""
    return exact_list(log.get(entry["op_id"]) for entry in reversed(situation.entries))


@question(lambda situation: None)
def get_unknown(log: OpLog, situation: Situation) -> Any:
    """An op_id that is not there."""
    return log.get(NEW["op_id"])


@question(lambda situation: (_numbers(situation, "actor_id"), _numbers(situation, "domain")))
def totals(log: OpLog, situation: Situation) -> Any:
    """How much is whose, and of what."""
    return log.actors(), log.domains()


@question(lambda situation: _matching(situation, "actor_id"))
def query_by_actor(log: OpLog, situation: Situation) -> Any:
    """What each actor did."""
    return {name: exact_list(log.query(actor_id=name)) for name in _names(situation, "actor_id")}


@question(lambda situation: _matching(situation, "domain"))
def query_by_domain(log: OpLog, situation: Situation) -> Any:
    """What was done in each domain."""
    return {name: exact_list(log.query(domain=name)) for name in _names(situation, "domain")}


@question(lambda situation: _matching(situation, "intent_id"))
def query_by_intent(log: OpLog, situation: Situation) -> Any:
    """What belongs to each intent, "" included."""
    return {name: exact_list(log.query(intent_id=name)) for name in _names(situation, "intent_id")}


@question(lambda situation: _matching(situation, "reservation_id"))
def query_by_reservation(log: OpLog, situation: Situation) -> Any:
    """What belongs to each reservation, "" included."""
    return {name: exact_list(log.query(reservation_id=name)) for name in _names(situation, "reservation_id")}


@question(
    lambda situation: [
        exact_list(plain_scan.select(situation.entries, min_lamport_ts=low, max_lamport_ts=high))
        for low, high in situation.windows
    ]
)
def query_by_timestamp(log: OpLog, situation: Situation) -> Any:
    """Ranges of timestamps."""
    return [exact_list(log.query(min_lamport_ts=low, max_lamport_ts=high)) for low, high in situation.windows]


@question(lambda situation: exact_list(reversed(situation.entries)))
def query_reversed(log: OpLog, situation: Situation) -> Any:
    """The whole log from its end."""
    return exact_list(log.query(reverse=True))


@question(
    lambda situation: [
        {name: found[::-1] for name, found in _matching(situation, field).items()}
        for field in ("actor_id", "domain", "intent_id")
    ]
)
def query_reversed_by_name(log: OpLog, situation: Situation) -> Any:
    """What has each name, from the end."""
    return [
        {name: exact_list(log.query(actor_id=name, reverse=True)) for name in _names(situation, "actor_id")},
        {name: exact_list(log.query(domain=name, reverse=True)) for name in _names(situation, "domain")},
        {name: exact_list(log.query(intent_id=name, reverse=True)) for name in _names(situation, "intent_id")},
    ]


@question(
    lambda situation: [
        exact_list(plain_scan.select(situation.entries, min_lamport_ts=low, max_lamport_ts=high)[::-1][:9])
        for low, high in situation.windows
    ]
)
def query_last_by_timestamp(log: OpLog, situation: Situation) -> Any:
    """The last few of ranges of timestamps."""
    return [
        exact_list(log.query(min_lamport_ts=low, max_lamport_ts=high, reverse=True, limit=9))
        for low, high in situation.windows
    ]


@question(
    lambda situation: [_numbers(situation, name) for name in ("actor_id", "domain", "intent_id", "reservation_id")]
)
def count_by_name(log: OpLog, situation: Situation) -> Any:
    """How many entries have each name."""
    return [
        {name: log.count(actor_id=name) for name in _names(situation, "actor_id")},
        {name: log.count(domain=name) for name in _names(situation, "domain")},
        {name: log.count(intent_id=name) for name in _names(situation, "intent_id")},
        {name: log.count(reservation_id=name) for name in _names(situation, "reservation_id")},
    ]


@question(
    lambda situation: [
        len(plain_scan.select(situation.entries, domain="music", min_lamport_ts=low, max_lamport_ts=high))
        for low, high in situation.windows
    ]
)
def count_by_timestamp(log: OpLog, situation: Situation) -> Any:
    """How many of a domain lie in ranges of timestamps."""
    return [log.count(domain="music", min_lamport_ts=low, max_lamport_ts=high) for low, high in situation.windows]


def _of_both(situation: Situation) -> list[list[Entry]]:
    return [
        plain_scan.select(situation.entries, actor_id=actor, domain=domain)
        for actor in _names(situation, "actor_id")
        for domain in _names(situation, "domain")
    ]


@question(
    lambda situation: [(exact_list(found), exact_list(found[:-8:-1]), len(found)) for found in _of_both(situation)]
)
def query_by_two_names(log: OpLog, situation: Situation) -> Any:
    """What each actor did in each domain: all of it, the last seven, how many."""
    return [
        (
            exact_list(log.query(actor_id=actor, domain=domain)),
            exact_list(log.query(actor_id=actor, domain=domain, reverse=True, limit=7)),
            log.count(actor_id=actor, domain=domain),
        )
        for actor in _names(situation, "actor_id")
        for domain in _names(situation, "domain")
    ]


@question(lambda situation: [[op_id for op_id in sorted(situation.op_ids) if op_id[0] == digit] for digit in _DIGITS])
def op_ids_beginning(log: OpLog, situation: Situation) -> Any:
    """Which op_ids begin with a digit."""
    return [log.op_ids_beginning(digit, limit=1_000) for digit in _DIGITS]


_DIGITS = "0123456789abcdef"


@question(lambda situation: exact_list(situation.entries[len(situation.entries) // 3 + 1 :]))
def follow_since(log: OpLog, situation: Situation) -> Any:
    """What has arrived after an entry."""
    return exact_list(log.follow(since=situation.op_ids[len(situation.entries) // 3], timeout=0.0))


@question(lambda situation: (len(situation.pending), exact_list(situation.pending)))
def replay_by_a_record_of_five_fields(log: OpLog, situation: Situation) -> Any:
    """What arrived after a checkpoint that says how many lines with entries it covers, and not where they end."""
    path = log.path.with_name("checkpoint.json")
    sound = json.loads(path.read_bytes())
    names = ("session_id", "snapshot_id", "lamport_ts", "op_count", "created_at")
    below = plain_scan.scan(log.path.read_bytes()[: sound["byte_offset"]])
    lines = len(below.entries) + len(below.duplicates) + len(below.conflicts)
    path.write_text(json.dumps({**{name: sound[name] for name in names}, "op_count": lines}))
    found = log.count(since_checkpoint=True), exact_list(log.replay_since_checkpoint())
    path.write_text(json.dumps(sound))
    return found


@question(lambda situation: exact_list(situation.pending))
def replay(log: OpLog, situation: Situation) -> Any:
    """What arrived after the checkpoint."""
    return exact_list(log.replay_since_checkpoint())


@question(lambda situation: len(situation.pending))
def count_since_checkpoint(log: OpLog, situation: Situation) -> Any:
    """How much that is."""
    return log.count(since_checkpoint=True)


@question(
    lambda situation: [exact(plain_scan.delta(situation.pending, domain)) for domain in _names(situation, "domain")]
)
def deltas(log: OpLog, situation: Situation) -> Any:
    """What it collapses into."""
    return [exact(log.to_structured_delta(domain)) for domain in _names(situation, "domain")]


@question(lambda situation: (situation.byte_offset, len(situation.entries)))
def cut(log: OpLog, situation: Situation) -> Any:
    """Where the log ends, and after how many entries."""
    found = log.cut()
    return found.byte_offset, found.op_count


@question(lambda situation: (situation.graph.heads, situation.graph.roots))
def heads_and_roots(log: OpLog, situation: Situation) -> Any:
    """What nothing depends on, and what depends on nothing."""
    return _op_ids(log.history.heads()), _op_ids(log.history.roots())


@question(lambda situation: situation.graph.children)
def children_of_each(log: OpLog, situation: Situation) -> Any:
    """What depends on each entry."""
    return {op_id: _op_ids(log.history.children(op_id)) for op_id in situation.graph.by_op_id}


@question(lambda situation: [situation.graph.ancestors(op_id) for op_id in _some(situation)])
def ancestors(log: OpLog, situation: Situation) -> Any:
    """What some entries depend on, directly or not."""
    return [_op_ids(log.history.ancestors(op_id)) for op_id in _some(situation)]


@question(lambda situation: [situation.graph.descendants(op_id) for op_id in _some(situation)])
def descendants(log: OpLog, situation: Situation) -> Any:
    """What depends on some entries, directly or not."""
    return [_op_ids(log.history.descendants(op_id)) for op_id in _some(situation)]


@question(lambda situation: [situation.graph.concurrent(op_id) for op_id in _some(situation)])
def concurrent(log: OpLog, situation: Situation) -> Any:
    """What happened beside some entries."""
    return [_op_ids(log.history.concurrent(op_id)) for op_id in _some(situation)]


@question(lambda situation: situation.graph.order)
def causal_order(log: OpLog, situation: Situation) -> Any:
    """Parents before children, with what is missing."""
    return [(each.entry["op_id"], each.complete, each.missing_parent_op_ids) for each in log.history.causal_order()]


def _op_ids(entries: Iterable[OpEntry]) -> list[str]:
    return [entry["op_id"] for entry in entries]


def _some(situation: Situation) -> list[str]:
    """The first op_id, the last and some between."""
    op_ids = list(situation.graph.by_op_id)
    return [op_ids[0], op_ids[-1], *op_ids[7::29]]


@question(lambda situation: True)
def next_timestamp_is_above_all(log: OpLog, situation: Situation) -> Any:
    """The clock."""
    return log.next_lamport_ts() > plain_scan.highest_lamport_ts(situation.entries)


@question(lambda situation: 0)
def append_what_is_there(log: OpLog, situation: Situation) -> Any:
    """Every entry appended again must add no byte."""
    before = log.path.stat().st_size
    for entry in situation.entries:
        log.append(cast(OpEntry, entry))
    return log.path.stat().st_size - before


@question(lambda situation: exact_list([*situation.entries, NEW]))
def append_something_new(log: OpLog, situation: Situation) -> Any:
    """A new entry must be there, last."""
    assert log.append(NEW) is True
    return exact_list(log.query())


@question(
    lambda situation: (
        len(situation.entries),
        situation.byte_offset,
        plain_scan.highest_lamport_ts(situation.entries),
        situation.entries[-1]["op_id"],
    )
)
def checkpoint(log: OpLog, situation: Situation) -> Any:
    """A new checkpoint must cover all, and say so."""
    record = log.checkpoint("two")
    return record["op_count"], record["byte_offset"], record["lamport_ts"], record["last_op_id"]


@question(lambda situation: (len(situation.entries), exact_list(situation.entries)))
def merge_into_another(log: OpLog, situation: Situation) -> Any:
    """A new replica must get all."""
    with tempfile.TemporaryDirectory() as name, OpLog(name, "s") as other:
        return other.merge(log), exact_list(other.query())


@question(
    lambda situation: (
        len(situation.entries),
        len(situation.pending),
        plain_scan.highest_lamport_ts(situation.entries),
        _numbers(situation, "actor_id"),
        _numbers(situation, "domain"),
    )
)
def summary(log: OpLog, situation: Situation) -> Any:
    """The overview of the session."""
    repo = Path(log.path).parents[3]
    (found,) = describe_sessions(repo)
    return found.ops, found.pending, found.max_lamport_ts, found.actors, found.domains
