"""Three agents edit one session at the same time and react to each other's operations.

    python examples/three_agents.py [FOLDER]

A planner writes headings, a writer drafts a section for each, and a critic asks for an improvement and then accepts.
They share only the log: each has its own handle and follows the session, so they could also be three processes. Copy
these three ideas:

- An agent builds its state only from the log, in arrival order, also for its own operations.
- What an agent does next depends on its state and not on the last message. So an agent that was stopped continues
  where it was. Run this twice in one folder: the second time nothing is left to do.
- An operation names as its parents the operations that it answers.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from muse.core.op_log import OpEntry, OpLog
from muse.domain import DomainOp, InsertOp, MutateOp, ReplaceOp

DOMAIN = "plan"
SESSION = "article"
HEADINGS = ("Why a log", "How it is written", "How it is read")
PATIENCE_S = 30.0


@dataclass
class Plan:
    """The state: the text at each address, and the op_id of the operation that wrote it last."""

    texts: dict[str, str] = field(default_factory=dict)
    op_ids: dict[str, str] = field(default_factory=dict)

    def apply(self, entry: OpEntry) -> None:
        """Apply one operation; call it in arrival order."""
        op = entry["domain_op"]
        if op["op"] == "insert":
            self._put(op["address"], op["content_summary"], entry)
        elif op["op"] == "replace":
            self._put(op["address"], op["new_summary"], entry)
        elif op["op"] == "mutate":
            for name, change in op["fields"].items():
                self._put(f"{op['address']}/{name}", change["new"], entry)

    def _put(self, address: str, text: str, entry: OpEntry) -> None:
        self.texts[address] = text
        self.op_ids[address] = entry["op_id"]

    def has(self, address: str) -> bool:
        """Whether there is a text at an address."""
        return address in self.texts

    @property
    def sections(self) -> list[str]:
        """The addresses of the headings."""
        return sorted(address for address in self.texts if "/" not in address and address != "done")


def insertion(address: str, text: str) -> InsertOp:
    """An operation that adds a text at a new address."""
    return InsertOp(op="insert", address=address, position=None, content_id=text, content_summary=text)


Todo = tuple[DomainOp, Iterable[str]]
"""An operation to record, and the addresses that it answers."""


class Agent(ABC):
    """What the three agents have in common: follow the session, apply entries, act."""

    def __init__(self, repo: Path) -> None:
        self.name = type(self).__name__.lower()
        self.plan = Plan()
        self._repo = repo
        self._begun: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Work until the plan is complete."""
        with OpLog(self._repo, SESSION) as log:
            # First apply all existing entries, so that nothing is done twice; then follow new ones.
            cut = log.cut()
            for entry in log.replay_since_checkpoint(upto=cut):
                self.plan.apply(entry)
            self._act(log)
            if self.plan.has("done"):
                return
            async with log.follow_async(since=cut, timeout=PATIENCE_S) as arriving:
                async for entry in arriving:
                    self.plan.apply(entry)
                    self._act(log)
                    if self.plan.has("done"):
                        return
        raise TimeoutError(f"{self.name}: nothing has happened for {PATIENCE_S} seconds")

    def _act(self, log: OpLog) -> None:
        for op, answered in list(self.todo()):
            # An operation becomes part of the state only when it comes back from the log.
            if (op["op"], op["address"]) in self._begun:
                continue
            self._begun.add((op["op"], op["address"]))
            # An append takes microseconds; with durability="fsync", call it in a thread.
            log.record(self.name, DOMAIN, op, parent_op_ids=[self.plan.op_ids[address] for address in answered])

    @abstractmethod
    def todo(self) -> Iterator[Todo]:
        """What this agent has to do in the current state of the plan."""


class Planner(Agent):
    """Writes the headings, and ends the work when every section is accepted."""

    def todo(self) -> Iterator[Todo]:
        """The missing headings, and the end."""
        for number, heading in enumerate(HEADINGS, start=1):
            if not self.plan.has(str(number)):
                yield insertion(str(number), heading), []
        accepted = [f"{section}/status" for section in self.plan.sections if self.plan.has(f"{section}/status")]
        if len(accepted) == len(HEADINGS) and not self.plan.has("done"):
            yield insertion("done", "every section is accepted"), accepted


