"""After a round: what was told held against an independent scan, and the index against both.

The session itself is only looked at, so that damage adds up; questions are put to copies of its
folder, one with the index as the round left it and one with the index made anew.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from muse.core.op_log import OpLog
from tests import making, plain_scan
from tests.torture.actors import DOMAINS
from tests.torture.evidence import SESSION, Collapse, Evidence, Violation
from tests.torture.schedule import Plan

_FILES = {"ops.jsonl", "checkpoint.json", "redacted.json", "index.db", "index.db-wal", "index.db-shm"}

_LEFTOVERS = re.compile(
    r"(checkpoint|redacted|redacting)\.json\.tmp|index\.db\.(new|old|building)(-journal|-wal|-shm)?|index\.db-journal",
)

_MAX_LEFTOVERS = 8
"""Hardly more than one of each name: what a killed process leaves, the next of its kind takes away."""


@dataclass
class Seen:
    """What the check of a round saw, for the numbers at the end."""

    torn: int
    """Lines that a kill cut short, in the session and its replica."""
    duplicates: int
    """Lines that say again what an earlier one said; reads pass over them."""
    leftovers: int
    """Files of killed processes beside the session's own."""


def demand(truth: object, kind: str, text: str) -> None:
    """Raise a `Violation` unless `truth`."""
    if not truth:
        raise Violation(kind, text)


def check_round(evidence: Evidence, plan: Plan) -> Seen:
    """Check everything that must be true after a round.

    Raises:
        Violation: something is not.
    """
    path = evidence.log_path(evidence.repo)
    _finish_redaction(evidence)
    scan = plain_scan.scan_file(path)
    replica = plain_scan.scan_file(evidence.log_path(evidence.replica))
    for found in (scan, replica):
        demand(not found.conflicts, "duplicated", f"one op_id with two contents at {found.conflicts}")
    torn = sum(len(found.damaged) + bool(found.tail) for found in (scan, replica))
    demand(torn <= evidence.kills, "damage", f"{torn} damaged lines after {evidence.kills} kills: {scan.damaged}")
    _check_acknowledged(evidence, scan, replica)
    _check_merged(evidence, scan, replica)
    _check_redacted(evidence, scan)
    if path.exists():
        record = _check_answers(evidence, path, scan)
        _check_deltas(evidence, scan, record, turns=plan.turns)
    leftovers = _check_files(path.parent)
    duplicates = len(scan.duplicates) + len(replica.duplicates)
    return Seen(torn, duplicates, leftovers)


# -- what was acknowledged ------------------------------------------------------------------------------


def _check_acknowledged(evidence: Evidence, scan: plain_scan.PlainScan, replica: plain_scan.PlainScan) -> None:
    places = {op_id: place for place, op_id in enumerate(scan.op_ids)}
    places_there = {op_id: place for place, op_id in enumerate(replica.op_ids)}
    for actor, calls in evidence.calls.items():
        at = places_there if actor.startswith("replica") else places
        lost = [op_id for call in calls for op_id, _ in call if op_id not in at]
        demand(not lost, "lost", f"{len(lost)} operations that {actor} was acknowledged are not there: {lost[:5]}")
        for before, after in pairwise(calls):
            in_order = max(at[op_id] for op_id, _ in before) < min(at[op_id] for op_id, _ in after)
            demand(in_order, "order", f"{actor}: {before} was acknowledged before {after}, and arrived after it")
            rising = max(stamp for _, stamp in before) < min(stamp for _, stamp in after)
            demand(rising, "order", f"{actor}: the timestamps of {after} do not exceed those of {before}")
    # Also what was not acknowledged. A line of a batch may have been glued to a fragment and written again.
    for found, replicas in ((scan, False), (replica, True)):
        last: dict[str, int] = {}
        for entry in found.entries:
            actor, stamp = entry["actor_id"], entry["lamport_ts"]
            if actor.startswith("batch") or actor.startswith("replica") is not replicas:
                continue
            demand(last.get(actor, -1) < stamp, "order", f"{actor}: {stamp} arrived after {last.get(actor)}")
            last[actor] = stamp


def _check_merged(evidence: Evidence, scan: plain_scan.PlainScan, replica: plain_scan.PlainScan) -> None:
    for way, source, target in (("in", replica, scan), ("out", scan, replica)):
        there = set(target.op_ids)
        lost = [op_id for op_id in source.op_ids[: evidence.merged[way]] if op_id not in there]
        demand(not lost, "lost", f"{len(lost)} operations that were merged {way} are not there: {lost[:5]}")


