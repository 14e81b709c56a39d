"""The data embedded in the page: lists, numbers and text, of limited size for any session.

Names from the log are list items and never object keys. As a key, an actor called `__proto__` would change a
JavaScript object. The script of the page reads this data in `assets/model.js`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import nlargest
from typing import Any

import orjson

from muse.core.op_log import Finding, VerifyReport
from muse.report import limits
from muse.report.gathering.addresses import Address
from muse.report.gathering.gather import Counts, Gathered, Ranks
from muse.report.gathering.shown_op import ShownOp, milliseconds
from muse.report.palette import SHAPES, colour_name
from muse.report.text import brief


def page_data(gathered: Gathered, *, made_at: str, version: str) -> dict[str, Any]:
    """Return everything the page shows, as a dict that can be written as JSON."""
    stats = gathered.stats
    return {
        "session": brief(stats.session_id),
        "madeAt": made_at,
        "version": version,
        "sizeBytes": stats.size_bytes,
        "ops": stats.ops,
        "lamport": [stats.min_lamport_ts, stats.max_lamport_ts],
        "late": stats.late,
        "concurrent": stats.concurrent,
        "roots": stats.roots,
        "joins": stats.joins,
        "missingParents": stats.missing_parents,
        "domains": _domains(gathered),
        "lanes": _lanes(gathered),
        "kinds": _kinds(stats.kinds),
        "checkpoint": _checkpoint(gathered),
        "commits": _commits(gathered),
        "activity": _activity(gathered),
        "addresses": _addresses(gathered),
        "verify": _verified(gathered.verified),
        # The page counts the ops itself if it holds all of them.
        "density": None if gathered.is_whole else _density(gathered, gathered.density),
        "timeDensity": None if gathered.is_whole else _density(gathered, gathered.time_density),
        "shown": _shown(gathered),
    }


def _domains(gathered: Gathered) -> dict[str, Any]:
    domains = gathered.domains
    return {
        "names": domains.labels("domains"),
        "colours": [colour_name(place, len(domains.own)) for place in range(len(domains))],
        "shapes": SHAPES[: len(domains)],
        "shared": domains.shared,
    }


def _lanes(gathered: Gathered) -> dict[str, Any]:
    """The name, the ops by domain, and the lowest and highest timestamp of each lane."""
    lanes, domains = gathered.lanes, gathered.domains
    by_domain = [[0] * len(domains) for _ in range(len(lanes))]
    spans: list[list[int]] = [[] for _ in range(len(lanes))]
    for name, share in gathered.stats.actors.items():
        lane = lanes.of(name)
        span = (*spans[lane], share.min_lamport_ts, share.max_lamport_ts)
        spans[lane] = [min(span), max(span)]
        for domain, ops in share.domains.items():
            by_domain[lane][domains.of(domain)] += ops
    return {
        "names": lanes.labels("actors"),
        "byDomain": by_domain,
        "spans": spans,
        "shared": lanes.shared,
        "actors": len(gathered.stats.actors),
    }


def _kinds(kinds: Mapping[str, int]) -> dict[str, Any]:
    ranks = Ranks(kinds, limits.MAX_KINDS)
    counts = [0] * len(ranks)
    for name, ops in kinds.items():
        counts[ranks.of(name)] += ops
    return {"names": ranks.labels("kinds"), "ops": counts}


def _checkpoint(gathered: Gathered) -> dict[str, Any]:
    mark = gathered.stats.checkpoint
    return {
        "pending": _uncommitted(gathered),
        "problem": brief(gathered.stats.problem or "", limits.REASON_LETTERS),
        "late": gathered.late_pending,
        "mark": mark
        and {
            "snapshot": brief(mark["snapshot_id"], limits.NAME_LETTERS),
            "lamport": mark["lamport_ts"],
            "ops": mark["op_count"],
            "at": brief(mark["created_at"], limits.NAME_LETTERS),
            "time": milliseconds(mark["created_at"]),
        },
    }


def _uncommitted(gathered: Gathered) -> int:
    """How many ops arrived after the checkpoint and after the last commit."""
    stats, ends = gathered.stats, gathered.commits.ends
    after_commits = stats.ops - (ends[-1] if gathered.commits.all else 0)
    return after_commits if stats.pending is None else min(stats.pending, after_commits)


def _commits(gathered: Gathered) -> dict[str, Any] | None:
    """A row for each commit that is shown one by one, and the ids of others that ops shown are in."""
    commits = gathered.commits
    if not commits.all:
        return None
    shown = commits.shown()
    others = {commits.number_of(op.arrival) for op in gathered.ops} - {0, *shown}
    return {
        "all": len(commits.all),
        "ops": commits.ends[-1] - commits.ends[0],
        "rows": [_commit(gathered, number) for number in shown],
        "others": [[number, commits.id_of(number)] for number in sorted(others)],
    }


def _commit(gathered: Gathered, number: int) -> list[Any]:
    """Its place, and its most active actors as [lane, ops]; those of the shared lane are not named."""
    commits, lanes = gathered.commits, gathered.lanes
    made = commits.all[number - 1]
    most = nlargest(limits.MAX_NAMED_ACTORS, made.actors.items(), key=lambda actor: actor[1])
    named = [(lanes.of(name), ops) for name, ops in most if lanes.of(name) < len(lanes.own)]
    return [
        number,
        commits.id_of(number),
        brief(made.created_at[:19].replace("T", " ")),
        made.ops,
        commits.ends[number],
        commits.highest[number],
        len(made.actors),
        named,
        milliseconds(made.created_at),
    ]


def _addresses(gathered: Gathered) -> dict[str, Any]:
    """A row for each address that is listed, and how many there are of each kind."""
    addresses = gathered.addresses
    at_once = addresses.changed_at_once()
    return {
        "all": len(addresses),
        "forgot": addresses.forgot,
        "notCompared": addresses.not_compared,
        "busiest": [_address(gathered, each) for each in addresses.busiest()],
        "atOnce": [_address(gathered, each) for each in at_once[: limits.MAX_ADDRESS_ROWS]],
        "allAtOnce": len(at_once),
    }


def _address(gathered: Gathered, address: Address) -> list[Any]:
    """Its text and counts, who was there last and when, and the first of those who were there at once."""
    lamport_ts, actor_id, _, created_at = address.last
    names = gathered.addresses.actor_names
    # Digit by digit: to shift a number of as many bits as there are actors takes time with their square.
    bits = reversed(f"{address.at_once_actors:b}")
    at_once = [name for name, bit in zip(names, bits, strict=False) if bit == "1"]
    return [
        address.text,
        address.ops,
        address.actors.bit_count(),
        brief(actor_id, limits.NAME_LETTERS),
        lamport_ts,
        milliseconds(created_at),
        address.at_once,
        len(at_once),
        [brief(name, limits.NAME_LETTERS) for name in at_once[: limits.MAX_NAMED_ACTORS]],
    ]


def _activity(gathered: Gathered) -> dict[str, Any]:
    """Ops over wall time by domain; without bins if no op has a valid time."""
    time, domains = gathered.stats.wall_time, gathered.domains
    bins = [[0] * len(domains) for _ in time.bins]
    for name, share in gathered.stats.domains.items():
        place = domains.of(name)
        for number, ops in enumerate(share.bins):
            bins[number][place] += ops
    return {
        "startMs": milliseconds(time.bins_start or ""),
        "widthMs": round(time.bin_width_s * 1000),
        "bins": bins,
        "ends": [milliseconds(text or "") for text in (time.first_created_at, time.last_created_at)],
        "spanS": time.span_s,
        "undated": time.missing + time.unparsable,
    }


def _verified(report: VerifyReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    return {
        "ok": report.ok,
        "lines": report.lines,
        "entries": report.entries,
        "sizeBytes": report.size_bytes,
        "counts": list(report.counts.items()),
        "tailBytes": report.pending_tail_bytes,
        "findings": [_finding(finding) for finding in report.findings[: limits.MAX_FINDINGS]],
    }


def _finding(finding: Finding) -> list[Any]:
    reason, remedy = brief(finding.reason, limits.REASON_LETTERS), brief(finding.remedy, limits.REASON_LETTERS)
    return [finding.kind, finding.severity, finding.byte_offset, finding.length, reason, remedy]


def _density(gathered: Gathered, density: Counts) -> dict[str, Any]:
    """The counts, a run for each lane and domain: [lane, domain, gap, ops, gap, ops, …].

    A gap is a bin's distance from the previous bin of the run, or from bin 0 for the first.
    """
    lanes, domains = gathered.lanes, gathered.domains
    runs = [[lanes.of(actor), domains.of(domain), *_gaps(bins)] for (actor, domain), bins in density.runs()]
    return {"width": density.width, "runs": runs}


def _gaps(counts: Iterable[tuple[int, int]]) -> Iterator[int]:
    before = 0
    for number, ops in counts:
        yield number - before
        yield ops
        before = number


def _shown(gathered: Gathered) -> dict[str, Any]:
    """The ops shown individually, one row each. Ops beyond the page's limit for text have no texts."""
    numbers = {op.op_id: number for number, op in enumerate(gathered.ops)}
    kinds: dict[str, int] = {}
    rows, texts, room = [], [], limits.MAX_OP_TEXT_BYTES
    for op in gathered.ops:
        rows.append(_row(op, gathered, numbers))
        text = _texts(op, gathered)
        # The page writes `<` as an escape of six bytes.
        room -= len(orjson.dumps(text)) + 5 * "".join(text).count("<")
        if room > 0:
            texts.append([kinds.setdefault(op.kind, len(kinds)), *text[1:]])
    return {"rows": rows, "texts": texts, "kinds": list(kinds), "whole": gathered.is_whole}