class Writer(Agent):
    """Drafts each section, and revises it when the critic has made a remark."""

    def todo(self) -> Iterator[Todo]:
        """The missing drafts, and revisions of drafts that have a remark."""
        for section in self.plan.sections:
            draft, remark = f"{section}/draft", f"{section}/remark"
            if not self.plan.has(draft):
                yield insertion(draft, f"Something on: {self.plan.texts[section]}"), [section]
            elif self.plan.has(remark) and not is_revised(self.plan.texts[draft]):
                yield revision(draft, self.plan.texts[draft], self.plan.texts[remark]), [draft, remark]


class Critic(Agent):
    """Makes a remark on every first draft, and accepts the second."""

    def todo(self) -> Iterator[Todo]:
        """The missing remarks and acceptances."""
        for section in self.plan.sections:
            draft, remark, status = f"{section}/draft", f"{section}/remark", f"{section}/status"
            if not self.plan.has(draft):
                continue
            if not self.plan.has(remark):
                yield insertion(remark, "say it with an example"), [draft]
            elif is_revised(self.plan.texts[draft]) and not self.plan.has(status):
                yield acceptance(section, self.plan.texts[section]), [draft]


def is_revised(draft: str) -> bool:
    """Whether a draft has been revised."""
    return " (revised: " in draft


def revision(address: str, old: str, remark: str) -> ReplaceOp:
    """An operation that replaces a draft by a better one."""
    new = f"{old} (revised: {remark})"
    return ReplaceOp(
        op="replace",
        address=address,
        position=None,
        old_content_id=old,
        new_content_id=new,
        old_summary=old,
        new_summary=new,
    )


def acceptance(address: str, heading: str) -> MutateOp:
    """An operation that marks a section as accepted."""
    return MutateOp(
        op="mutate",
        address=address,
        entity_id=address,
        old_content_id=heading,
        new_content_id=heading,
        fields={"status": {"old": "open", "new": "accepted"}},
        old_summary="open",
        new_summary="accepted",
        position=None,
    )


def replayed(entries: Iterable[OpEntry]) -> Plan:
    """The state that the entries of a log produce."""
    plan = Plan()
    for entry in entries:
        plan.apply(entry)
    return plan


def report(log: OpLog, agents: Iterable[Agent]) -> None:
    """Print the session and the resulting plan."""
    entries = log.read_all()
    print("Who did what, in the order in which it arrived, and what it answers:")
    numbers = {entry["op_id"]: number for number, entry in enumerate(entries, start=1)}
    for entry in entries:
        op = entry["domain_op"]
        answered = ", ".join(str(numbers[parent]) for parent in entry["parent_op_ids"]) or "nothing"
        print(f"{numbers[entry['op_id']]:4}  {entry['actor_id']:8} {op['op']:8} {op['address']:9} answers {answered}")
    plan = replayed(entries)
    print("\nThe plan:")
    for section in plan.sections:
        print(
            f"  {section} {plan.texts[section]} [{plan.texts[f'{section}/status']}]: {plan.texts[f'{section}/draft']}"
        )
    answered_ops = {parent for entry in entries for parent in entry["parent_op_ids"]}
    heads = [numbers[op_id] for op_id in numbers if op_id not in answered_ops]
    print(f"\nCausal heads, the ops that nothing answers: {heads}")
    for agent in agents:
        print(f"{agent.name}: {log.count(actor_id=agent.name)} ops, has what the log replays: {agent.plan == plan}")


async def work(agents: Iterable[Agent]) -> None:
    """Run all agents at the same time, until the plan is complete."""
    async with asyncio.TaskGroup() as group:
        for agent in agents:
            group.create_task(agent.run())


def main(folder: str | None = None) -> None:
    """Run the example in `folder`, or in a temporary one."""
    with TemporaryDirectory() as temporary:
        repo = Path(folder or temporary)
        agents = [Planner(repo), Writer(repo), Critic(repo)]
        asyncio.run(work(agents))
        with OpLog(repo, SESSION) as log:
            report(log, agents)


if __name__ == "__main__":
    main(*sys.argv[1:2])
