"""After a mishap: what was acknowledged is there or is told as lost, whoever looks first, and then it comes back."""

from __future__ import annotations

import json
from typing import Any

from muse.core.op_log import DamagedCheckpointError, Finding, OpLog, VerifyReport
from tests import making, plain_scan
from tests.torture.actors import DOMAINS
from tests.torture.check import demand
from tests.torture.evidence import SESSION, Evidence, Violation
from tests.torture.schedule import Plan

_Lost = tuple[str, str, int, int]
"""op_id, actor, timestamp, and the byte offset where it was."""


def lost_between(before: bytes, now: bytes) -> list[_Lost]:
    """What a log held and does not hold any more, by a plain scan of both, in the order of its places."""
    there = set(plain_scan.scan(now).op_ids)
    return [
        (entry["op_id"], entry["actor_id"], entry["lamport_ts"], span.byte_offset)
        for entry, span in plain_scan.scan(before).placed
        if entry["op_id"] not in there
    ]


def altered_between(before: bytes, now: bytes) -> list[str]:
    """What both hold, but not with the same content."""
    held = {entry["op_id"]: plain_scan.exact(entry) for entry in plain_scan.scan(before).entries}
    found = plain_scan.scan(now).entries
    return [
        each["op_id"] for each in found if held.get(each["op_id"], plain_scan.exact(each)) != plain_scan.exact(each)
    ]


def check_told(report: VerifyReport, before: bytes, now: bytes) -> None:
    """A report names each lost operation with its actor, timestamp and place, and no other.

    Raises:
        Violation: it does not.
    """
    told = [(each.op_id, each.actor_id, each.lamport_ts, each.byte_offset) for each in making.lost(report)]
    expected = lost_between(before, now)
    unnoticed, too_many = set(expected) - set(told), set(told) - set(expected)
    of_index = [each.reason for each in report.findings if each.kind == "index-differs"]
    demand(not unnoticed, "lost", f"{len(unnoticed)} are lost and not told: {sorted(unnoticed)[:3]}; {of_index}")
    demand(not too_many and len(told) == len(expected), "verify", f"told, though not lost: {sorted(too_many)[:3]}")
    demand(report.counts.get("operation-lost", 0) == len(expected), "verify", f"it counts wrongly: {report.counts}")
    demand(not (expected and report.ok), "verify", "something is lost, and nothing is damaged")


def check_refuses(log: OpLog) -> None:
    """Nothing is taken for pending, nor committed, while the record is gone.

    Raises:
        Violation: it is.
    """
    for name, ask in (
        ("replay", log.replay_since_checkpoint),
        ("delta", lambda: log.to_structured_delta(DOMAINS[0])),
        ("checkpoint", lambda: log.checkpoint("again")),
    ):
        try:
            ask()
        except DamagedCheckpointError:
            continue
        raise Violation("duplicated", f"checkpoint.json is gone, and {name} goes on as if nothing had been committed")


def check(evidence: Evidence, plan: Plan) -> None:
    """Check everything that must be true after a mishap.

    Raises:
        Violation: something is not.
    """
    before, now = evidence.log_path(evidence.replica).read_bytes(), making.log_bytes(evidence.repo, SESSION)
    ours = {op_id for calls in evidence.calls.values() for call in calls for op_id, _ in call}
    scan = plain_scan.scan(now)
    lost = lost_between(before, now)
    demand(not (lost and evidence.met["brought back"]), "lost", f"it was appended again, and is not there: {lost[:3]}")
    known = {op_id for op_id, *_ in lost} | set(scan.op_ids)
    demand(ours <= known, "lost", f"{len(ours - known)} acknowledged are neither there nor known to be lost")

    reports: list[list[Finding]] = []
    for step in ("as it is", "after a read", "after a rebuild"):
        with OpLog(evidence.repo, SESSION) as log:
            if step == "after a read":
                demand(log.read_all() == scan.entries, "index", "reads are not what the log says")
                _check_pending(evidence, log, scan, plan)
            elif step == "after a rebuild":
                log.rebuild_index()
        with OpLog(evidence.repo, SESSION) as log:
            report = log.verify(max_findings=None)
        check_told(report, before, now)
        reports.append([each for each in report.findings if each.kind != "index-differs"])
        demand(reports[-1] == reports[0], "verify", f"{step} it tells {reports[-1][:3]}, before {reports[0][:3]}")
        try:
            making.assert_damage_told(report, scan)
        except AssertionError as error:
            raise Violation("damage", f"damaged are {scan.damaged[:5]}; told is {reports[0][:5]}") from error
    _check_repaired(evidence, before, ours, plan)


def _check_pending(evidence: Evidence, log: OpLog, scan: plain_scan.PlainScan, plan: Plan) -> None:
    """Nothing is pending but what lies above the record, and nothing is below it that no commit holds."""
    if plan.mishap == "index gone":
        check_refuses(log)
        return
    try:
        record = log.read_checkpoint()
    except DamagedCheckpointError:
        demand(plan.mishap == "older copy", "checkpoint", "the checkpoint is refused, though lines are only damaged")
        return
    _check_covered(evidence, log, scan, record["byte_offset"] if record else 0)


def _check_covered(evidence: Evidence, log: OpLog, scan: plain_scan.PlainScan, end: int) -> None:
    pending = [entry for entry, span in scan.placed if span.byte_offset >= end]
    demand(log.replay_since_checkpoint() == pending, "checkpoint", f"pending is not what lies above byte {end}")
    made = [each for each in evidence.collapses.values() if each.outcome != "refused"]
    committed = {mark for each in made for marks in each.marks.values() for mark in marks}
    covered = [
        entry["domain_op"]["mark"]
        for entry, span in scan.placed
        if span.byte_offset < end and entry["domain"] in DOMAINS
    ]
    missed = [mark for mark in covered if mark not in committed]
    demand(not missed, "lost", f"{len(missed)} count as committed, and no commit holds them: {missed[:5]}")


def _check_repaired(evidence: Evidence, before: bytes, ours: set[str], plan: Plan) -> None:
    """With the replica as the source all that was ever there is there again, and told as lost no more."""
    path = evidence.log_path(evidence.repo)
    with OpLog(evidence.repo, SESSION) as log, OpLog(evidence.replica, SESSION) as source:
        repaired = log.repair(source=source)
    scan = plain_scan.scan_file(path)
    missing = (ours | set(plain_scan.scan(before).op_ids)) - set(scan.op_ids)
    demand(not missing, "lost", f"{len(missing)} did not come back: {sorted(missing)[:3]}; {repaired}")
    demand(not scan.conflicts, "duplicated", f"a repair wrote other content: {scan.conflicts}")
    with OpLog(evidence.repo, SESSION) as log:
        check_told(log.verify(max_findings=None), before, path.read_bytes())
        demand(log.read_all() == scan.entries, "index", "reads are not what the log says after a repair")
        try:
            record: Any = log.read_checkpoint()
        except DamagedCheckpointError as error:
            demand(repaired.not_repaired, "checkpoint", f"a repair did nothing about it, and said nothing: {error}")
            return
        _check_covered(evidence, log, scan, record["byte_offset"] if record else 0)
    if plan.mishap == "index gone":
        # Not the snapshot: of two commits at one cut the index may remember either.
        names = ("byte_offset", "op_count", "last_op_id", "log_digest")
        wanted, found = (
            json.loads(each.read_bytes()) for each in (evidence.record_before, log.path.with_name("checkpoint.json"))
        )
        same = [wanted[name] for name in names] == [found[name] for name in names]
        demand(same, "checkpoint", f"a repair restored another record: {found}, and not {wanted}")
