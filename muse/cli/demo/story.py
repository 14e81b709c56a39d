"""The demo, act by act: record, collapse at a cut, checkpoint, replay, merge, rebuild, verify."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from muse.cli.demo.checks import (
    Checks,
    as_planned,
    in_total_order,
    ops_of,
    parents_come_first,
    plain_entries,
)
from muse.cli.demo.ending import print_summary
from muse.cli.demo.plan import PlannedEdit, free_edits, planned, write_plans
from muse.cli.demo.players import Player, Players
from muse.cli.demo.screen import Screen
from muse.cli.demo.stage import Recorded, Stage
from muse.cli.output import pluralize, tally
from muse.cli.progress import ProgressBar
from muse.core.op_log import OpEntry, OpLog
from muse.describing import description
from muse.escaping import escape_for_terminal

_POLL_S = 0.05
_CUT_SHARE = 0.6
"""The cut is taken when this share of the edits has arrived. It is below the share written without waiting for it."""

_SNAPSHOT_ID = "snapshot-1"


@dataclass
class Story:
    """Runs the demo act by act, and prints its story with `tell`."""

    stage: Stage
    tell: Callable[[str], None]
    stream: TextIO
    """The stream that `tell` writes to. If it is a terminal, counts are redrawn on it."""
    checks: Checks = field(init=False)

    def __post_init__(self) -> None:
        self.checks = Checks(self.tell)

    def run(self) -> dict[str, Any]:
        """Run all acts; return the results as a dict for --json."""
        started = time.monotonic()
        stage = self.stage
        with OpLog(stage.repo, stage.session_id) as log:
            recorded = self.record(log)
            self.collapse_and_checkpoint(log, recorded)
            pending = self.show_pending(log, recorded)
            merged = self.merge(log, recorded)
            before = _answers(log)
        self.delete_index()
        with OpLog(stage.repo, stage.session_id) as log:
            self.rebuild(log, before)
            findings = self.verify(log)
            path = log.path
        elapsed_s = time.monotonic() - started
        print_summary(self.tell, stage, recorded, path, self.checks.failed, elapsed_s)
        return {
            "session_id": stage.session_id,
            "repo": str(stage.repo),
            "replica_repo": str(stage.repo_apart),
            "log_path": str(path),
            "edits": len(recorded.plan),
            "acknowledged": recorded.acknowledged,
            "actors": before["actors"],
            "domains": before["domains"],
            "deltas": {domain: delta["summary"] for domain, delta in recorded.deltas.items()},
            "checkpoint": recorded.mark,
            "pending_after_checkpoint": len(pending),
            "merged": merged,
            "findings": findings,
            "checks": [{"claim": claim, "ok": holds} for claim, holds in self.checks.found],
            "ok": not self.checks.failed,
            "elapsed_s": round(elapsed_s, 2),
        }

    # Act 1

    def record(self, log: OpLog) -> Recorded:
        """Let all processes write, and make a commit meanwhile."""
        stage = self.stage
        plan = planned(stage.edits)
        domains = sorted({edit.domain for edit in plan})
        actors = list(dict.fromkeys(edit.actor_id for edit in plan))
        pace = "as fast as they can" if stage.rate is None else f"about {stage.rate:g} edits a second each"
        self.tell(f"1. Recording session {stage.session_id!r}: {stage.material}.")
        numbers = f"{pluralize(len(plan), 'edit')} by {pluralize(len(actors), 'actor')}"
        self.tell(f"   {numbers}, each in a process of its own, {pace}.")
        if len(domains) == 1:
            self.tell(f"   All are of one domain, {domains[0]}, so there is one delta below, not two.")
        with tempfile.TemporaryDirectory(prefix="muse-demo-plan-") as name, Players(Path(name)) as players:
            players_here, player_apart = self._cast(plan, players, Path(name))
            _wait(lambda: players.all_ready)
            with Screen(self.stream, self.tell) as screen:
                players.send("go")
                recorded = self._commit_meanwhile(log, plan, players, screen)
                while not players.all_done:
                    screen.show(log.actors(), log.domains(), players.working())
                    time.sleep(_POLL_S)
                screen.show(log.actors(), log.domains(), 0, last=True)
            recorded.acknowledged = sum(player.acknowledged or 0 for player in players_here)
            recorded.acknowledged_apart = player_apart.acknowledged or 0
        self._check_recording(log, recorded)
        return recorded

    def _cast(self, plan: list[PlannedEdit], players: Players, folder: Path) -> tuple[list[Player], Player]:
        """Start the processes."""
        stage = self.stage
        rate = "max" if stage.rate is None else str(stage.rate)
        here = [
            players.add_actor(actor_id, stage.repo, stage.session_id, path, rate)
            for actor_id, path in write_plans(plan, folder).items()
        ]
        path_apart = folder / "apart.jsonl"
        plans_apart = write_plans(planned(stage.edits_apart), _made(folder / "apart"))
        path_apart.write_bytes(b"".join(path.read_bytes() for path in plans_apart.values()))
        apart = players.add_apart("the offline actor", stage.repo_apart, stage.session_id, path_apart, rate, stage.repo)
        return here, apart

    def _commit_meanwhile(self, log: OpLog, plan: list[PlannedEdit], players: Players, screen: Screen) -> Recorded:
        """Wait until enough edits have arrived; then cut, collapse and checkpoint while the rest arrive."""
        enough = min(max(1, int(len(plan) * _CUT_SHARE)), free_edits(len(plan)))
        while len(log) < enough:
            screen.show(log.actors(), log.domains(), players.working())
            time.sleep(_POLL_S)
        cut = log.cut()
        # Release the edits that were held back, so that entries arrive during the collapse.
        players.send("cut")
        deltas = {domain: log.to_structured_delta(domain, upto=cut) for domain in sorted(log.domains())}
        mark = log.checkpoint(_SNAPSHOT_ID, upto=cut)
        return Recorded(plan, 0, 0, cut, deltas, mark, arrived_meanwhile=len(log) - cut.op_count)

    def _check_recording(self, log: OpLog, recorded: Recorded) -> None:
        entries = plain_entries(log.path)
        self.checks.claim(
            f"{pluralize(recorded.acknowledged, 'entry')} were acknowledged, and file and index hold as many",
            holds=recorded.acknowledged == len(recorded.plan) == len(entries) == len(log),
        )
        self.checks.claim("the log holds every edit once and unchanged", holds=as_planned(entries, recorded.plan))
        self.checks.claim(
            "every edit comes after those it depends on, with a higher timestamp",
            holds=parents_come_first(entries),
        )

    # Act 2

    def collapse_and_checkpoint(self, log: OpLog, recorded: Recorded) -> None:
        """Show the deltas at the cut, and compare them with the lines before the cut."""
        cut, mark = recorded.cut, recorded.mark
        self.tell("")
        self.tell(f"2. Meanwhile, when the log held {pluralize(cut.op_count, 'entry')}, a cut was taken.")
        covered = in_total_order(plain_entries(log.path, cut.byte_offset))
        for domain, delta in recorded.deltas.items():
            self.tell(f"   delta {domain}: {delta['summary']}")
            self.checks.claim(
                f"the delta of {domain} equals a plain scan of the lines before the cut",
                holds=delta["ops"] == ops_of(covered, domain),
            )
        self.tell(
            f"   Checkpoint {mark['snapshot_id']} marks the cut; "
            f"{pluralize(recorded.arrived_meanwhile, 'edit')} arrived between cut and checkpoint."
        )
        self.checks.claim(
            f"the checkpoint covers the {pluralize(mark['op_count'], 'entry')} before the cut",
            holds=mark["op_count"] == cut.op_count == len(covered),
        )

    # Act 3

    def show_pending(self, log: OpLog, recorded: Recorded) -> list[OpEntry]:
        """Show the entries that the checkpoint does not cover."""
        pending = log.replay_since_checkpoint()
        late = sum(entry["lamport_ts"] <= recorded.mark["lamport_ts"] for entry in pending)
        self.tell("")
        self.tell(f"3. Pending, for the next commit: {pluralize(len(pending), 'entry')}, such as")
        for entry in pending[:3]:
            kind, address, what = description(entry["domain_op"])
            self.tell(escape_for_terminal(f"   {entry['lamport_ts']:>7}  {entry['actor_id']}: {kind} {address} {what}"))
        if late:
            self.tell(f"   {late:,} of them have a timestamp no higher than the checkpoint's: late, not lost.")
        after = plain_entries(log.path)[recorded.cut.op_count :]
        self.checks.claim("pending is exactly what arrived after the cut", holds=_op_ids(pending) == _op_ids(after))
        return pending

    # Act 4

    def merge(self, log: OpLog, recorded: Recorded) -> dict[str, int]:
        """Merge the two replicas in both directions."""
        stage = self.stage
        self.tell("")
        self.tell("4. All that time an offline actor worked on a replica of the session in another folder.")
        with OpLog(stage.repo_apart, stage.session_id) as other, ProgressBar("merging") as bar:
            known = len(other) - recorded.acknowledged_apart
            self.tell(
                f"   It began with {pluralize(known, 'entry')} of ours and made "
                f"{pluralize(recorded.acknowledged_apart, 'entry')} of its own."
            )
            came = log.merge(other, progress=bar)
            went = other.merge(log, progress=bar)
            again = log.merge(other) + other.merge(log)
            self.tell(f"   Merged both ways: {came:,} came, {went:,} went.")
            lines = plain_entries(log.path)
            ours, theirs = in_total_order(lines), in_total_order(plain_entries(other.path))
            pending = in_total_order(lines[recorded.cut.op_count :])
            self.checks.claim(
                "each replica got the entries it lacked, and merging again adds nothing",
                holds=(came, went, again) == (recorded.acknowledged_apart, len(recorded.plan) - known, 0),
            )
            self.checks.claim(f"both hold the same {pluralize(len(ours), 'entry')}", holds=ours == theirs)
            # Only the first replica has a checkpoint: its delta holds the pending operations, the other's holds all.
            self.checks.claim(
                "in every domain, the deltas of both equal a plain scan",
                holds=all(
                    log.to_structured_delta(domain)["ops"] == ops_of(pending, domain)
                    and other.to_structured_delta(domain)["ops"] == ops_of(ours, domain)
                    for domain in log.domains()
                ),
            )
        return {"came": came, "went": went}

    # Act 5

    def delete_index(self) -> None:
        """Delete the index, which is allowed at any moment."""
        with OpLog(self.stage.repo, self.stage.session_id) as log:
            folder = log.folder
        for path in folder.glob("index.db*"):
            path.unlink()
        self.tell("")
        self.tell("5. The index is deleted: the log is the only truth.")

    def rebuild(self, log: OpLog, before: dict[str, Any]) -> None:
        """Rebuild the index, and compare its answers with those of the old one."""
        started = time.monotonic()
        with ProgressBar("indexing", "bytes") as bar:
            log.rebuild_index(progress=bar)
        self.tell(f"   Rebuilt from the log in {time.monotonic() - started:.2f} s: {tally(log.domains())}.")
        self.checks.claim("the new index gives the same answers as the old one", holds=_answers(log) == before)

    def verify(self, log: OpLog) -> int:
        """Run the full check of the session; return the number of findings."""
        with ProgressBar("verifying", "bytes") as bar:
            report = log.verify(progress=bar)
        number = sum(report.counts.values())
        self.checks.claim(
            f"verify read {pluralize(report.entries, 'entry')} and found {number or 'nothing'}",
            holds=report.ok and not number,
        )
        for finding in report.findings[:5]:
            self.tell(f"   {finding.kind} at byte {finding.byte_offset}: {finding.reason}; {finding.remedy}")
        return number


def _wait(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(_POLL_S)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _op_ids(entries: Sequence[Any]) -> list[str]:
    return [entry["op_id"] for entry in entries]


def _answers(log: OpLog) -> dict[str, Any]:
    """Answers of a log's index, for comparison."""
    return {
        "ops": len(log),
        "actors": log.actors(),
        "domains": log.domains(),
        "pending": log.count(since_checkpoint=True),
        "by_domain": {domain: log.count(domain=domain) for domain in log.domains()},
    }
