"""Write the golden session of the current version: `python -m tests.golden.make FOLDER`.

It was run once, by the first version, into tests/golden/first-version. Later versions must read what it wrote
(tests/test_golden.py); when the format changes, add a folder, never rewrite one.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from muse.core.op_log import OpLog
from tests import making

SESSION = "golden"
CHECKPOINTED = 14


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


if __name__ == "__main__":
    make(Path(sys.argv[1]))
