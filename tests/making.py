"""What the tests make: entries, repositories, foreign lines."""

from __future__ import annotations

import json
import random
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

from muse.core.op_log import LostOperation, OpEntry, OpLog, VerifyReport
from tests import plain_scan

PROJECT = Path(__file__).resolve().parents[1]
TRACES = PROJECT.parent / "shared" / "data"

SOME_OP = {"op": "insert", "address": "note:1", "position": None, "content_id": "c1", "content_summary": "C4"}


@cache
def _numbered_op_id(number: int) -> str:
    # Kept, as to seed a generator takes longer than all else that an entry is made of.
    return str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4))


def op_id(number: int | None = None) -> str:
    """A canonical UUID4; the same one for the same number."""
    return str(uuid.uuid4()) if number is None else _numbered_op_id(number)


def entry(number: int | None = None, **changes: Any) -> OpEntry:
    """A valid entry, made without the engine, with some fields changed (or added)."""
    fields: dict[str, Any] = {
        "op_id": op_id(number),
        "actor_id": "ada",
        "lamport_ts": number or 0,
        "parent_op_ids": [],
        "domain": "music",
        "domain_op": dict(SOME_OP),
        "created_at": "2026-01-02T03:04:05.678901+00:00",
        "intent_id": "",
        "reservation_id": "",
    }
    return cast("OpEntry", {**fields, **changes})


def entries(count: int, start: int = 1, **changes: Any) -> list[OpEntry]:
    """`count` different entries with rising timestamps, two actors and two domains in turn."""
    return [
        entry(
            number,
            **{
                "actor_id": ("ada", "bob")[number % 2],
                "domain": ("music", "code")[number // 2 % 2],
                "domain_op": {**SOME_OP, "op": ("insert", "delete", "move")[number % 3], "position": number},
                **changes,
            },
        )
        for number in range(start, start + count)
    ]


def line(value: object) -> bytes:
    """A line of the log as plain Python writes it: default separators, ASCII escapes, a newline."""
    return json.dumps(value).encode() + b"\n"


def add_bytes(path: Path, data: bytes) -> None:
    """Append bytes to a log as a foreign program would, folders and all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


def log_path(repo: Path, session: str = "s") -> Path:
    """Where the log of a session with a safe name lies, by the contract."""
    return repo / ".muse" / "op_log" / session / "ops.jsonl"


def log_bytes(repo: Path, session: str = "s") -> bytes:
    """All bytes of the log; none when there is no log."""
    path = log_path(repo, session)
    return path.read_bytes() if path.exists() else b""


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, and every folder with None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def drop_index(repo: Path, session: str = "s") -> None:
    """Delete the sidecar index with its WAL, as anybody may at any moment."""
    for name in ("index.db", "index.db-wal", "index.db-shm", "index.db-journal"):
        log_path(repo, session).with_name(name).unlink(missing_ok=True)


@contextmanager
def fresh_repo() -> Iterator[Path]:
    """An empty repository folder, for Hypothesis examples that can't share the `repo` fixture."""
    with tempfile.TemporaryDirectory(prefix="muse-test-") as name:
        yield Path(name)


def answers(log: OpLog) -> dict[str, Any]:
    """Everything the index answers about a log, to be compared before and after."""
    actors, domains = log.actors(), log.domains()
    return {
        "entries": plain_scan.exact_list(log),
        "length": len(log),
        "actors": actors,
        "domains": domains,
        "by actor": {name: plain_scan.exact_list(log.query(actor_id=name)) for name in sorted(actors)},
        "by domain": {name: log.count(domain=name) for name in sorted(domains)},
        "highest": max((found["lamport_ts"] for found in log.query()), default=0),
    }


def assert_same_as_scan(log: OpLog, path: Path) -> plain_scan.PlainScan:
    """Compare every whole-log answer with an independent scan of its bytes, and return that scan."""
    expected = plain_scan.scan_file(path)
    exactly = plain_scan.exact_list(expected.entries)
    assert plain_scan.exact_list(log.read_all()) == exactly
    assert plain_scan.exact_list(log) == exactly
    assert plain_scan.exact_list(log.query()) == exactly
    assert len(log) == log.count() == len(expected.entries)
    assert log.actors() == plain_scan.tally(expected.entries, "actor_id")
    assert log.domains() == plain_scan.tally(expected.entries, "domain")
    for wanted in expected.entries[:3] + expected.entries[-3:]:
        found = log.get(wanted["op_id"])
        assert found is not None
        assert plain_scan.exact(found) == plain_scan.exact(wanted)
    return expected


def line_at(path: Path, number: int) -> bytes:
    """One line of a log by its number, with its newline."""
    return path.read_bytes().splitlines(keepends=True)[number]


def places(report: VerifyReport, *kinds: str) -> set[int]:
    """The byte offset of every line that findings of these kinds are about; one finding may be about several."""
    found = [each for each in report.findings if each.kind in kinds]
    lines = {int(member.partition("+")[0]) for each in found if not each.operations for member in each.members}
    return lines | {operation.byte_offset for each in found for operation in each.operations}


def lost(report: VerifyReport) -> list[LostOperation]:
    """Every operation that a report says is lost."""
    return [each for found in report.findings for each in found.operations]


def assert_damage_told(report: VerifyReport, scanned: plain_scan.PlainScan) -> None:
    """Each damaged line of a scan has a finding, its own or that of the operation that it held; and no other line."""
    spans = {span.byte_offset: span.byte_offset + span.length + 1 for span, _ in scanned.damaged}
    told = places(report, "damaged-line")
    assert told <= spans.keys()
    places_held = [(each.byte_offset, each.byte_offset + each.length) for each in lost(report)]
    held = {at for at, end in spans.items() if any(start < end and at < stop for start, stop in places_held)}
    assert told | held == spans.keys()
