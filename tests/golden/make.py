"""Write golden files.

    python -m tests.golden.make           # tests/golden/index: a log, and its index as text
    python -m tests.golden.make FOLDER    # a golden session of the current version

The second was run once, by the first version, into tests/golden/first-version. Later versions must read what it wrote
(tests/test_golden.py); when the format changes, add a folder, never rewrite one.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from muse.core.checkpoint.record import write_record
from muse.core.index.blocks.op_id_keys import OpIdHash
from muse.core.index.evidence import record_checkpoint
from muse.core.op_log import OpLog
from tests import making
from tests.golden.index_dump import dump
from tests.making import entry, line, op_id
from tests.small_index import limits

SESSION = "golden"
CHECKPOINTED = 14

INDEX = Path(__file__).parent / "index"
LARGE_RUN_SEGMENTS = 4
PART_BITS = 7
FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""The secret by which the index hashes op_ids: drawn anew for each index but for this one."""
CHANGED = (b'"content_summary": "C4"', b'"content_summary": "D4"')
"""What the first line holds now, and what it held when it was indexed first."""

AT = "2026-01-02T03:04:05+00:00"
"""When the checkpoint was made."""


def make(target: Path) -> None:
    """Record a session with everything the format can hold, and copy its two files to `target`."""
    with tempfile.TemporaryDirectory() as name:
        with OpLog(Path(name), SESSION) as log:
            first = log.record("ada", "music", {"op": "insert", "address": "note:1", "position": None})
            log.record(
                "bob",
                "music",
                {"op": "mutate", "fields": {"tie": {"old": None, "new": [True, False]}}},
                parent_op_ids=[first["op_id"]],
                intent_id="intent-1",
                reservation_id="reservation-1",
            )
            log.append(
                making.entry(
                    3,
                    actor_id="é\u2028\U0001d11e",
                    domain_op={
                        "op": "numbers",
                        "v": [0, -0.0, 1.0, 0.1, 1e300, 5e-324, 2**63 - 1, -(2**63)],
                        "": {},
                    },
                )
            )
            log.append_many(making.entries(10, start=10))
            making.add_bytes(log.path, making.line(making.entry(4, further={"key": ["kept"]})).replace(b": ", b" :  "))
            making.add_bytes(log.path, b"\x00\x00\x00\n\nnull\n" + making.line(making.entry(10, actor_id="eve")))
            making.add_bytes(log.path, making.line(making.entry(5))[:80])
            record = log.checkpoint("snapshot-1")
            assert record["op_count"] == CHECKPOINTED, record
            log.append(making.entry(30, lamport_ts=0, domain="code", domain_op={"op": "late"}))
            log.record("ada", "code", {"op": "insert", "text": "x" * 300})
            log.append_many(making.entries(3, start=40))
        target.mkdir(parents=True)
        for file in ("ops.jsonl", "checkpoint.json"):
            shutil.copyfile(making.log_path(Path(name), SESSION).with_name(file), target / file)


# -- an index as text ---------------------------------------------------------------------------------------------


def index_log() -> bytes:
    """A log of 39 lines, of which five make a segment: each segment shows something else."""
    segments = [
        [  # Links within the segment, intents, a line separator that does not separate lines.
            line(entry(1, intent_id="verse")),
            line(entry(2, actor_id="bob", parent_op_ids=[op_id(1)])),
            line(entry(3, domain="code", parent_op_ids=[op_id(1), op_id(2)])),
            line(entry(4, actor_id="zo\u00eb\u2028", intent_id="verse", reservation_id="bar:1")).replace(
                b"\\u2028", "\u2028".encode()
            ),
            line(entry(5, actor_id="bob", intent_id="chorus")),
        ],
        [  # Lines that are not entries, a link to another segment, a parent that never arrives.
            line(entry(6, parent_op_ids=[op_id(2), op_id(999)])),
            b"\n",
            b"null\n",
            line(entry(2, actor_id="bob", parent_op_ids=[op_id(1)])),
            line(entry(7, domain="code")),
        ],
        [  # Timestamps that are too far apart for four bytes.
            line(entry(8)),
            line(entry(9, lamport_ts=2**53 - 1)),
            *(line(entry(number, domain="code", reservation_id="bar:2")) for number in (10, 11, 12)),
        ],
        [  # A parent behind its child, and one two segments before.
            line(entry(13, parent_op_ids=[op_id(15)])),
            line(entry(14, actor_id="eve", parent_op_ids=[op_id(7)])),
            *(line(entry(number, actor_id="eve")) for number in (15, 16, 17)),
        ],
        [  # A parent that arrives when these lines are folded already.
            line(entry(18, parent_op_ids=[op_id(23)])),
            *(line(entry(number)) for number in (19, 20, 21, 22)),
        ],
        [b"\n", b"\r\n", b" \n", b"\t\n", b"\n"],  # Not one entry.
        [line(entry(number, intent_id="coda", parent_op_ids=[op_id(number - 1)])) for number in range(23, 28)],
    ]
    tail = [
        line(entry(28, actor_id="bob", parent_op_ids=[op_id(1), op_id(27)], intent_id="coda", reservation_id="bar:3")),
        line(entry(29))[:40] + b"\x00\n",
        line(entry(28, actor_id="mallory")),
        line(entry(30, domain="code")),
    ]
    return b"".join(each for lines in (*segments, tail) for each in lines)


def index_in(repo: Path) -> Path:
    """Make an index of that log in an empty repository, with small limits and with evidence; where it lies."""
    data = index_log()
    path = making.log_path(repo, SESSION)
    # Two runs become one, and four segments are a large run: so seven of them show runs of every kind.
    small = {"SEGMENT_LINES": 5, "LONG_BATCH_LINES": 5, "PAGE_KEYS": 8, "_PART_BITS": PART_BITS}
    more = {"FAN_OUT": 2, "FILTERED_SEGMENTS": LARGE_RUN_SEGMENTS, "random_hash": lambda: OpIdHash(FACTOR)}
    with limits(**small, **more):
        making.add_bytes(path, data.replace(*CHANGED, 1))
        with OpLog(repo, SESSION) as log:
            len(log)
        path.write_bytes(data)
        with OpLog(repo, SESSION) as log:
            log.rebuild_index()
            record = write_record(log.folder / "checkpoint.json", {**log.checkpoint("snapshot-1"), "created_at": AT})
    with closing(sqlite3.connect(path.with_name("index.db"))) as db, db:
        record_checkpoint(db, len(data), record)
    return path.with_name("index.db")


def make_index(target: Path) -> None:
    """Write that log to `target`, and its index as text."""
    target.mkdir(parents=True, exist_ok=True)
    (target / "ops.jsonl").write_bytes(index_log())
    with tempfile.TemporaryDirectory() as name:
        text = dump(index_in(Path(name)), LARGE_RUN_SEGMENTS)
    (target / "dump.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        make(Path(sys.argv[1]))
    else:
        make_index(INDEX)