def _finish_redaction(evidence: Evidence) -> None:
    """Do as the next one would who opens a session, or its replica, in which a redaction was cut off."""
    for repo in (evidence.repo, evidence.replica):
        journal = evidence.log_path(repo).with_name("redacting.json")
        if journal.exists():
            evidence.met["redaction cut off"] += 1
            with OpLog(repo, SESSION) as log:
                log.count()
            demand(not journal.exists(), "files", f"{journal}: nobody has finished it")


def _check_redacted(evidence: Evidence, scan: plain_scan.PlainScan) -> None:
    said = {entry["op_id"]: entry["domain_op"] for entry in scan.entries if entry["op_id"] in evidence.redacted}
    kept = {op_id: op for op_id, op in said.items() if op.get("op") != "redacted"}
    demand(not kept, "secret", f"{len(kept)} redacted operations still say something: {kept}")
    folder = evidence.log_path(evidence.repo).parent
    for path in folder.iterdir() if evidence.redacted else ():
        data = path.read_bytes()
        held = [text for text in evidence.redacted.values() if text.encode() in data]
        demand(not held, "secret", f"{path.name} holds {held[:5]}")


# -- the index ------------------------------------------------------------------------------------------


def _check_answers(evidence: Evidence, path: Path, scan: plain_scan.PlainScan) -> plain_scan.Entry | None:
    """Compare the index as it is, the index made anew, and the scan; the checkpoint record on the way."""
    expected = _answers_of_scan(scan)
    told = []
    for how in ("as it is", "made anew"):
        copy = evidence.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy_session(path.parent, making.log_path(copy, SESSION).parent)
        if how == "as it is":
            _check_prefix(path.parent, copy, scan)
        with OpLog(copy, SESSION) as log:
            if how == "made anew":
                log.rebuild_index()
            answers = _answers_of(log, scan)
            told.append(_check_checkpoint(evidence, log, scan))
            for name, value in expected.items():
                demand(
                    answers[name] == value,
                    "index",
                    f"the index {how} answers {name} with {str(answers[name])[:300]}, the log says {str(value)[:300]}",
                )
    demand(told[0] == told[1], "index", f"the checkpoint is {told[0]} by the index as it is, {told[1]} by a new one")
    return told[0]


def copy_session(folder: Path, to: Path, *, log_changes: bool = False) -> None:
    """Copy a session as it lies there."""
    to.mkdir(parents=True)
    for source in folder.iterdir():
        if source.name == "ops.jsonl" and not log_changes:
            # Where nothing is appended to the copy, the log need not be doubled.
            os.link(source, to / source.name)
        elif source.name != "index.db-shm":
            shutil.copy(source, to / source.name)


