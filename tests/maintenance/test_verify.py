"""verify: each kind of finding, where it must be found, with place and reason, and none where all is well."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import Finding, OpLog, VerifyReport
from tests import making, plain_scan
from tests.making import entries, entry, line, op_id


def kinds(report: VerifyReport) -> dict[str, int]:
    """How many findings there are of each kind, counted from the findings."""
    return plain_scan.tally([{"kind": each.kind} for each in report.findings], "kind")


def only(report: VerifyReport, kind: str) -> Finding:
    """The one finding of a kind."""
    (finding,) = [each for each in report.findings if each.kind == kind]
    assert finding.reason
    assert finding.remedy
    return finding


def test_a_sound_log_has_no_findings(repo: Path, log: OpLog) -> None:
    """Appends, batches, checkpoints, merges and reopening leave nothing to find."""
    first = log.record("ada", "music", {"op": "insert"})
    log.record("bob", "music", {"op": "insert"}, parent_op_ids=[first["op_id"]])
    log.append_many(entries(20, start=10))
    log.checkpoint("one")
    with OpLog(repo, "other") as other:
        other.append_many(entries(5, start=60))
        log.merge(other)
    report = log.verify()
    assert report.ok
    assert report.findings == ()
    assert not any(report.counts.values())
    assert (report.session_id, report.log_path) == ("s", str(log.path))
    assert report.size_bytes == len(making.log_bytes(repo))
    assert report.entries == report.lines == 27
    assert (report.blank_lines, report.pending_tail_bytes) == (0, 0)
    assert report.checkpoint == log.read_checkpoint()


def test_a_session_that_does_not_exist_is_sound(repo: Path) -> None:
    """Nothing there, nothing wrong, nothing made."""
    with OpLog(repo, "s") as log:
        report = log.verify()
    assert report.ok
    assert (report.entries, report.size_bytes, report.findings) == (0, 0, ())
    assert making.tree(repo) == {}


def test_damaged_lines_are_found_with_place_length_and_reason(log: OpLog) -> None:
    """Each damaged line is one finding of severity "damage" in file order."""
    data = line(entry(1)) + b"null\n\n" + line(entry(2))[:30] + b"\n\n" + b"\x00" * 100 + b"\n" + line(entry(3))
    making.add_bytes(log.path, data)
    report = log.verify()
    scanned = plain_scan.scan(data)
    assert not report.ok
    found = [each for each in report.findings if each.severity == "damage"]
    assert [each.byte_offset for each in found] == [span.byte_offset for span, _ in scanned.damaged]
    for each, (span, _) in zip(found, scanned.damaged, strict=True):
        assert each.length in {span.length, span.length + 1}
        assert each.kind in {"damaged-line", "torn-tail"}
        assert each.reason
    assert len({each.length == span.length for each, (span, _) in zip(found, scanned.damaged, strict=True)}) == 1
    assert report.entries == 2
    assert report.blank_lines == 2
    assert sum(report.counts.get(kind, 0) for kind in ("damaged-line", "torn-tail")) == 3


def test_an_unfinished_last_line_is_reported_as_pending(log: OpLog) -> None:
    """The bytes after the last newline are counted, whatever they hold."""
    log.append(entry(1))
    making.add_bytes(log.path, line(entry(2))[:44])
    report = log.verify()
    assert report.pending_tail_bytes == 44
    assert report.entries == 1


def test_a_repeated_op_is_a_note_and_a_conflict_is_damage(log: OpLog) -> None:
    """The same line again harms nobody; the same op_id with other content is a contradiction."""
    data = [line(entry(1)), line(entry(2)), line(entry(1)), line(entry(2, actor_id="eve")), line(entry(3))]
    making.add_bytes(log.path, b"".join(data[:3]))
    report = log.verify()
    assert report.ok
    assert kinds(report) == {"duplicate": 1}
    again = only(report, "duplicate")
    assert (again.severity, again.byte_offset) == ("note", sum(map(len, data[:2])))
    assert again.reason
    making.add_bytes(log.path, b"".join(data[3:]))
    report = log.verify()
    assert not report.ok
    conflict = only(report, "conflicting-duplicate")
    assert (conflict.severity, conflict.byte_offset) == ("damage", sum(map(len, data[:3])))
    assert conflict.reason
    assert report.entries == 3


def test_a_parent_that_is_not_in_the_log_is_a_note(log: OpLog) -> None:
    """A merge may bring the parent later, so it is no damage; a parent further down the file is there."""
    log.append_many(
        [
            entry(5, parent_op_ids=[op_id(9)]),
            entry(6, parent_op_ids=[op_id(5), op_id(404)]),
            entry(9, lamport_ts=1),
        ]
    )
    report = log.verify()
    missing = only(report, "missing-parent")
    assert (missing.severity, missing.byte_offset) == ("note", len(making.line_at(log.path, 0)))
    assert op_id(404) in missing.reason
    assert report.ok


def test_a_timestamp_that_is_not_above_its_parents_is_a_note(log: OpLog) -> None:
    """Lower than or equal to a parent's timestamp is reported, above it is not."""
    log.append_many(
        [
            entry(1, lamport_ts=10),
            entry(2, lamport_ts=10, parent_op_ids=[op_id(1)]),
            entry(3, lamport_ts=11, parent_op_ids=[op_id(1), op_id(2)]),
            entry(4, lamport_ts=9, parent_op_ids=[op_id(3)]),
        ]
    )
    report = log.verify()
    found = [each for each in report.findings if each.kind == "timestamp-not-above-parent"]
    spans = plain_scan.scan_file(log.path).spans
    assert [each.byte_offset for each in found] == [spans[1].byte_offset, spans[3].byte_offset]
    assert {each.severity for each in found} == {"note"}
    assert report.ok