def _row(op: ShownOp, gathered: Gathered, numbers: Mapping[str, int]) -> list[Any]:
    """The position of the op, its parents (row numbers, or op_ids of those not shown), its commit, and its time."""
    return [
        op.op_id,
        gathered.lanes.of(op.actor_id),
        gathered.domains.of(op.domain),
        op.lamport_ts,
        op.arrival,
        int(gathered.is_pending(op)),
        op.all_parents,
        [numbers.get(parent, parent) for parent in op.parents],
        gathered.commits.number_of(op.arrival),
        op.time_us and op.time_us // 1_000,
    ]


def _texts(op: ShownOp, gathered: Gathered) -> list[str]:
    """The texts of the op; empty texts at the end are left out."""
    texts = [
        op.kind,
        op.created_at,
        op.address,
        op.what,
        op.intent_id,
        op.reservation_id,
        # Actor and domain are named only if they share a place, which then does not name them.
        _if_shared(gathered.lanes, op.actor_id),
        _if_shared(gathered.domains, op.domain),
    ]
    while texts[-1] == "" and len(texts) > 1:
        texts.pop()
    return texts


def _if_shared(ranks: Ranks, name: str) -> str:
    return "" if ranks.of(name) < len(ranks.own) else brief(name, limits.NAME_LETTERS)