def _answers_of_scan(scan: plain_scan.PlainScan) -> dict[str, Any]:
    entries, middle = scan.entries, _middle(scan.entries)
    actors = plain_scan.tally(entries, "actor_id")
    by_actor: dict[str, list[str]] = {name: [] for name in actors}
    for entry in entries:
        by_actor[entry["actor_id"]].append(entry["op_id"])
    return {
        "every entry": entries,
        "the number": len(entries),
        "actors": actors,
        "domains": plain_scan.tally(entries, "domain"),
        "by actor": {name: by_actor[name] for name in _some(actors)},
        "by domain": {name: sum(e["domain"] == name for e in entries) for name in DOMAINS},
        "by intent": {name: sum(e["intent_id"] == name for e in entries) for name in ("", "plan-1", "plan-2")},
        "by timestamp": [e["op_id"] for e in entries if e["lamport_ts"] >= middle],
        "by op_id": entries[:: max(1, len(entries) // 20)],
        "next timestamp": plain_scan.highest_lamport_ts(entries) + 1,
    }


def _answers_of(log: OpLog, scan: plain_scan.PlainScan) -> dict[str, Any]:
    actors = log.actors()
    sample = scan.entries[:: max(1, len(scan.entries) // 20)]
    return {
        "every entry": log.read_all(),
        "the number": len(log),
        "actors": actors,
        "domains": log.domains(),
        "by actor": {name: [e["op_id"] for e in log.query(actor_id=name)] for name in _some(actors)},
        "by domain": {name: log.count(domain=name) for name in DOMAINS},
        "by intent": {name: log.count(intent_id=name) for name in ("", "plan-1", "plan-2")},
        "by timestamp": [e["op_id"] for e in log.query(min_lamport_ts=_middle(scan.entries))],
        "by op_id": [log.get(entry["op_id"]) for entry in sample],
        "next timestamp": log.next_lamport_ts(),
    }


def _some(names: Iterable[str]) -> list[str]:
    return sorted(names)[:12]


def _middle(entries: list[plain_scan.Entry]) -> int:
    return plain_scan.highest_lamport_ts(entries) // 2


def _check_prefix(folder: Path, copy: Path, scan: plain_scan.PlainScan) -> None:
    """Read the index without the engine: its parts tile a prefix of the log, and each entry is there once.

    A file that is no database any more may be there after kills (the engine makes it anew); rows that
    leave a hole, or speak of another line, may not.
    """
    aside = copy / "index.db"
    for end in ("", "-wal", "-journal"):
        source = folder / f"index.db{end}"
        if source.exists():
            shutil.copy(source, copy / f"index.db{end}")
    if not aside.exists():
        return
    connection = sqlite3.connect(aside)
    try:
        # A row below the tail is one that was folded by another process before it was written: nobody reads it.
        tail = connection.execute(
            "SELECT byte_offset, byte_offset + length FROM tail "
            "WHERE byte_offset >= coalesce((SELECT max(end_offset) FROM run), 0) ORDER BY byte_offset"
        ).fetchall()
        tilings = [
            connection.execute(f"SELECT first_offset, end_offset FROM {table} ORDER BY {order}").fetchall() + tail
            for table, order in (("segment", "number"), ("run", "first_segment"))
        ]
        known = connection.execute("SELECT byte_offset, op_id FROM entries ORDER BY byte_offset").fetchall()
    except sqlite3.DatabaseError as error:
        raise Violation("index", f"the index can't be read after the round: {error}") from error
    finally:
        connection.close()
    for rows in tilings:
        covered = 0
        for start, end in rows:
            demand(start == covered, "index", f"its rows leave a hole or overlap at byte {covered}: {start}")
            covered = end
    below = [
        (span.byte_offset, op_id)
        for span, op_id in zip(scan.spans, scan.op_ids, strict=True)
        if span.byte_offset < covered
    ]
    demand(known == below, "index", f"{len(known)} entries in its first {covered} bytes, the log has {len(below)}")


# -- the checkpoint -------------------------------------------------------------------------------------


def _check_checkpoint(evidence: Evidence, log: OpLog, scan: plain_scan.PlainScan) -> plain_scan.Entry | None:
    """The record is readable, covers what it says, and with the replay makes up the whole log."""
    record = log.read_checkpoint()
    covered = 0 if record is None else record["op_count"]
    demand(
        covered >= evidence.highest_seen,
        "checkpoint",
        f"it covers {covered} operations, but one of {evidence.highest_seen} had been made",
    )
    evidence.highest_seen = covered
    if record is not None:
        below = sum(span.byte_offset < record["byte_offset"] for span in scan.spans)
        demand(below == covered, "checkpoint", f"{covered} covered, {below} lie below byte {record['byte_offset']}")
    pending = log.replay_since_checkpoint()
    demand(pending == scan.entries[covered:], "lost", f"{covered} covered and {len(pending)} replayed are not all")
    for name in DOMAINS:
        delta, expected = log.to_structured_delta(name), plain_scan.delta(scan.entries[covered:], name)
        demand(delta == expected, "lost", f"the delta of {name} since the checkpoint is not what arrived since")
    return None if record is None else dict(record)


def _check_deltas(
    evidence: Evidence, scan: plain_scan.PlainScan, record: plain_scan.Entry | None, *, turns: bool
) -> None:
    """Nothing fell between a delta and its checkpoint.

    Each delta that became a checkpoint must hold exactly the operations of its domain from some earlier
    checkpoint to its own cut. So from the last checkpoint a chain of deltas without a gap leads down to
    the beginning of the log, and everything covered is in one of them. Where checkpointers race, two may
    start from one checkpoint: only taking turns keeps an operation out of two deltas, and then it must.
    """
    collapses = [each for each in evidence.collapses.values() if each.outcome != "refused"]
    last = evidence.collapses.get(record["snapshot_id"]) if record else None
    if record is not None:
        demand(
            last is not None and last.outcome != "refused",
            "checkpoint",
            f"{record['snapshot_id']} stands, but nobody made it, or it was refused",
        )
    for domain in DOMAINS:
        reached, spans = _chain(domain, collapses, scan)
        if last is not None:
            below = _number_below(scan, domain, last.byte_offset)
            demand(below in reached, "lost", f"no chain of deltas of {domain} leads to {last.snapshot_id}")
        if turns:
            for (start, stop), (again, _) in pairwise(sorted(spans)):
                demand(stop <= again, "duplicated", f"{domain}: {start} to {stop} is in a delta, and {again} again")


def _chain(
    domain: str, collapses: list[Collapse], scan: plain_scan.PlainScan
) -> tuple[set[int], list[tuple[int, int]]]:
    """The numbers of entries of `domain` at which a checkpoint may have stood, and the spans of those that did."""
    own = [(entry, span) for entry, span in zip(scan.entries, scan.spans, strict=True) if entry["domain"] == domain]
    number_of = {entry["domain_op"]["mark"]: number for number, (entry, _) in enumerate(own)}
    spans = []
    for each in collapses:
        stop = _number_below(scan, domain, each.byte_offset)
        marks = each.marks[domain]
        numbers = sorted(number_of.get(mark, -1) for mark in marks)
        start = stop - len(marks)
        demand(
            numbers == list(range(start, stop)) or not marks,
            "lost",
            f"{each.snapshot_id}: its delta of {domain} is not what arrived up to its cut without a gap",
        )
        ordered = [entry["domain_op"]["mark"] for entry in plain_scan.total_order([e for e, _ in own[start:stop]])]
        demand(marks == ordered, "order", f"{each.snapshot_id}: its delta of {domain} is not in total order")
        spans.append((stop, start, each))
    reached = {0}
    for stop, start, each in sorted(spans, key=lambda span: (span[0], span[1])):
        if start in reached:
            reached.add(stop)
        else:
            # One of an older cut than the checkpoint's is empty; had it lived, it would have been refused.
            demand(
                start == stop and each.outcome == "unknown",
                "lost",
                f"{each.snapshot_id}: its delta of {domain} begins after {start} operations, and no checkpoint "
                f"ended there: {sorted(reached)[-5:]}",
            )
    return reached, [(start, stop) for stop, start, each in spans if start < stop and each.outcome == "made"]


def _number_below(scan: plain_scan.PlainScan, domain: str, byte_offset: int) -> int:
    return sum(
        entry["domain"] == domain and span.byte_offset < byte_offset
        for entry, span in zip(scan.entries, scan.spans, strict=True)
    )


# -- the folder -----------------------------------------------------------------------------------------


def _check_files(folder: Path) -> int:
    """Nothing lies there but the session's files and a bounded number of leftovers; how many of these."""
    if not folder.exists():
        return 0
    stray = {path.name for path in folder.iterdir()} - _FILES
    odd = {name for name in stray if not _LEFTOVERS.fullmatch(name)}
    demand(not odd, "files", f"nobody's files in the session's folder: {odd}")
    demand(len(stray) <= _MAX_LEFTOVERS, "files", f"leftovers of killed processes pile up: {sorted(stray)}")
    return len(stray)


def check_end(evidence: Evidence) -> None:
    """After the last round of a session: one who comes later can use it, and leftovers go.

    Raises:
        Violation: something is wrong.
    """
    path = evidence.log_path(evidence.repo)
    with OpLog(evidence.repo, SESSION) as log:
        made = log.record("after", DOMAINS[0], {"op": "insert", "mark": "after"})
        scan = plain_scan.scan_file(path)
        demand(scan.entries[-1] == dict(made), "lost", "the first entry after the last round is not there")
        log.checkpoint("the end")
        demand(not log.replay_since_checkpoint(), "checkpoint", "something is pending after the last checkpoint")
        log.rebuild_index()
        demand(log.read_all() == scan.entries, "index", "reads are wrong after the session's end")
        report = log.verify()
        odd = Counter(report.counts) - Counter({kind: report.counts[kind] for kind in _EXPECTED & report.counts.keys()})
        demand(not odd, "verify", f"{[found for found in report.findings if found.kind in odd][:5]}")
        lines = report.counts.get("damaged-line", 0) + report.counts.get("torn-tail", 0)
        demand(lines == len(scan.damaged), "verify", f"{lines} damaged lines, the log has {len(scan.damaged)}")
    stray = {path.name for path in path.parent.iterdir()} - _FILES
    demand(not stray, "files", f"a checkpoint and a rebuild left these: {sorted(stray)}")


_EXPECTED = {"damaged-line", "duplicate", "redacted"}
"""What kills leave behind, and what two mergers bring at the same moment."""
