"""Sessions to make reports of, and what a plain reader of their logs says they hold."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from muse.cli import main
from muse.commit import Committed, GitTarget, commit
from muse.core.op_log import Cut, OpEntry, OpLog
from tests import making, plain_scan
from tests.commit.targets import git

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


def report(repo: Path, output: Path, *options: str, session: str = "s") -> Path:
    """Run the command; return the file it wrote."""
    arguments = ["op-log", "report", session, "-o", str(output), "--repo", str(repo), *options]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return output


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


def committed(repo: Path, *batches: Iterable[OpEntry], session: str = "s") -> list[str]:
    """Record one batch after the other in a git repository, each as one commit; return the ids of the commits."""
    if not (repo / ".git").exists():
        git(repo, "init", "-q")
    with OpLog(repo, session) as log:
        made = []
        for batch in batches:
            log.append_many(batch)
            made.append(commit(log, GitTarget(repo)))
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


def ancestors(entries: list[OpEntry]) -> dict[str, set[str]]:
    """What each op depends on, followed step by step."""
    parents = {entry["op_id"]: entry["parent_op_ids"] for entry in entries}
    found: dict[str, set[str]] = {op_id: set() for op_id in parents}
    for op_id, before in found.items():
        todo = list(parents[op_id])
        while todo:
            if (one := todo.pop()) not in before:
                before.add(one)
                todo += parents.get(one, [])
    return found


def embedded(page: Path) -> dict[str, Any]:
    """The data in a page, found and read as a plain reader would."""
    text = page.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split('id="data">')[1].split("</script>")[0])
    return found


def no_step(_what: str) -> Any:
    """Progress that nobody looks at."""
    return lambda _done, _total: None
