"""What the sweeps work on: a log of real entries, its index in every table, its checkpoint."""

from __future__ import annotations

import hashlib
import itertools
import json
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from muse.core.op_log import OpEntry, OpLog
from tests import making, plain_scan, small_index
from tests.making import entry, op_id
from tests.test_traces import trace_entries

RAM = Path("/dev/shm")


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory where there is one: the sweeps are about bytes, not about disks."""
    return tempfile.TemporaryDirectory(prefix="muse-sweep-", dir=RAM if RAM.is_dir() else None)


@dataclass(frozen=True)
class Material:
    """The bytes of a session's three files."""

    log: bytes
    index: bytes
    older_index: bytes
    """The index as it was some entries before."""
    other_index: bytes
    """An index of the same log whose segments have other boundaries."""
    checkpoint: bytes
    covered: int
    """Entries below the checkpoint."""
    real: bool
    """Whether the entries are from the recorded traces."""

    def put(self, repo: Path, **changes: bytes | None) -> Path:
        """Lay the session out in `repo`, some files changed or (None) left out; the log's path."""
        files: dict[str, bytes | None] = {
            "ops.jsonl": self.log,
            "index.db": self.index,
            "checkpoint.json": self.checkpoint,
            **{name.replace("_", "."): data for name, data in changes.items()},
        }
        path = making.log_path(repo)
        path.parent.mkdir(parents=True, exist_ok=True)
        for name in ("index.db-wal", "index.db-shm", "index.db-journal", "index.db.new"):
            with suppress(FileNotFoundError):
                path.with_name(name).unlink()
        for name, data in files.items():
            # Unlinked first: an index that is another file is another inode, as after a restore.
            with suppress(FileNotFoundError):
                path.with_name(name).unlink()
            if data is not None:
                path.with_name(name).write_bytes(data)
        return path


def digest_of(record: dict[str, Any]) -> str:
    """The record_digest of a checkpoint, by docs/format.md."""
    bare = {name: value for name, value in record.items() if name != "record_digest"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _at_a_fixed_time(data: bytes) -> bytes:
    """A checkpoint as it would be had it been made at a certain time: a seed has to mean the same bytes each time."""
    record = {**json.loads(data), "created_at": "2026-01-02T03:04:05.678901+00:00"}
    return json.dumps({**record, "record_digest": digest_of(record)}, indent=2).encode() + b"\n"


def some_entries(count: int) -> tuple[list[OpEntry], bool]:
    """So many entries: of two recorded traces where they are, else made up; with intents and reservations, and some
    with a parent that is missing.
    """
    if making.TRACES.is_dir():
        both = zip(
            trace_entries(making.TRACES, "music-mozart-k465"),
            trace_entries(making.TRACES, "code-friendsforever"),
            strict=False,
        )
        found = list(itertools.islice(itertools.chain.from_iterable(both), count))
    else:
        found = [entry(number, actor_id=f"actor-{number % 7}") for number in range(1, count + 1)]
        for number, each in enumerate(found):
            each["domain"] = ("music", "code")[number // 5 % 2]
            each["parent_op_ids"] = [op_id(number)] if number else []
    for number, each in enumerate(found):
        if number % 17 == 3:
            each["parent_op_ids"] = [*each["parent_op_ids"], op_id(900_000 + number)]
        each["intent_id"] = ("", "", "plan-1", "plan-2", "")[number // 11 % 5]
        each["reservation_id"] = ("", "bars 1-8", "", "bars 9-16")[number // 23 % 4]
    return found, making.TRACES.is_dir()


def _foreign(entries: list[OpEntry]) -> bytes:
    """What else stands in a log: blank and damaged lines, NULs, a line said twice."""
    return b"\n" + b'{"op_id":"torn\n' + bytes(40) + b"\n" + making.line(entries[0])


@cache
def make(lines: int, segment_lines: int, *, long_batch: int = 0, tail: int = 5, changed_line: bool = False) -> Material:
    """A session of so many entries, indexed with `segments_of` these limits, the last `tail` appended one by one.

    The checkpoint covers two thirds; foreign lines lie in each part. With `changed_line`, the time in one line was
    changed after it was indexed, and the index has seen that.
    """
    entries, real = some_entries(lines)
    covered = lines * 2 // 3
    with quick_folder() as name, small_index.segments_of(segment_lines, long_batch=long_batch):
        repo = Path(name)
        with OpLog(repo, "s") as log:
            _append(log, entries[: covered // 2], segment_lines)
            if changed_line:
                _change(log.path, making.line(entries[2]))
                log.rebuild_index()
            making.add_bytes(log.path, _foreign(entries))
            _append(log, entries[covered // 2 : covered], segment_lines)
            log.checkpoint("one")
            _append(log, entries[covered : (covered + lines) // 2], segment_lines)
        older = log.path.with_name("index.db").read_bytes()
        with OpLog(repo, "s") as log:
            _append(log, entries[(covered + lines) // 2 : -tail], segment_lines)
            making.add_bytes(log.path, _foreign(entries))
            _append(log, entries[-tail:-2], 1)
            making.add_bytes(log.path, making.line(entries[-3]))
            _append(log, entries[-2:], 1)
            len(log)
        files = {path.name: path.read_bytes() for path in log.folder.iterdir()}
        with small_index.segments_of(segment_lines * 3 // 2), OpLog(repo, "s") as log:
            log.rebuild_index()
        other = log.path.with_name("index.db").read_bytes()
    record = _at_a_fixed_time(files["checkpoint.json"])
    assert set(files) == {"ops.jsonl", "index.db", "checkpoint.json"}
    assert len(plain_scan.scan(files["ops.jsonl"]).entries) == lines
    return Material(files["ops.jsonl"], files["index.db"], older, other, record, covered, real)


def _change(path: Path, line: bytes) -> None:
    """Change the year in one line of a log."""
    data = path.read_bytes()
    start = data.index(json.loads(line)["op_id"].encode())
    year = data.index(b'"created_at":"', start) + len(b'"created_at":"')
    path.write_bytes(data[:year] + b"1999" + data[year + 4 :])


def _append(log: OpLog, entries: list[OpEntry], batch: int) -> None:
    for start in range(0, len(entries), batch):
        log.append_many(entries[start : start + batch])
