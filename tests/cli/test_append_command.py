"""The command `append`."""

from __future__ import annotations

import json
import re
import time
import uuid
from pathlib import Path

import pytest

from tests import children, making, plain_scan
from tests.cli.running import command_line, filled, json_lines, logged, muse

PART = {"actor_id": "ada", "domain": "code", "domain_op": {"op": "insert", "address": "a.py", "position": 0}}


def lines(*values: object) -> bytes:
    """JSON Lines of the values."""
    return b"".join(making.line(value) for value in values)


def test_whole_entries_are_appended_unchanged(repo: Path) -> None:
    """A line with an op_id is an entry: every field arrives as it was, further ones too."""
    entries = [making.entry(1, note="kept"), making.entry(2, lamport_ts=77)]

    result = muse("append", "s", "--repo", repo, stdin=lines(*entries))

    assert result.exit_code == 0
    assert plain_scan.exact_list(logged(repo)) == plain_scan.exact_list(entries)


def test_rest_of_a_partial_line_is_filled_in(repo: Path) -> None:
    """Actor, domain and operation are enough: identity, time and timestamp are given."""
    linked = {**PART, "parent_op_ids": [making.op_id(1)], "intent_id": "i", "reservation_id": "r"}

    assert muse("append", "s", "--repo", repo, stdin=lines(PART, linked)).exit_code == 0

    first, second = logged(repo)
    assert list(first) == list(plain_scan.FIELDS)
    assert uuid.UUID(first["op_id"]).version == 4
    assert first["op_id"] != second["op_id"]
    assert (first["parent_op_ids"], first["intent_id"], first["reservation_id"]) == ([], "", "")
    assert {name: second[name] for name in linked} == linked
    assert 0 < first["lamport_ts"] < second["lamport_ts"]


def test_filled_in_timestamp_is_above_the_whole_entries_before_it(repo: Path) -> None:
    """Lines of both kinds may be mixed: the clock sees each before it fills in the next."""
    muse("append", "s", "--repo", repo, stdin=lines(making.entry(1, lamport_ts=500), PART, PART))

    timestamps = [entry["lamport_ts"] for entry in logged(repo)]
    assert timestamps == sorted(set(timestamps))
    assert timestamps[0] == 500


def test_input_may_come_from_a_file(repo: Path, tmp_path: Path) -> None:
    """FILE is read instead of standard input; more than one batch of it, blank lines passed over."""
    file = tmp_path / "edits.jsonl"
    file.write_bytes(b"\n  \n".join(making.line(entry) for entry in making.entries(2500)))

    result = muse("append", "s", file, "--repo", repo, "--json")

    assert json.loads(result.stdout)["added"] == 2500
    assert [entry["op_id"] for entry in logged(repo)] == [making.op_id(number) for number in range(1, 2501)]


def test_last_line_needs_no_newline(repo: Path) -> None:
    """A file whose last line was not ended is appended whole."""
    assert muse("append", "s", "--repo", repo, stdin=lines(PART, PART).rstrip()).exit_code == 0
    assert len(logged(repo)) == 2


def test_entries_that_are_there_already_are_counted_apart(repo: Path) -> None:
    """Sending the same file twice adds nothing the second time."""
    data = lines(*making.entries(3))
    muse("append", "s", "--repo", repo, stdin=data)

    again = json.loads(muse("append", "s", "--repo", repo, "--json", stdin=data).stdout)

    assert (again["lines"], again["added"], again["already_there"], again["error"]) == (3, 0, 3, None)
    assert len(logged(repo)) == 3


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not json", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"actor_id": "ada", "domain": "code"}', "domain_op"),
        (lines({**PART, "parents": []}).strip(), "parents"),
        (lines({**PART, "lamport_ts": 3}).strip(), "lamport_ts"),
        (lines({**PART, "parent_op_ids": "x"}).strip(), "parent_op_ids"),
        (lines({**PART, "parent_op_ids": ["x"]}).strip(), "parent_op_ids"),
        (lines({**PART, "actor_id": ""}).strip(), "actor_id"),
        (lines({**PART, "domain_op": 3}).strip(), "domain_op"),
        (lines(making.entry(1, lamport_ts=-1)).strip(), "lamport_ts"),
        (lines(making.entry(1, lamport_ts=9, actor_id="another")).strip(), "op_id"),
        (b'{"actor_id": "a", "domain": "d", "domain_op": {"n": 1e999}}', "JSON"),
        (b'{"actor_id": "a", "domain": "d", "domain_op": {"n": 99999999999999999999999}}', "64 bits"),
        (b'{"actor_id": "a", "domain": "d", "domain_op": {"x": 1, "x": 2}}', "twice"),
        (b'{"actor_id": "\xff"}', "JSON"),
    ],
)
def test_bad_line_stops_and_what_came_before_it_stays(repo: Path, bad: bytes, reason: str) -> None:
    """The number of the line and the reason are named, the good lines before it kept and counted."""
    data = lines(making.entry(1), making.entry(2)) + b"\n" + bad + b"\n" + lines(making.entry(3))

    result = muse("append", "s", "--repo", repo, "--json", stdin=data)

    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["lines"], told["added"], told["error"]["line"]) == (2, 2, 4)
    assert reason in told["error"]["reason"]
    assert "line 4: " in result.stderr
    assert "2 good lines" in result.stderr
    assert [entry["op_id"] for entry in logged(repo)] == [making.op_id(1), making.op_id(2)]


def test_bad_first_line_leaves_no_session_behind(repo: Path) -> None:
    """Nothing good, nothing made."""
    assert muse("append", "s", "--repo", repo, stdin=b"{}\n").exit_code == 1
    assert making.tree(repo) == {}


def test_person_is_told_the_counts(repo: Path) -> None:
    """Without --json there is a table."""
    result = muse("append", "s", "--repo", repo, stdin=lines(PART, PART))

    assert re.search(r"^s +2 +2 +0\s*$", result.stdout, re.MULTILINE)


@pytest.mark.process
def test_slow_input_is_appended_as_it_comes(repo: Path) -> None:
    """A line sent through a pipe is in the log although the pipe stays open."""
    with children.started(command_line("append", "s", "--repo", repo, "--json")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        children.tell(process, lines(making.entry(1)) + b'{"the next li')
        deadline = time.monotonic() + 30
        while not making.log_bytes(repo):
            assert time.monotonic() < deadline, "the line does not arrive"
            time.sleep(0.01)
        process.stdin.close()
        told = json_lines(process.stdout.read())[0]
        assert process.wait(timeout=30) == 1
    assert (told["added"], told["error"]["line"]) == (1, 2)


def test_session_that_exists_goes_on(repo: Path) -> None:
    """Timestamps filled in are above those that are there."""
    filled(repo, [making.entry(5, lamport_ts=1000)])

    muse("append", "s", "--repo", repo, stdin=lines(PART))

    assert logged(repo)[-1]["lamport_ts"] > 1000


def test_missing_file_is_wrong_usage(repo: Path) -> None:
    """A FILE that is not there is named, with exit code 2."""
    result = muse("append", "s", repo / "nothing.jsonl", "--repo", repo)

    assert result.exit_code == 2
    assert "nothing.jsonl" in result.stderr
