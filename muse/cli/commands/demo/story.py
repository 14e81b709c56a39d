"""What happens in the demo, act by act. What it claims is checked against a plain reading of the files."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from shlex import quote
from typing import Any

import orjson

from muse.cli.commands.demo.actors import Actors
from muse.cli.commands.demo.trace import Edit
from muse.cli.output.printing import pluralize, tally
from muse.commit import CommitError, GitTarget
from muse.commit.git import Git
from muse.core.op_log import Cut, OpLog
from muse.describing import description

REPLICA = "demo-replica"
"""The folder below the repository in which a replica goes on."""


@dataclass
class Scene:
    """Tells what it does with `tell`; `checks` has what it claims, and whether that holds."""

    edits: Sequence[Edit]
    repo: Path
    session_id: str
    seconds: float
    """How long the recording takes; 0 for as fast as possible."""
    tell: Callable[[str], None]
    checks: dict[str, bool] = field(default_factory=dict, init=False)

    def check(self, what: str, holds: bool) -> None:  # noqa: FBT001 - a claim, and whether it holds
        """Claim something."""
        self.checks[what] = holds
        self.tell(f"   {'ok' if holds else 'FAILED'}: {what}")

    def holds_each_edit(self, entries: Sequence[Any]) -> bool:
        """Whether these entries are the edits, each once and unchanged."""
        recorded = [{name: entry[name] for name in self.edits[0]} for entry in entries]
        return sorted(recorded, key=_op_id) == sorted(self.edits, key=_op_id)


@dataclass
class Story(Scene):
    """The demo on one host."""

    is_own: bool
    """Whether the folder is the demo's, so that it may make a git repository there."""
    started: float = field(default_factory=time.monotonic, init=False)

    def run(self) -> dict[str, Any]:
        """Do all of it; the results."""
        with OpLog(self.repo, self.session_id) as log, OpLog(self.repo / REPLICA, self.session_id) as replica:
            cut, commit_id = self._record(log, replica)
            pending = log.replay_since_checkpoint()
            self.tell(
                f"3. Pending for the next commit: {pluralize(len(pending), 'edit')}, which arrived after the cut."
            )
            self.check("pending is what arrived after the cut, and all of it", pending == plain(log)[cut.op_count :])
            came, went = log.merge(replica), replica.merge(log)
            self.tell(f"4. The replica is merged: {pluralize(came, 'edit')} came, {went:,} went.")
            ours, theirs = (sorted(plain(each), key=total_order) for each in (log, replica))
            self.check(f"both hold the same {pluralize(len(ours), 'edit')}, in the same order", ours == theirs)
            before = log.actors(), log.domains(), log.count(since_checkpoint=True)
        for path in log.folder.glob("index.db*"):
            path.unlink()
        self.tell("5. The index is deleted, and made anew from the log, which is the only truth.")
        with OpLog(self.repo, self.session_id) as log:
            log.rebuild_index()
            after = log.actors(), log.domains(), log.count(since_checkpoint=True)
            self.check("the new index gives the same answers", before == after)
            report = log.verify()
            self.check(f"verify reads {pluralize(report.entries, 'edit')}, and finds nothing", not report.findings)
            for finding in report.findings[:3]:
                self.tell(f"   {finding.kind}: {finding.reason}")
        said = "Every check held" if all(self.checks.values()) else "Something is wrong, please report it"
        self.tell(f"\n{said}, after {time.monotonic() - self.started:.1f} seconds. All of it is in {self.repo}")
        self._what_next((pending or ours)[0]["op_id"][:8], commit_id)
        return {
            "log_path": str(log.path),
            "replica_path": str(replica.path),
            "commit": commit_id,
            "committed": cut.op_count,
            "pending": len(pending),
            "merged": came,
        }

    def _record(self, log: OpLog, replica: OpLog) -> tuple[Cut, str | None]:
        """Let the actors record, and commit meanwhile: where the commit ends, and its id."""
        processes = pluralize(len({edit["actor_id"] for edit in self.edits}), "process", "processes")
        self.tell(f"1. {processes} record {pluralize(len(self.edits), 'edit')} into one log, each at its own pace.")
        free = len(self.edits) - len(self.edits) // 5
        with Actors(self.edits, free, self.repo, self.session_id, self.seconds) as actors:
            self._wait(actors, log, max(1, len(self.edits) // 2))
            committed = self._commit(log)
            self._review(log, replica)
            self._wait(actors, log, len(self.edits) + 1)
        entries = plain(log)
        holds = self.holds_each_edit(entries)
        self.check(f"the log holds each of the {pluralize(len(entries), 'edit')} once and unchanged", holds)
        return committed

    def _wait(self, actors: Actors, log: OpLog, edits: int) -> None:
        """Wait until the actors end or so many edits are in the log; say every second how many there are."""
        said = self.started
        while actors.are_working() and (arrived := log.path.read_bytes().count(b"\n") if log.exists() else 0) < edits:
            if time.monotonic() - said >= 1:
                said = time.monotonic()
                self.tell(f"   {said - self.started:.1f} s: {pluralize(arrived, 'edit')} in the log")
            time.sleep(0.05)

    def _commit(self, log: OpLog) -> tuple[Cut, str | None]:
        """Commit to git what has arrived; without git, make a checkpoint."""
        self.tell("2. While they go on, all that has arrived by now is committed, every domain at one cut.")
        try:
            if self.is_own:
                Git(self.repo).ask("-c", "init.defaultBranch=main", "init", "--quiet")
                Git(self.repo).ask("config", "commit.gpgSign", "false")  # asks nobody for a passphrase
            target = GitTarget(self.repo)
            made = log.commit(target)
            assert made is not None  # noqa: S101 - something has arrived
        except CommitError as error:
            cut = log.cut()
            log.checkpoint("snapshot-1", upto=cut)
            self.tell(f"   No commit, only a checkpoint: {getattr(error, 'strerror', None) or error}")
            return cut, None
        self.tell(f"   commit {made.commit_id[:12]} in git: {pluralize(made.ops, 'edit')}, {tally(made.domains)}")
        holds = b"".join(target.lines([made])) == log.path.read_bytes()[: made.cut.byte_offset]
        self.check(f"the commit holds the {pluralize(made.ops, 'line')} before its cut, byte for byte", holds)
        return made.cut, made.commit_id

    def _review(self, log: OpLog, replica: OpLog) -> None:
        """Copy the log, and let somebody work on the copy who is not connected."""
        copied = replica.merge(log)
        for number, entry in enumerate(replica.query(reverse=True, limit=12)):
            seen = " ".join(description(entry["domain_op"])[:2])
            op = {"op": "insert", "address": "review", "position": number, "content_id": seen, "content_summary": seen}
            replica.record("offline reviewer", entry["domain"], op, parent_op_ids=[entry["op_id"]])
        self.tell(f"   A replica, copied with {pluralize(copied, 'edit')}, goes on offline in another folder.")

    def _what_next(self, op_id: str, commit_id: str | None) -> None:
        beside_python = Path(sys.executable).with_name("muse")
        installed = quote(str(beside_python)) if beside_python.exists() else f"{quote(sys.executable)} -m muse"
        program = "muse" if shutil.which("muse") else installed
        if self.is_own:
            self.tell("The next demo replaces this folder.")
        self.tell("\nTry next:")
        commit = ("commit", "") if commit_id else ("checkpoint", " snapshot-2")
        page = f" -o {quote(str(self.repo / 'report.html'))}"
        for command, more in (("watch", ""), ("stats", ""), ("show", f" {op_id}"), ("report", page), commit):
            self.tell(f"  {program} op-log {command} {quote(self.session_id)}{more} --repo {quote(str(self.repo))}")


def plain(log: OpLog) -> list[Any]:
    """The entries of a log, as any program with a JSON parser would read them."""
    return [orjson.loads(line) for line in log.path.read_bytes().split(b"\n") if line.strip()]


_op_id = itemgetter("op_id")
total_order = itemgetter("lamport_ts", "actor_id", "op_id")