@pytest.mark.parametrize("seed", [0, 1])
def test_causality_is_judged_as_a_plain_scan_judges_it(repo: Path, seed: int) -> None:
    """Over several segments, with damage and repeated lines between, and parents before, behind, in and out of them."""
    choose = random.Random(seed)
    made = []
    for number in range(1, 3001):
        near = range(max(number - 50, 1), number + 20)
        # Some of those that lie further down never arrive, nor do those that are damaged.
        parents = [op_id(choose.choice(choose.choice((near, range(1, 3101))))) for _ in range(choose.randrange(3))]
        lamport_ts = 2**52 if number == 1234 else number + choose.randrange(30)
        made.append(line(entry(number, lamport_ts=lamport_ts, parent_op_ids=parents)))
    data = b"".join(
        b"{\n" if choose.random() < 0.01 else each for each in made for _ in range(choose.choice((1, 1, 1, 2)))
    )
    path = making.log_path(repo)
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with OpLog(repo, "s") as log:
        found = log.verify(max_findings=None).findings
    expected: dict[str, set[str]] = {"missing-parent": set(), "timestamp-not-above-parent": set()}
    placed = plain_scan.scan_file(path).placed
    timestamps = {each["op_id"]: each["lamport_ts"] for each, _ in placed}
    for each, span in placed:
        member = f"{span.byte_offset}+{span.length + 1}"
        known = [timestamps[parent] for parent in each["parent_op_ids"] if parent in timestamps]
        expected["missing-parent"] |= {member} if len(known) < len(each["parent_op_ids"]) else set()
        expected["timestamp-not-above-parent"] |= {member} if max(known, default=-1) >= each["lamport_ts"] else set()
    for kind, members in expected.items():
        assert {member for each in found if each.kind == kind for member in each.members} == members, kind
    assert [each.count for each in found if each.kind == "timestamp-far-above"] == [1]


