"""Other programs: a log written by plain json is read, and one written here is read by plain json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list

TEXTS = [
    "plain",
    "é",
    "\u2028\u2029",
    "\U0001d11e",
    "\x00\x1f",
    '"\\/',
    "\ufeff",
    "e\u0301",
    "\U0010ffff",
    "",
]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_log_that_plain_json_dumps_wrote_is_read(repo: Path, log: OpLog, ascii_only: bool, end: str) -> None:
    """Default separators, ASCII escapes, CRLF: every entry is there, can be found, and can be added to."""
    made = [entry(number, domain_op={"op": "insert", text: [text, number]}) for number, text in enumerate(TEXTS, 1)]
    data = "".join(json.dumps(each, ensure_ascii=ascii_only) + end for each in made)
    making.add_bytes(log.path, data.encode())
    assert exact_list(log) == exact_list(made)
    assert log.append(made[0]) is False
    log.append(entry(90))
    log.checkpoint("one")
    log.append(entry(91))
    making.assert_same_as_scan(log, log.path)
    assert [each["op_id"] for each in log.replay_since_checkpoint()] == [op_id(91)]
    assert log.verify().ok


def test_a_log_written_here_is_read_by_plain_json_line_by_line(repo: Path, log: OpLog) -> None:
    """json.loads over each line of a text file gives exactly the entries, one line for each."""
    made = [entry(number, domain_op={"op": "insert", text: text}) for number, text in enumerate(TEXTS, 1)]
    log.append(made[0])
    log.append_many(made[1:])
    with making.log_path(repo).open(encoding="utf-8", newline="\n") as file:
        read = [json.loads(each) for each in file]
    assert exact_list(read) == exact_list(made)


def test_another_writer_and_this_one_take_turns(repo: Path, log: OpLog) -> None:
    """Lines of a foreign program between our own, batches and single ones, are all there in the file's order."""
    for number in range(1, 60, 3):
        log.append(entry(number))
        making.add_bytes(log.path, making.line(entry(number + 1)))
        log.append_many(entries(1, start=number + 2))
    scanned = making.assert_same_as_scan(log, log.path)
    assert scanned.op_ids == [op_id(number) for number in range(1, 61)]
    assert plain_scan.fault(scanned.entries[0]) is None


def test_another_domain_name_needs_nothing_of_the_engine(log: OpLog) -> None:
    """A domain nobody has heard of is recorded, counted and collapsed like any other."""
    log.record("ada", "genome sequencing/ゲノム", {"op": "splice", "at": [1, 2]})
    delta = log.to_structured_delta("genome sequencing/ゲノム")
    assert (delta["summary"], len(delta["ops"])) == ("1 splice", 1)
