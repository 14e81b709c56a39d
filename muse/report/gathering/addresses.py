"""What happened at each address: how often it was changed, by how many actors, by whom last, and by whom at once.

Two actors changed an address *at once* if each made an op there and neither op depends on the other, directly or
through other ops: neither had seen what the other did. Each op is compared with the last one there of each of the few
actors that were there most recently, if that is among the `WINDOW` ops that arrived before. An op is not compared if
it is not known what it depends on: something of it is not in the log, or arrived later.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import nlargest

from muse.core.op_log import OpEntry
from muse.report import limits
from muse.report.text import brief

WINDOW = limits.WHOLE_UP_TO_OPS

_UNKNOWN = -1
"""Stands for what an op depends on, if that is not known."""


class Address:
    """The ops at one address. Actors are numbers; a set of actors is an integer with a bit for each."""

    __slots__ = ("actors", "at_once", "at_once_actors", "last", "ops", "recent", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.ops = self.actors = self.at_once = self.at_once_actors = 0
        self.last = (-1, "", "", "")
        """(lamport_ts, actor_id, op_id, created_at) of the op that is last in total order."""
        self.recent: dict[int, int] = {}
        """The arrival of the last op of the actors that were here most recently, the most recent one at the end."""


class Addresses:
    """The addresses of a session, of which entries are given one after the other, in limited memory."""

    def __init__(self) -> None:
        self.forgot = False
        """Whether there were so many addresses that those with the fewest ops were forgotten."""
        self.not_compared = 0
        """How many ops could not be compared, because it is not known what they depend on."""
        self.actor_names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._known: dict[str | int, Address] = {}
        # Of the last ops: their arrival, and what they depend on. Bit d stands for the op that arrived d before.
        self._window: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._awaited: OrderedDict[str, None] = OrderedDict()

    def add(self, entry: OpEntry, arrival: int) -> None:
        """Consider the next op, which has this number in the order of arrival."""
        seen = self._seen(entry, arrival)
        self.not_compared += seen == _UNKNOWN
        self._window[entry["op_id"]] = arrival, seen
        if len(self._window) > WINDOW:
            self._window.popitem(last=False)
        address = entry["domain_op"].get("address")
        if isinstance(address, str) and address:
            self._note(self._at(address), entry, arrival, seen)

    def busiest(self) -> list[Address]:
        """The addresses with the most ops, most first."""
        return nlargest(limits.MAX_ADDRESS_ROWS, self._known.values(), key=lambda address: address.ops)

    def changed_at_once(self) -> list[Address]:
        """The addresses that several actors changed at once, those with the most such ops first; all of them."""
        found = (address for address in self._known.values() if address.at_once)
        return sorted(found, key=lambda address: -address.at_once)

    def __len__(self) -> int:
        return len(self._known)

    def _seen(self, entry: OpEntry, arrival: int) -> int:
        if entry["op_id"] in self._awaited:
            return _UNKNOWN
        seen = 0
        for parent in entry["parent_op_ids"]:
            at, seen_there = self._window.get(parent, (0, 0))
            if at == 0:
                self._awaited[parent] = None
                if len(self._awaited) > WINDOW:
                    self._awaited.popitem(last=False)
            if seen_there == _UNKNOWN or (at == 0 and arrival <= WINDOW):
                seen = _UNKNOWN
            elif at and seen != _UNKNOWN:
                seen |= (seen_there | 1) << (arrival - at)
        return seen if seen == _UNKNOWN else seen & ((2 << WINDOW) - 1)

    def _at(self, text: str) -> Address:
        # A long text is not kept: it may be of any length.
        key: str | int = text if len(text) <= limits.TEXT_LETTERS else hash(text)
        if key not in self._known and len(self._known) == 2 * limits.MAX_ADDRESSES:
            kept = nlargest(limits.MAX_ADDRESSES, self._known.items(), key=lambda item: (item[1].at_once, item[1].ops))
            self._known, self.forgot = dict(kept), True
        return self._known.setdefault(key, Address(brief(text)))

    def _note(self, here: Address, entry: OpEntry, arrival: int, seen: int) -> None:
        actor = self._number(entry["actor_id"])
        here.ops += 1
        here.actors |= 1 << actor
        # Of a text of any length, no more is kept than is shown.
        created_at = entry["created_at"][: limits.NAME_LETTERS + 1]
        here.last = max(here.last, (entry["lamport_ts"], self.actor_names[actor], entry["op_id"], created_at))
        if seen == _UNKNOWN:
            return
        unseen = [
            other
            for other, at in here.recent.items()
            if other != actor and arrival - at <= WINDOW and not seen >> (arrival - at) & 1
        ]
        if unseen:
            here.at_once += 1
            here.at_once_actors |= sum(1 << other for other in unseen) | 1 << actor
        here.recent.pop(actor, None)
        here.recent[actor] = arrival
        if len(here.recent) > limits.MAX_ADDRESS_ACTORS:
            del here.recent[next(iter(here.recent))]

    def _number(self, actor_id: str) -> int:
        number = self._numbers.setdefault(actor_id, len(self._numbers))
        if number == len(self.actor_names):
            self.actor_names.append(actor_id)
        return number
