"""A domain plugin: an outline that several people edit and commit in separate replicas, and then merge.

    python examples/outline_domain.py [FOLDER]

The op log gives operations no meaning; the domain does. Copy these three parts:

- `Editor` turns an edit into an operation and appends it.
- `Outline.apply` turns a `StructuredDelta` into a state.
- `commit` takes a cut, collapses a delta, saves a snapshot and makes a checkpoint.

A delta is in total order, so a state made from one whole delta is the same on every replica. But a replica that
committed before it merged applies the other replica's operations after its own, even if their timestamps are lower.
Therefore the result must not depend on the order of the operations, or on how often one is applied. Here every version
of a line has a unique name. An operation adds a version or removes one, and a removed version never comes back. So
a state is the union of its deltas in any order.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from muse.core.op_log import OpEntry, OpLog, OpLogCheckpoint, make_op_entry
from muse.domain import DeleteOp, DomainOp, InsertOp, ReplaceOp, StructuredDelta

DOMAIN = "outline"
SESSION = "talk"


@dataclass
class Outline:
    """The state of the domain: the versions of its lines that have not been replaced or deleted.

    Two versions at one address come from two people who had not seen each other's edit. Both are kept: the state must
    not depend on which came first, and no edit may be lost.
    """

    lines: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Address and text of each current version, by content_id."""
    gone: set[str] = field(default_factory=set)
    """The content_ids that were replaced or deleted. A version may be removed before it is added."""

    def apply(self, delta: StructuredDelta) -> None:
        """Apply the operations of a delta. Repeating them, or changing their order, makes no difference."""
        for op in delta["ops"]:
            self._apply(op)

    def _apply(self, op: DomainOp) -> None:
        if op["op"] == "insert":
            self._add(op["address"], op["content_id"], op["content_summary"])
        elif op["op"] == "replace":
            self._take_away(op["old_content_id"])
            self._add(op["address"], op["new_content_id"], op["new_summary"])
        elif op["op"] == "delete":
            self._take_away(op["content_id"])
        else:
            raise ValueError(f"an outline has no operation {op['op']!r}")

    def _add(self, address: str, content_id: str, text: str) -> None:
        if content_id not in self.gone:
            self.lines[content_id] = (address, text)

    def _take_away(self, content_id: str) -> None:
        self.gone.add(content_id)
        self.lines.pop(content_id, None)

    def versions(self, address: str) -> list[str]:
        """The content_ids of the current versions at an address: none, one, or several conflicting ones."""
        return sorted(content_id for content_id, line in self.lines.items() if line[0] == address)

    def __str__(self) -> str:
        return "\n".join(f"{address:<4} {text}" for address, text in sorted(self.lines.values()))

    def to_json(self) -> bytes:
        """The state as bytes: equal states give equal bytes."""
        return json.dumps({"lines": self.lines, "gone": sorted(self.gone)}, sort_keys=True, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Outline:
        """The state that `to_json` wrote."""
        held = json.loads(data)
        return cls({content_id: (line[0], line[1]) for content_id, line in held["lines"].items()}, set(held["gone"]))


class Snapshots:
    """A stand-in for the commit DAG: a folder with one file for each state, named by the hash of its content.

    A real commit DAG must make a snapshot durable before `save` returns, because the checkpoint that names it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, outline: Outline) -> str:
        """Save a state and return its id. The same state has the same id on every replica."""
        data = outline.to_json()
        snapshot_id = hashlib.sha256(data).hexdigest()[:12]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{snapshot_id}.json").write_bytes(data)
        return snapshot_id

    def load(self, snapshot_id: str) -> Outline:
        """The state with this id."""
        return Outline.from_json((self.folder / f"{snapshot_id}.json").read_bytes())


def at_checkpoint(mark: OpLogCheckpoint | None, snapshots: Snapshots) -> Outline:
    """The state at a checkpoint, or an empty state if there is no checkpoint yet."""
    return Outline() if mark is None else snapshots.load(mark["snapshot_id"])


def current(log: OpLog, snapshots: Snapshots) -> Outline:
    """The current state: the committed operations and the pending ones."""
    while True:
        mark = log.read_checkpoint()
        outline = at_checkpoint(mark, snapshots)
        outline.apply(log.to_structured_delta(DOMAIN))
        # If another process committed in between, start over: its operations are in neither of the two.
        if log.read_checkpoint() == mark:
            return outline


def commit(log: OpLog, snapshots: Snapshots) -> str | None:
    """Commit the pending operations; return the snapshot's id, or None if nothing was pending.

    Edits may arrive at any moment meanwhile. An edit that arrives after the cut is in neither the snapshot nor the
    checkpoint, so the next commit contains it. If this process dies before the last line, the next commit collapses
    the same operations again, which changes nothing.
    """
    cut = log.cut()
    # A checkpoint covers all domains. With more than one, collapse each of them at this cut.
    delta = log.to_structured_delta(DOMAIN, upto=cut)
    if not delta["ops"]:
        return None
    outline = at_checkpoint(log.read_checkpoint(), snapshots)
    outline.apply(delta)
    snapshot_id = snapshots.save(outline)
    log.checkpoint(snapshot_id, upto=cut)
    return snapshot_id


class Editor:
    """Edits the outline for one actor: each edit becomes an operation in the log.

    The name of a version is the op_id of the operation that wrote it. So the name is unique, and the version that an
    edit replaces is also the parent of the edit.
    """

    def __init__(self, log: OpLog, snapshots: Snapshots, actor_id: str) -> None:
        self._log = log
        self._snapshots = snapshots
        self._actor_id = actor_id

    def write(self, address: str, text: str) -> None:
        """Put a text at an address, in place of all versions there."""
        outline = current(self._log, self._snapshots)
        old = outline.versions(address)
        if old:
            new = self._replacement(address, old[0], outline.lines[old[0]][1], text)
        else:
            new = self._insertion(address, text)
        # One write for all of them, so that no reader sees only a part of the edit.
        self._log.append_many([new, *(self._deletion(address, each, outline) for each in old[1:])])

    def delete(self, address: str) -> None:
        """Delete all versions at an address."""
        outline = current(self._log, self._snapshots)
        self._log.append_many([self._deletion(address, each, outline) for each in outline.versions(address)])

    def _insertion(self, address: str, text: str) -> OpEntry:
        op = InsertOp(op="insert", address=address, position=None, content_id="", content_summary=text)
        entry = self._entry(op)
        entry["domain_op"]["content_id"] = entry["op_id"]
        return entry

    def _replacement(self, address: str, old: str, old_text: str, text: str) -> OpEntry:
        op = ReplaceOp(
            op="replace",
            address=address,
            position=None,
            old_content_id=old,
            new_content_id="",
            old_summary=old_text,
            new_summary=text,
        )
        entry = self._entry(op, old)
        entry["domain_op"]["new_content_id"] = entry["op_id"]
        return entry

    def _deletion(self, address: str, old: str, outline: Outline) -> OpEntry:
        text = outline.lines[old][1]
        op = DeleteOp(op="delete", address=address, position=None, content_id=old, content_summary=text)
        return self._entry(op, old)

    def _entry(self, op: DomainOp, *parents: str) -> OpEntry:
        return make_op_entry(self._actor_id, DOMAIN, op, self._log.next_lamport_ts(), parent_op_ids=parents)


@contextmanager
def replica(folder: Path) -> Iterator[tuple[OpLog, Snapshots]]:
    """One replica of the session: its log, and its commits beside it."""
    with OpLog(folder, SESSION) as log:
        yield log, Snapshots(folder / "snapshots")


def show(title: str, outline: Outline) -> None:
    """Print a state below a title."""
    print(f"\n{title}\n{outline}")


def edit_apart(root: Path) -> None:
    """Two people edit two replicas, commit separately, merge, and end with the same state."""
    with replica(root / "office") as (office, at_office), replica(root / "train") as (train, on_train):
        ada = Editor(office, at_office, "ada")
        ada.write("1", "Why a log")
        ada.write("2", "How it is written")
        ada.write("3", "Questions")
        commit(office, at_office)
        train.merge(office)  # creates the replica
        grace = Editor(train, on_train, "grace")

        ada.write("1", "Why a log beside the commits")
        grace.write("1", "Why not just commit")  # neither has seen the other's edit
        grace.write("2.1", "One write for each line")
        grace.delete("3")
        commit(office, at_office)
        commit(train, on_train)
        show("at the office, apart:", current(office, at_office))
        show("on the train, apart:", current(train, on_train))

        office.merge(train)
        train.merge(office)
        ids = commit(office, at_office), commit(train, on_train)
        show("on both, merged; line 1 has two versions that nobody has settled:", current(train, on_train))
        print("same snapshot on both:", ids[0] == ids[1])

        grace.write("1", "Why a log, and not just commits")
        office.merge(train)
        ids = commit(office, at_office), commit(train, on_train)
        show("on both, settled by grace:", current(office, at_office))
        print("same snapshot on both:", ids[0] == ids[1])


def commit_while_edits_arrive(root: Path) -> None:
    """One thread edits while this one commits again and again: no edit is lost or doubled."""

    def edit() -> None:
        with replica(root / "office") as (log, snapshots):
            bot = Editor(log, snapshots, "bot")
            for number in range(1, 101):
                bot.write(f"4.{number:03}", f"Example {number}")

    with replica(root / "office") as (log, snapshots):
        editing = threading.Thread(target=edit)
        editing.start()
        commits = 0
        while editing.is_alive() or log.count(since_checkpoint=True):
            commits += commit(log, snapshots) is not None
        editing.join()
        outline = at_checkpoint(log.read_checkpoint(), snapshots)

    examples = [text for _, text in outline.lines.values() if text.startswith("Example")]
    print(f"\n100 edits arrived during {commits} commits; the last snapshot has {len(examples)} of them")


def main(folder: str | None = None) -> None:
    """Run the example in `folder`, or in a temporary one."""
    with TemporaryDirectory() as temporary:
        root = Path(folder or temporary)
        edit_apart(root)
        commit_while_edits_arrive(root)


if __name__ == "__main__":
    main(*sys.argv[1:2])
