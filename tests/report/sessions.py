"""Sessions to make reports of, and what a plain reader of their logs says they hold."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from muse.commit import Committed, GitTarget, commit
from muse.core.op_log import Cut, OpEntry, OpLog
from muse.report.gathering.commits import Commits
from muse.report.gathering.gather import Gathered, gather
from muse.report.page.data import page_data
from tests import making, plain_scan
from tests.cli.running import muse
from tests.commit.targets import git
from tests.plain_graph import PlainGraph

HOSTILE = (
    "<script>window.hacked=1;alert(1)</script>",
    '</script><img src=x onerror="window.hacked=1;alert(2)">',
    "<!--<script>window.hacked=1",
    "\"'`><svg onload=window.hacked=1>",
    "javascript:window.hacked=1",
    "one\u2028two\u2029three",
    "\u202egnp.exe\u2066\u200b",
    "\x00\x1b[31m\x7f\r\n",
    "𝄞 👩‍👩‍👧 ﷽ e\u0301",
    "__proto__",
    "constructor",
    "]]>&amp;&lt;&#60;",
    "x" * 5_000,
    "<" * 5_000,
)
"""Texts that a page could take for something else than text."""


def hostile_entries() -> list[OpEntry]:
    """An entry for each hostile text, with the text in every field that can hold one, and a parent of the same."""
    made = []
    for number, text in enumerate(HOSTILE, start=1):
        op = {"op": text, "address": text, "content_summary": text, text: {text: [text]}, "__proto__": {"x": text}}
        made.append(
            making.entry(
                number,
                actor_id=text,
                domain=text,
                domain_op=op,
                created_at=text,
                intent_id=text,
                reservation_id=text,
                parent_op_ids=[making.op_id(number - 1)] if number > 1 else [],
                **{text + "!": text},
            )
        )
    return made


def crowd(actors: int, ops: int) -> list[OpEntry]:
    """Ops of many actors, the first the most active, each depending on what its actor did last and some on others."""
    numbers = random.Random(ops)
    newest: dict[str, tuple[str, int]] = {}
    made: list[OpEntry] = []
    for number in range(1, ops + 1):
        actor = f"agent-{min(int(numbers.expovariate(6 / actors)), actors - 1):04d}"
        if number <= actors:
            actor = f"agent-{number - 1:04d}"
        parents = {newest[actor]} if actor in newest else set()
        if made and numbers.random() < 0.2:
            other = numbers.choice(made[-50:])
            parents.add((other["op_id"], other["lamport_ts"]))
        entry = making.entry(
            number,
            actor_id=actor,
            lamport_ts=1 + max((lamport_ts for _, lamport_ts in parents), default=0),
            parent_op_ids=sorted(op_id for op_id, _ in parents),
            domain=numbers.choice(("code", "music")),
            created_at=f"2026-01-02T03:{number // 60 % 60:02d}:{number % 60:02d}+00:00",
        )
        newest[actor] = entry["op_id"], entry["lamport_ts"]
        made.append(entry)
    return made


def recorded(repo: Path, entries: Iterable[OpEntry], session: str = "s", *, checkpoint_after: int = 0) -> Path:
    """Put entries into a session, with a checkpoint after the first so many; return the log's path."""
    written = list(entries)
    with OpLog(repo, session) as log:
        log.append_many(written[:checkpoint_after])
        if checkpoint_after:
            log.checkpoint("snapshot <b>1</b>")
        log.append_many(written[checkpoint_after:])
        return log.path


def report(repo: Path, file_format: str = "html", *options: object, session: str = "s") -> Path:
    """Run the command; return the file it wrote."""
    output = repo / f"report.{file_format}"
    result = muse("report", session, "-o", output, "--format", file_format, "--repo", repo, *options)
    assert result.exit_code == 0, result.output
    return output


def data(repo: Path, *options: object) -> dict[str, Any]:
    """The data in the page of a session, found and read as a plain reader would."""
    text = report(repo, "html", *options).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split('id="data">')[1].split("</script>")[0])
    return found


def gathered(repo: Path, commits: Sequence[Committed] = (), session: str = "s") -> Gathered:
    """What is gathered of a session with these commits."""
    with OpLog(repo, session) as log:
        return gather(log, step=lambda _: lambda _done, _all: None, commits=Commits(log, commits), check=False)


def data_with(repo: Path, commits: Sequence[Committed]) -> dict[str, Any]:
    """The data of the page of a session with these commits."""
    return page_data(gathered(repo, commits), made_at="", version="")


def evenly(ops: int, *, actors: int = 3, domains: int = 2) -> list[Any]:
    """Ops at the timestamps 1, 2, 3, …, their actors and domains in turn, each depending on the one before."""
    return [
        making.entry(
            number,
            actor_id=f"actor {number % actors}",
            domain=f"domain {number % domains}",
            parent_op_ids=[making.op_id(number - 1)] if number > 1 else [],
        )
        for number in range(1, ops + 1)
    ]


def committed(repo: Path, entries: Sequence[OpEntry], *ends: int) -> list[str]:
    """Record entries in a git repository, with a commit up to each of the ends; return the ids of the commits."""
    git(repo, "init", "-q")
    made = []
    with OpLog(repo, "s") as log:
        for start, end in pairwise((0, *ends)):
            log.append_many(entries[start:end])
            made.append(commit(log, GitTarget(repo)))
        log.append_many(entries[ends[-1] :])
    return [each.commit_id for each in made if each is not None]


def made_by_hand(path: Path, ids: list[str]) -> list[Committed]:
    """A commit of each id, of one line of the log after the other, by what a plain scan says of them."""
    scanned = plain_scan.scan_file(path)
    made: list[Committed] = []
    for at, (commit_id, entry, span) in enumerate(zip(ids, scanned.entries, scanned.spans, strict=False)):
        cut = Cut("s", span.byte_offset + span.length + 1, at + 1)
        counts = {entry["actor_id"]: 1}, {entry["domain"]: 1}
        made.append(Committed(commit_id, "s", ids[at - 1] if at else None, span.byte_offset, cut, "", *counts, ids[at]))
    return made


def changed_at_once(entries: list[OpEntry], all_entries: list[OpEntry]) -> dict[str, set[str]]:
    """By address, the actors of any two ops there of which neither depends on the other, among all entries."""
    graph = PlainGraph(map(dict, all_entries))
    found: dict[str, set[str]] = {}
    for one, other in combinations(entries, 2):
        address, actors = one["domain_op"]["address"], {one["actor_id"], other["actor_id"]}
        is_apart = len(actors) == 2 and other["op_id"] in graph.concurrent(one["op_id"])
        if is_apart and other["domain_op"]["address"] == address:
            found.setdefault(address, set()).update(actors)
    return found


def damage_line(path: Path, number: int) -> None:
    """Make one line of a log no entry any more, without moving those after it."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = b"?" * (len(lines[number]) - 1) + b"\n"
    path.write_bytes(b"".join(lines))
