"""Three agents edit one session at once, each reacting to what the others do.

    python examples/three_agents.py [FOLDER]

A planner puts up headings, a writer drafts each of them, a critic asks for more and then accepts. They
share nothing but the log: each has a handle of its own and follows the session, so they could as well
be three processes. What to copy:

- an agent's state is what the log says, in arrival order, its own operations not excepted;
- what to do follows from the state and not from the last message, so that an agent which was stopped
  goes on where it was: run this twice in one folder, and the second time nothing is left to do;
- an operation names as its parents those it answers.
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
    """The state: the text at each address, and the operation that put it there last."""

    texts: dict[str, str] = field(default_factory=dict)
    op_ids: dict[str, str] = field(default_factory=dict)

    def apply(self, entry: OpEntry) -> None:
        """Take in one operation, in arrival order."""
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
        """Whether there is anything at an address."""
        return address in self.texts

    @property
    def sections(self) -> list[str]:
        """The addresses of the headings."""
        return sorted(address for address in self.texts if "/" not in address and address != "done")


def insertion(address: str, text: str) -> InsertOp:
    """An operation that puts a text where there was none."""
    return InsertOp(op="insert", address=address, position=None, content_id=text, content_summary=text)


Todo = tuple[DomainOp, Iterable[str]]
"""An operation to record, and the addresses of what it answers."""


class Agent(ABC):
    """What the three have in common: follow, take in, do what is to be done."""

    def __init__(self, repo: Path) -> None:
        self.name = type(self).__name__.lower()
        self.plan = Plan()
        self._repo = repo
        self._begun: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Work until the plan is complete."""
        with OpLog(self._repo, SESSION) as log:
            # First all that is there, so that nothing is done a second time; then what arrives.
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
            # What was recorded is part of the state only when it comes back from the log.
            if (op["op"], op["address"]) in self._begun:
                continue
            self._begun.add((op["op"], op["address"]))
            # An append takes microseconds; with durability="fsync" it would belong into a thread.
            log.record(self.name, DOMAIN, op, parent_op_ids=[self.plan.op_ids[address] for address in answered])

    @abstractmethod
    def todo(self) -> Iterator[Todo]:
        """What this agent has to do, as the plan stands."""


class Planner(Agent):
    """Puts up the headings, and ends it all when every section is accepted."""

    def todo(self) -> Iterator[Todo]:
        """The headings that are missing, and the end."""
        for number, heading in enumerate(HEADINGS, start=1):
            if not self.plan.has(str(number)):
                yield insertion(str(number), heading), []
        accepted = [f"{section}/status" for section in self.plan.sections if self.plan.has(f"{section}/status")]
        if len(accepted) == len(HEADINGS) and not self.plan.has("done"):
            yield insertion("done", "every section is accepted"), accepted


class Writer(Agent):
    """Drafts each section, and once more when the critic has a remark."""

    def todo(self) -> Iterator[Todo]:
        """The drafts that are missing, and those that a remark was made on."""
        for section in self.plan.sections:
            draft, remark = f"{section}/draft", f"{section}/remark"
            if not self.plan.has(draft):
                yield insertion(draft, f"Something on: {self.plan.texts[section]}"), [section]
            elif self.plan.has(remark) and not is_revised(self.plan.texts[draft]):
                yield revision(draft, self.plan.texts[draft], self.plan.texts[remark]), [draft, remark]


class Critic(Agent):
    """Has a remark on every first draft, and accepts the second."""

    def todo(self) -> Iterator[Todo]:
        """The remarks and verdicts that are missing."""
        for section in self.plan.sections:
            draft, remark, status = f"{section}/draft", f"{section}/remark", f"{section}/status"
            if not self.plan.has(draft):
                continue
            if not self.plan.has(remark):
                yield insertion(remark, "say it with an example"), [draft]
            elif is_revised(self.plan.texts[draft]) and not self.plan.has(status):
                yield acceptance(section, self.plan.texts[section]), [draft]


def is_revised(draft: str) -> bool:
    """Whether a draft is no longer the first."""
    return " (revised: " in draft


def revision(address: str, old: str, remark: str) -> ReplaceOp:
    """An operation that puts a better draft in place of one."""
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
    """The state that a log stands for."""
    plan = Plan()
    for entry in entries:
        plan.apply(entry)
    return plan


def report(log: OpLog, agents: Iterable[Agent]) -> None:
    """Print what came of it."""
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
    """Let all agents work at once, until the plan is complete."""
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