def test_a_line_changed_in_place_is_noticed_though_it_still_parses(repo: Path) -> None:
    """The index keeps a checksum per line: another name, digit or letter in a valid line is damage."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(9, actor_id="ada"))
    lines = making.log_bytes(repo).splitlines(keepends=True)
    changed = [*lines[:4], lines[4].replace(b'"ada"', b'"eve"'), *lines[5:]]
    making.log_path(repo).write_bytes(b"".join(changed))
    with OpLog(repo, "s") as log:
        report = log.verify()
        finding = only(report, "line-changed")
        assert (finding.severity, finding.byte_offset) == ("damage", sum(map(len, lines[:4])))
        assert not report.ok
        assert [each["op_id"] for each in log][5:] == [op_id(number) for number in range(6, 10)]


@pytest.mark.slow
def test_flipped_bits_all_over_a_middle_line_are_noticed(repo: Path, tmp_path: Path) -> None:
    """Whatever bit flips in the middle line, verify is not ok and the later lines are still read."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3))
        log.checkpoint("one")
        log.append_many(entries(3, start=4, domain_op={"op": "x", "n": 1.5}, created_at="2026-01-02T03:04Z"))
    path = making.log_path(repo)
    files = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    data = files["ops.jsonl"]
    start = sum(map(len, data.splitlines(keepends=True)[:4]))
    length = len(data.splitlines(keepends=True)[4])
    # Every seventh, so each bit of some byte; `nox -s sweeps` flips each of all.
    for bit in range(0, length * 8, 7):
        position = start + bit // 8
        flipped = bytearray(data)
        flipped[position] ^= 1 << bit % 8
        with path.open("r+b") as file:
            file.write(bytes(flipped))
        with OpLog(repo, "s") as log:
            assert not log.verify().ok, f"bit {bit % 8} of byte {position - start}"
            if bit % 37 == 0:
                assert op_id(6) in [each["op_id"] for each in log]
        making.drop_index(repo)
        for name, content in files.items():
            if name != "ops.jsonl":
                path.with_name(name).write_bytes(content)


def test_a_checkpoint_that_can_not_be_read_is_damage(repo: Path, log: OpLog) -> None:
    """Verify does not fail on it, it reports it."""
    log.append_many(entries(3))
    log.checkpoint("one")
    log.folder.joinpath("checkpoint.json").write_bytes(b'{"half')
    report = log.verify()
    assert not report.ok
    assert report.checkpoint is None
    assert "checkpoint.json" in only(report, "checkpoint-damaged").reason + only(report, "checkpoint-damaged").remedy


