"""Any course of events, by Hypothesis, against a model that is a list."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from muse.core.op_log import CheckpointBackwardsError, Cut, OpIdConflictError, OpLog
from tests import making, plain_scan
from tests.plain_scan import Entry, exact, exact_list
from tests.samples import examples

ACTORS = st.sampled_from(["ada", "bob", "é"])
DOMAINS = st.sampled_from(["music", "code"])
KINDS = st.sampled_from(["insert", "delete", "move"])
STAMPS = st.integers(0, 30)


class SessionMachine(RuleBasedStateMachine):
    """One session with two handles; the model is the list of its entries and the count that is checkpointed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="muse-machine-")
        self.repo = Path(self.folder.name)
        self.model: list[Entry] = []
        self.lost: dict[str, tuple[Entry, bytes]] = {}
        self.damaged = 0
        self.tail = b""
        self.covered = 0
        self.cuts: list[tuple[Cut, int]] = []
        self.given_out = 0
        self.made = 0
        self.others = 0

    @initialize(durability=st.sampled_from(["os", "fsync"]))
    def open(self, durability: Any) -> None:
        """Open two handles on the session."""
        self.logs = [OpLog(self.repo, "s", durability=durability), OpLog(self.repo, "s")]

    def teardown(self) -> None:
        """Close the handles and remove the folder."""
        for log in getattr(self, "logs", []):
            log.close()
        self.folder.cleanup()

    def fresh(self, actor: str, domain: str, kind: str, stamp: int) -> Entry:
        """An entry nobody has seen."""
        self.made += 1
        return dict(
            making.entry(
                self.made,
                actor_id=actor,
                domain=domain,
                lamport_ts=stamp,
                domain_op={"op": kind, "n": self.made},
                intent_id=("", "i")[self.made % 2],
            )
        )

    def sealed(self) -> None:
        """An append found a torn tail, ended its line, and so made it damage."""
        if self.tail:
            self.damaged += 1
            self.tail = b""

    @property
    def path(self) -> Path:
        """The log's path, by the contract."""
        return making.log_path(self.repo)

    @rule(handle=st.integers(0, 1), actor=ACTORS, domain=DOMAINS, kind=KINDS, stamp=STAMPS)
    def append(self, handle: int, actor: str, domain: str, kind: str, stamp: int) -> None:
        """A new entry is added."""
        made = self.fresh(actor, domain, kind, stamp)
        assert self.logs[handle].append(made) is True  # type: ignore[arg-type]
        self.model.append(made)
        self.sealed()

    @rule(handle=st.integers(0, 1), actor=ACTORS)
    def record(self, handle: int, actor: str) -> None:
        """A recorded entry gets a timestamp above all there are."""
        made = self.logs[handle].record(actor, "music", {"op": "insert"})
        assert made["lamport_ts"] > plain_scan.highest_lamport_ts(self.model)
        self.model.append(dict(made))
        self.sealed()

    @rule(handle=st.integers(0, 1), size=st.integers(0, 6), stamp=STAMPS, repeat=st.integers(0, 3))
    def append_batch(self, handle: int, size: int, stamp: int, repeat: int) -> None:
        """A batch adds what is new in it."""
        new = [self.fresh("bob", "code", "insert", stamp) for _ in range(size)]
        batch: list[Any] = [*self.model[:repeat], *new, *new[:1]]
        assert self.logs[handle].append_many(batch) == size
        if new:
            self.model.extend(new)
            self.sealed()

    @precondition(lambda self: self.model)
    @rule(handle=st.integers(0, 1), pick=st.integers(0, 99))
    def append_again(self, handle: int, pick: int) -> None:
        """An entry that is there adds nothing."""
        assert self.logs[handle].append(self.model[pick % len(self.model)]) is False  # type: ignore[arg-type]

    @precondition(lambda self: self.model)
    @rule(handle=st.integers(0, 1), pick=st.integers(0, 99))
    def append_conflict(self, handle: int, pick: int) -> None:
        """Other content under a known op_id is refused, alone and in a batch."""
        changed: Any = {**self.model[pick % len(self.model)], "actor_id": "mallory"}
        new: Any = self.fresh("ada", "music", "insert", 1)
        with pytest.raises(OpIdConflictError):
            self.logs[handle].append(changed)
        with pytest.raises(OpIdConflictError):
            self.logs[handle].append_many([new, changed])

    @rule(size=st.integers(1, 150))
    def tear(self, size: int) -> None:
        """A writer died in the middle of a line."""
        torn = making.line(self.fresh("torn", "music", "insert", 1))[:size]
        making.add_bytes(self.path, torn)
        self.tail += torn

    @rule(domain=DOMAINS, stamp=STAMPS)
    def write_foreign(self, domain: str, stamp: int) -> None:
        """A foreign program wrote a valid line; behind a torn tail it is glued to it and lost with it."""
        made = self.fresh("foreign", domain, "insert", stamp)
        making.add_bytes(self.path, making.line(made))
        if self.tail:
            self.sealed()
        else:
            self.model.append(made)

    @precondition(lambda self: self.model and not self.tail)
    @rule(pick=st.integers(0, 99), changed=st.booleans())
    def write_foreign_again(self, pick: int, changed: bool) -> None:
        """A foreign program repeated a line, the same or with other content: the first stays."""
        again = dict(self.model[pick % len(self.model)])
        if changed:
            again.update(actor_id="mallory", lamport_ts=5_000)
        making.add_bytes(self.path, making.line(again))

    @rule(junk=st.sampled_from([b"null\n", b"\x00\x00\x00\n", b"\xff\xfe\n", b"{}\n", b'{"op_id": 1}\n']))
    def write_junk(self, junk: bytes) -> None:
        """A line of damage."""
        making.add_bytes(self.path, junk)
        self.damaged += 1
        self.tail = b""

    @rule()
    def write_blank_lines(self) -> None:
        """Blank lines; behind a torn tail the first newline ends it."""
        making.add_bytes(self.path, b"\n \r\n")
        self.sealed()

    @rule(handle=st.integers(0, 1))
    def reopen(self, handle: int) -> None:
        """Close a handle and open it again."""
        self.logs[handle].close()
        self.logs[handle] = OpLog(self.repo, "s")
        self.given_out = 0

    @rule()
    def delete_index(self) -> None:
        """The index disappears under both handles, and with it what only it knew to be lost."""
        making.drop_index(self.repo)
        self.lost.clear()

    @precondition(lambda self: not self.lost)
    @rule(seed=st.integers(0, 9))
    def scribble_over_index(self, seed: int) -> None:
        """The index is overwritten while no handle is open."""
        for log in self.logs:
            log.close()
        path = self.path.with_name("index.db")
        if path.exists():
            data = path.read_bytes()
            at = len(data) * seed // 10
            path.write_bytes(data[:at] + random.Random(seed).randbytes(300) + data[at + 300 :])
        self.logs = [OpLog(self.repo, "s"), OpLog(self.repo, "s")]

    @rule(handle=st.integers(0, 1))
    def rebuild(self, handle: int) -> None:
        """Make the index anew."""
        self.logs[handle].rebuild_index()

    @rule(handle=st.integers(0, 1))
    def take_cut(self, handle: int) -> None:
        """Remember this moment."""
        cut = self.logs[handle].cut()
        assert cut.op_count == len(self.model)
        self.cuts.append((cut, len(self.model)))

    @precondition(lambda self: self.model)
    @rule(handle=st.integers(0, 1))
    def checkpoint_now(self, handle: int) -> None:
        """Everything that is there is covered."""
        record = self.logs[handle].checkpoint("now")
        assert record["op_count"] == len(self.model)
        assert record["lamport_ts"] == plain_scan.highest_lamport_ts(self.model)
        self.covered = len(self.model)

    @precondition(lambda self: any(count for _, count in self.cuts))
    @rule(handle=st.integers(0, 1), pick=st.integers(0, 99))
    def checkpoint_at_a_cut(self, handle: int, pick: int) -> None:
        """An older moment is covered, unless that would be a step back."""
        cut, count = [each for each in self.cuts if each[1]][pick % sum(1 for each in self.cuts if each[1])]
        if count < self.covered:
            with pytest.raises(CheckpointBackwardsError):
                self.logs[handle].checkpoint("back", upto=cut)
            return
        try:
            record = self.logs[handle].checkpoint("at a cut", upto=cut)
        except CheckpointBackwardsError:
            # As many entries, but fewer bytes: blank or damaged lines may lie between the two cuts.
            assert count == self.covered
            return
        assert record["op_count"] == count
        assert record["lamport_ts"] == plain_scan.highest_lamport_ts(self.model[:count])
        self.covered = count

    @rule(handle=st.integers(0, 1), shared=st.integers(0, 5), new=st.integers(0, 4), stamp=STAMPS)
    def merge(self, handle: int, shared: int, new: int, stamp: int) -> None:
        """Another replica that has some of ours and some of its own is merged into this one."""
        theirs = [self.fresh("other", "code", "delete", stamp) for _ in range(new)]
        self.others += 1
        name = f"other-{self.others}"
        lines = [*theirs[:1], *self.model[-shared:], *theirs[1:]] if shared else theirs
        if lines:
            making.add_bytes(making.log_path(self.repo, name), b"".join(map(making.line, lines)))
        with OpLog(self.repo, name) as other:
            assert self.logs[handle].merge(other) == new
            assert self.logs[handle].merge(other) == 0
        if new:
            self.model.extend(theirs)
            self.sealed()

    def change_log(self, start: int, change: Callable[[bytes], bytes | None]) -> None:
        """Change the log from byte `start` on while no handle is open; the index knows all of it, and a scan the rest.

        None: nothing can be changed. What lies below the checkpoint stays, so that this goes on.
        """
        for log in self.logs:
            log.close()
        with OpLog(self.repo, "s") as log:
            len(log)
        before = self.path.read_bytes()
        changed = change(before)
        if changed is not None:
            self.path.write_bytes(changed)
            now = plain_scan.scan(changed)
            for entry, span in plain_scan.scan(before).placed:
                if entry["op_id"] not in now.op_ids:
                    self.lost[entry["op_id"]] = entry, before[span.byte_offset :][: span.length + 1]
            self.model, self.damaged, self.tail = now.entries, len(now.damaged), now.tail
            self.cuts = [each for each in self.cuts if each[0].byte_offset <= start]
        self.logs = [OpLog(self.repo, "s"), OpLog(self.repo, "s")]

    @property
    def covered_bytes(self) -> int:
        """Up to where the checkpoint covers the log."""
        record = self.path.with_name("checkpoint.json")
        return int(json.loads(record.read_bytes())["byte_offset"]) if record.exists() else 0

    @precondition(lambda self: self.model)
    @rule(share=st.floats(0, 1), is_line_end=st.booleans())
    def put_an_older_copy_back(self, share: float, is_line_end: bool) -> None:
        """The log is what it was at some moment since the checkpoint, perhaps in the middle of a line."""
        start = self.covered_bytes
        at = start + int(share * (self.path.stat().st_size - start))
        if is_line_end:
            at = max(start, self.path.read_bytes().rfind(b"\n", 0, at) + 1)
        self.change_log(at, lambda data: data[:at])

    @precondition(lambda self: len(self.model) > self.covered)
    @rule(pick=st.integers(0, 99), is_joined=st.booleans())
    def damage_a_line(self, pick: int, is_joined: bool) -> None:
        """A line since the checkpoint becomes NULs, or is joined to the next; repeated ones stay, since they count."""
        placed = plain_scan.scan_file(self.path).placed[self.covered :]
        _, span = placed[pick % len(placed)]
        at, end = span.byte_offset, span.byte_offset + span.length
        last = end + 1 if is_joined else at

        def change(data: bytes) -> bytes | None:
            harmed = (each["op_id"].encode() for each, other in placed if at <= other.byte_offset <= last)
            if any(data.count(op_id) > 1 for op_id in harmed):
                return None
            # By no blank: the last line would be whole again with the next newline.
            return data[:end] + b"+" + data[end + 1 :] if is_joined else data[:at] + bytes(span.length) + data[end:]

        self.change_log(at, change)

    @precondition(lambda self: self.lost)
    @rule(handle=st.integers(0, 1), count=st.integers(1, 9))
    def bring_back(self, handle: int, count: int) -> None:
        """A replica that still has what was lost is merged, or is the source of a repair."""
        chosen = [self.lost.pop(op_id) for op_id in list(self.lost)[:count]]
        self.others += 1
        making.add_bytes(making.log_path(self.repo, f"other-{self.others}"), b"".join(line for _, line in chosen))
        with OpLog(self.repo, f"other-{self.others}") as other:
            assert self.logs[handle].merge(other) == len(chosen)
        self.model.extend(entry for entry, _ in chosen)
        self.sealed()

    @rule(handle=st.integers(0, 1))
    def ask_for_a_timestamp(self, handle: int) -> None:
        """The next timestamp is above all that are there."""
        assert self.logs[handle].next_lamport_ts() > plain_scan.highest_lamport_ts(self.model)

    @invariant()
    def the_file_says_what_the_model_says(self) -> None:
        """The oracle agrees with the model: else the test itself is wrong, or acknowledged bytes were lost."""
        scanned = plain_scan.scan_file(self.path)
        assert exact_list(scanned.entries) == exact_list(self.model)
        assert len(scanned.damaged) == self.damaged
        assert scanned.tail == self.tail

    @invariant()
    def both_handles_answer_as_the_model(self) -> None:
        """Every answer of either handle is the list's."""
        for log in getattr(self, "logs", []):
            assert exact_list(log.read_all()) == exact_list(self.model)
            assert exact_list(log.query(reverse=True)) == exact_list(self.model[::-1])
            assert len(log) == len(self.model)
            assert log.actors() == plain_scan.tally(self.model, "actor_id")
            assert log.domains() == plain_scan.tally(self.model, "domain")
            rest = self.model[self.covered :]
            assert exact_list(log.replay_since_checkpoint()) == exact_list(rest)
            last = log.query(since_checkpoint=True, domain="code", reverse=True, limit=3)
            assert exact_list(last) == exact_list(plain_scan.select(rest, domain="code")[::-1][:3])
            for domain in ("music", "code"):
                assert exact(log.to_structured_delta(domain)) == exact(plain_scan.delta(rest, domain))
                assert exact_list(log.query(domain=domain)) == exact_list(plain_scan.select(self.model, domain=domain))
            assert log.count(actor_id="bob", intent_id="i") == len(
                plain_scan.select(self.model, actor_id="bob", intent_id="i")
            )
            if self.model:
                assert log.get(self.model[-1]["op_id"]) == self.model[-1]

    @invariant()
    def verify_finds_the_damage_and_no_more(self) -> None:
        """Each damaged line and each lost operation is told, and no other; the checkpoint is sound."""
        if not getattr(self, "logs", []) or (not self.lost and random.Random(self.made).random() < 0.7):
            return
        report = self.logs[0].verify(max_findings=None)
        making.assert_damage_told(report, plain_scan.scan_file(self.path))
        told = {(each.op_id, each.actor_id, each.lamport_ts) for each in making.lost(report)}
        assert told == {(entry["op_id"], entry["actor_id"], entry["lamport_ts"]) for entry, _ in self.lost.values()}
        assert report.counts.get("operation-lost", 0) == len(self.lost)
        assert not [each for each in report.findings if "checkpoint" in each.kind or each.kind == "line-changed"]
        assert report.entries == len(self.model)


TestSession = pytest.mark.slow(SessionMachine.TestCase)
TestSession.settings = settings(examples(40), stateful_step_count=25)
