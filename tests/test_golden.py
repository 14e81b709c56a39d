"""Sessions that earlier versions wrote must be read for ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from muse.core.op_log import OpLog, describe_sessions
from tests import making, plain_scan
from tests.golden.make import CHECKPOINTED, SESSION, make
from tests.plain_scan import exact, exact_list

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if (path / "checkpoint.json").exists())


def test_the_first_version_left_its_golden_session() -> None:
    """The files are part of the tests, with an unfinished line, damage, a conflict and a foreign line in them."""
    assert "first-version" in VERSIONS
    scanned = plain_scan.scan_file(GOLDEN / "first-version" / "ops.jsonl")
    assert (len(scanned.entries), len(scanned.conflicts), scanned.blank_lines) == (19, 1, 1)
    assert len(scanned.damaged) == 3
    assert scanned.tail == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_session_is_read_as_a_plain_scan_reads_it(repo: Path, version: str) -> None:
    """Entries, replay, delta, summary and clock of the copied files are what the bytes say, and work goes on."""
    folder = making.log_path(repo, SESSION).parent
    folder.mkdir(parents=True)
    for name in ("ops.jsonl", "checkpoint.json"):
        shutil.copyfile(GOLDEN / version / name, folder / name)
    record = json.loads((GOLDEN / version / "checkpoint.json").read_bytes())
    assert record["op_count"] == CHECKPOINTED
    with OpLog(repo, SESSION) as log:
        scanned = making.assert_same_as_scan(log, log.path)
        rest = scanned.entries[CHECKPOINTED:]
        assert log.read_checkpoint() == record
        assert exact_list(log.replay_since_checkpoint()) == exact_list(rest)
        for domain in ("music", "code"):
            assert exact(log.to_structured_delta(domain)) == exact(plain_scan.delta(rest, domain))
        (summary,) = describe_sessions(repo)
        assert (summary.ops, summary.pending, summary.problem) == (len(scanned.entries), len(rest), None)
        assert {each.kind for each in log.verify().findings if each.severity == "damage"} <= {
            *("damaged-line", "torn-tail", "conflicting-duplicate"),
        }
        assert log.next_lamport_ts() == plain_scan.highest_lamport_ts(scanned.entries) + 1
        log.append(making.entry(900))
        assert log.checkpoint("next")["op_count"] == len(scanned.entries) + 1


def test_the_generator_still_makes_such_a_session(tmp_path: Path) -> None:
    """What make.py writes today differs from the first version's in fresh op_ids and times only."""
    make(tmp_path / "today")
    today = plain_scan.scan_file(tmp_path / "today" / "ops.jsonl")
    first = plain_scan.scan_file(GOLDEN / "first-version" / "ops.jsonl")
    fresh = ("op_id", "created_at", "parent_op_ids")
    strip = [[{k: v for k, v in each.items() if k not in fresh} for each in found.entries] for found in (today, first)]
    assert exact_list(strip[0]) == exact_list(strip[1])
    assert [span.length for span in today.spans] == [span.length for span in first.spans]