def test_what_the_checkpoint_covers_is_checked_against_its_digest(repo: Path) -> None:
    """Without an index the digest in the record notices a changed line below the cut."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(5, actor_id="ada"))
        log.checkpoint("one")
    making.drop_index(repo)
    making.log_path(repo).write_bytes(making.log_bytes(repo).replace(b'"ada"', b'"eve"', 1))
    with OpLog(repo, "s") as log:
        report = log.verify()
    assert not report.ok
    assert only(report, "checkpoint-digest").severity == "damage"


def test_an_index_that_says_otherwise_than_the_log_is_an_index_finding(repo: Path) -> None:
    """A number changed inside the index is found, is no damage of the log, and a rebuild heals it."""
    import sqlite3
    from contextlib import closing

    with OpLog(repo, "s") as log:
        log.append_many(entries(9))
    path = making.log_path(repo).with_name("index.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        changed = 0
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall():
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
            wanted = [column for column in columns if "lamport" in column and "max" not in column]
            for column in wanted:
                changed += connection.execute(f'UPDATE "{name}" SET "{column}" = 1234 WHERE "{column}" = 5').rowcount
    assert changed
    with OpLog(repo, "s") as log:
        report = log.verify()
        assert kinds(report).get("index-differs")
        assert {each.severity for each in report.findings} == {"index"}
        assert report.ok, "the log itself is sound"
        log.rebuild_index()
        assert log.verify().findings == ()
        making.assert_same_as_scan(log, log.path)


def test_the_counts_are_exact_where_the_findings_are_capped(log: OpLog) -> None:
    """max_findings bounds the list of each kind, not the numbers; a flood of one kind hides no other."""
    making.add_bytes(log.path, b"damage\n\n" * 50 + (line(entry(1)) + b"\n") * 31)
    report = log.verify(max_findings=7)
    assert kinds(report) == {"damaged-line": 7, "duplicate": 7}
    assert report.counts["damaged-line"] == 50
    assert report.counts["duplicate"] == 30
    assert not report.ok
    assert not log.verify(max_findings=0).ok
    assert kinds(log.verify(max_findings=None)) == {"damaged-line": 50, "duplicate": 30}


def test_neighbours_of_one_kind_are_one_finding(log: OpLog) -> None:
    """Damage that goes on from line to line is one range, however many lines it is, and however few are listed."""
    making.add_bytes(log.path, line(entry(1)) + b"damage\n" * 50 + line(entry(2)) + b"damage\n" + line(entry(1)) * 20)
    start = len(line(entry(1)))
    for limit in (None, 7):
        report = log.verify(max_findings=limit)
        found = [(each.kind, each.byte_offset, each.length, each.count) for each in report.findings]
        assert found == [
            ("damaged-line", start, 350, 50),
            ("damaged-line", start + 350 + len(line(entry(2))), 7, 1),
            ("duplicate", start + 357 + len(line(entry(2))), 20 * start, 20),
        ]


def test_verify_changes_no_byte_of_the_log_or_checkpoint(repo: Path, log: OpLog) -> None:
    """It looks and tells; sealing and repairing are not its business."""
    making.add_bytes(log.path, line(entry(1)) + b"damage\n" + b"torn")
    log.verify()
    assert making.log_bytes(repo) == line(entry(1)) + b"damage\n" + b"torn"


def test_a_report_is_given_as_plain_json(log: OpLog) -> None:
    """to_dict holds every part of the report and can be written as JSON."""
    making.add_bytes(log.path, line(entry(1)) + b"damage\n" + line(entry(1)))
    told: dict[str, Any] = json.loads(json.dumps(log.verify().to_dict()))
    assert told["ok"] is False
    assert told["entries"] == 1
    assert {each["kind"] for each in told["findings"]} == {"damaged-line", "duplicate"}
    assert told["counts"]["damaged-line"] == 1
    assert {
        "session_id",
        "log_path",
        "size_bytes",
        "lines",
        "blank_lines",
        "pending_tail_bytes",
        "checkpoint",
    } <= set(told)


def test_verify_reports_its_progress_in_bytes(repo: Path, log: OpLog) -> None:
    """The callback gets rising numbers that end at the size of the log."""
    told: list[tuple[int, int]] = []
    log.append_many(entries(5_000))
    log.verify(progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    size = len(making.log_bytes(repo))
    assert told[-1] == (size, size)


def test_a_timestamp_far_above_all_before_it_is_a_note(log: OpLog) -> None:
    """Row 31: a peer's clock at the end of its range, however it came in, is told of once."""
    making.add_bytes(log.path, line(entry(1)) + line(entry(2, lamport_ts=2**53 - 1)) + line(entry(3)))
    report = log.verify()
    note = only(report, "timestamp-far-above")
    assert (note.severity, note.byte_offset) == ("note", len(line(entry(1))))
    assert op_id(2) in note.reason
    assert report.ok


def test_one_operation_recorded_at_two_times_is_a_note(log: OpLog) -> None:
    """Two processes that were given one message at the same moment: the lines differ only in when they were made."""
    later = entry(1, lamport_ts=7, created_at="2026-02-03T04:05:06+00:00")
    making.add_bytes(log.path, line(entry(1)) + line(later) + line(entry(1, intent_id="another plan")))
    assert kinds(log.verify()) == {"duplicate": 1, "conflicting-duplicate": 1}
