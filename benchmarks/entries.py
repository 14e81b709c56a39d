"""The input: entries of about 380 bytes a line, from real editing traces where they lie beside the project.

The traces (`../shared/data`) give actor, domain and operation; content ids are cut to 16 digits, which
brings a line with one parent to that size. Code and music take turns. Without the traces the same
shape is made up. Every entry has its predecessor as parent, so that parents are validated too.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from muse.core.op_log import OpEntry, make_op_entry

PROJECT = Path(__file__).resolve().parents[1]
TRACES = PROJECT.parent / "shared" / "data"
# The fourth trace is one actor's typing once more, and ten times as long.
_CODE = ("code-friendsforever",)
_MUSIC = ("music-mozart-k465", "music-lieder-revisions")

LINE_BYTES = 380
RARE = "rare"
"""The actor of one entry in a hundred, and the domain of another one."""
LATE = "late"
"""The actor of the last hundred entries of a session, and of none before."""
LATE_ENTRIES = 100


class Edit(NamedTuple):
    """Who did what; without the envelope that each entry gets anew."""

    actor: str
    domain: str
    op: dict[str, Any]


def entries(count: int, *, first_lamport_ts: int = 1) -> Iterator[OpEntry]:
    """`count` fresh entries, each the child of the one before."""
    parents: list[str] = []
    for number, edit in enumerate(islice(cycle(_edits()), count)):
        entry = make_op_entry(edit.actor, edit.domain, edit.op, first_lamport_ts + number, parent_op_ids=parents)
        parents = [entry["op_id"]]
        yield entry


def session_entries(count: int) -> Iterator[OpEntry]:
    """The entries of a whole session, with an actor and a domain to be found in it that are rare."""
    for number, entry in enumerate(entries(count)):
        if number >= count - LATE_ENTRIES:
            entry["actor_id"] = LATE
        elif number % 100 == 50:
            entry["actor_id"] = RARE
        elif number % 100 == 25:
            entry["domain"] = RARE
        yield entry


def source() -> str:
    """Where the entries come from, for the report."""
    return "editing traces" if _traces_are_here() else "made up (no ../shared/data)"


def _traces_are_here() -> bool:
    return all((TRACES / f"{name}.jsonl.gz").exists() for name in _CODE + _MUSIC)


@cache
def _edits() -> list[Edit]:
    edits = _from_traces() if _traces_are_here() else _made_up(20_000)
    return [edit._replace(op=_padded(edit)) for edit in edits]


def _from_traces() -> list[Edit]:
    code = [edit for name in _CODE for edit in _trace(name)]
    music = [edit for name in _MUSIC for edit in _trace(name)]
    return [edit for pair in zip(code, music, strict=False) for edit in pair]


def _trace(name: str) -> Iterator[Edit]:
    with gzip.open(TRACES / f"{name}.jsonl.gz") as file:
        for line in file:
            edit = orjson.loads(line)
            yield Edit(edit["actor_id"], edit["domain"], _with_short_ids(edit["domain_op"]))


def _with_short_ids(op: dict[str, Any]) -> dict[str, Any]:
    return {name: value[:16] if name.endswith("content_id") else value for name, value in op.items()}


def _made_up(count: int) -> list[Edit]:
    kinds = ("insert", "insert", "insert", "delete")
    return [
        Edit(
            f"{'music' if number % 2 else 'code'}-session/agent-{number // 2 % 20}",
            "music" if number % 2 else "code",
            {
                "op": kinds[number // 2 % len(kinds)],
                "address": f"note:{number}" if number % 2 else "document.md",
                "position": number,
                "content_id": hashlib.sha256(str(number).encode()).hexdigest()[:16],
                "content_summary": f"C4 vel64 @t{number} dur240" if number % 2 else "x",
            },
        )
        for number in range(count)
    ]


def _padded(edit: Edit) -> dict[str, Any]:
    op = dict(edit.op)
    parent = make_op_entry(edit.actor, edit.domain, op, 1_000_000)
    line = orjson.dumps(make_op_entry(edit.actor, edit.domain, op, 1_000_000, parent_op_ids=[parent["op_id"]]))
    missing = LINE_BYTES - len(line) - 1
    if missing > 0 and "content_summary" in op:
        op["content_summary"] += " " * missing
    return op
