"""The addresses of a report: counted as a plain scan counts them, and at once only what no history orders."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import OpEntry
from muse.report import limits
from muse.report.gathering.addresses import Addresses
from tests import making, plain_scan
from tests.report import sessions


def at(number: int, address: str, actor: str, *parents: int) -> OpEntry:
    """An op at an address."""
    return making.entry(
        number,
        actor_id=actor,
        parent_op_ids=[making.op_id(parent) for parent in parents],
        domain_op={**making.SOME_OP, "address": address},
    )


def taken_in(entries: list[OpEntry]) -> Addresses:
    """The addresses of entries that arrive in this order."""
    addresses = Addresses()
    for arrival, entry in enumerate(entries, start=1):
        addresses.add(entry, arrival)
    return addresses


def actors_at_once(addresses: Addresses) -> dict[str, set[str]]:
    """Who changed which address at once."""
    return {
        each.text: {name for number, name in enumerate(addresses.actor_names) if each.at_once_actors >> number & 1}
        for each in addresses.changed_at_once()
    }


@st.composite
def histories(draw: st.DrawFn) -> list[OpEntry]:
    """Ops of three actors at two addresses; each depends on its actor's previous one and on any others."""
    entries: list[OpEntry] = []
    newest: dict[str, int] = {}
    for number in range(1, draw(st.integers(1, 14)) + 1):
        actor = draw(st.sampled_from("abc"))
        others = draw(st.sets(st.integers(1, number - 1), max_size=2)) if number > 1 else set()
        mine = {newest[actor]} if actor in newest else set()
        entries.append(at(number, draw(st.sampled_from(("x", "y"))), actor, *sorted(others | mine)))
        newest[actor] = number
    return entries


@given(entries=histories())
def test_at_once_is_what_no_history_orders(entries: list[OpEntry]) -> None:
    """The actors that are named for an address are those of any two ops there of which neither depends on the other."""
    assert actors_at_once(taken_in(entries)) == sessions.changed_at_once(entries, entries)


@given(entries=histories(), order=st.randoms(use_true_random=False), lost=st.integers(0, 13))
def test_nothing_is_said_to_be_at_once_that_is_not(entries: list[OpEntry], order: object, lost: int) -> None:
    """Arrived in any order and with one op lost, what can't be known is counted as such, not told as a finding."""
    arrived = [entry for number, entry in enumerate(entries) if number != lost]
    order.shuffle(arrived)  # type: ignore[attr-defined] # a Random, by hypothesis
    found = taken_in(arrived)
    expected = sessions.changed_at_once(arrived, entries)
    for address, actors in actors_at_once(found).items():
        assert actors <= expected.get(address, set())
    assert 0 <= found.not_compared <= len(arrived)


def test_counts_and_last_actor_are_those_of_a_plain_scan(repo: Path) -> None:
    """Ops, actors and the last of each address in the page equal what plain JSON says, the busiest first."""
    entries = sessions.crowd(9, 300)
    for number, entry in enumerate(entries):
        entry["domain_op"]["address"] = f"bar:{number * number % 40}"
    path = sessions.recorded(repo, entries)
    addresses = sessions.data(repo)["addresses"]

    by_address: dict[str, list[dict[str, Any]]] = {}
    for found in plain_scan.scan_file(path).entries:
        by_address.setdefault(found["domain_op"]["address"], []).append(found)
    assert addresses["all"] == len(by_address)
    counts = [row[1] for row in addresses["busiest"]]
    assert counts == sorted(map(len, by_address.values()), reverse=True)[: len(counts)]
    for text, ops, actors, last, lamport_ts, time_ms, *_ in addresses["busiest"]:
        here = by_address[text]
        newest = max(here, key=lambda found: (found["lamport_ts"], found["actor_id"], found["op_id"]))
        assert (ops, actors) == (len(here), len({found["actor_id"] for found in here}))
        assert (last, lamport_ts) == (newest["actor_id"], newest["lamport_ts"])
        made_at = datetime.fromtimestamp(time_ms / 1000, UTC)
        assert made_at == datetime.fromisoformat(newest["created_at"])


def test_of_too_many_addresses_the_busiest_and_those_at_once_are_kept() -> None:
    """However many there are, a few thousand stay, and it is known that others were forgotten."""
    many = [at(number, f"once:{number}", "a") for number in range(10, 2 * limits.MAX_ADDRESSES + 500)]
    addresses = taken_in([at(1, "twice", "a"), at(2, "twice", "b"), *(at(n, "busy", "a") for n in (3, 4, 5)), *many])

    assert addresses.forgot
    assert limits.MAX_ADDRESSES <= len(addresses) <= 2 * limits.MAX_ADDRESSES
    assert addresses.busiest()[0].text == "busy"
    assert actors_at_once(addresses) == {"twice": {"a", "b"}}


def test_what_has_no_address_or_a_hostile_one_is_taken_in() -> None:
    """No text and a number are no address; two long texts that begin alike are two."""
    ops = [{"op": "x"}, {"address": 7}, {"address": ""}, {"address": "x" * 5_000}, {"address": "x" * 5_001}]
    addresses = taken_in([making.entry(number, domain_op=op) for number, op in enumerate(ops, start=1)])

    assert [(len(each.text), each.ops) for each in addresses.busiest()] == [(limits.TEXT_LETTERS, 1)] * 2
