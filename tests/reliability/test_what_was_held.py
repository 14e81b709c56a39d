"""What the log held is not forgotten: cut, emptied, replaced, put back older, altered; and how it comes back."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import Cut, DamagedCheckpointError, Finding, OpLog, VerifyReport, describe_sessions
from muse.core.storage.locks import exclusive_lock
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list
from tests.reliability.faults import filled
from tests.small_index import segments_of

LINES = [json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for each in entries(20)]
"""As the engine writes them."""
STARTS = [sum(map(len, LINES[:number])) for number in range(21)]


def ways() -> Iterator[tuple[str, bytes | None]]:
    """Every way in which 20 lines can be cut, emptied, replaced or lengthened, and what the log is then."""
    whole = b"".join(LINES)
    yield "deleted", None
    for kept in range(20):
        yield f"cut to {kept} lines", whole[: STARTS[kept]]
        yield f"cut in line {kept}", whole[: STARTS[kept] + 40]
        yield f"an older copy of {kept} lines that went on", whole[: STARTS[kept]] + making.line(entry(900 + kept))
    for number, old in enumerate(LINES):
        before, after = whole[: STARTS[number]], whole[STARTS[number + 1] :]
        yield f"line {number} NULs", before + bytes(len(old) - 1) + b"\n" + after
        yield f"line {number} altered", before + old.replace(b"2026-01-02", b"2027-01-02") + after
        yield f"line {number} longer", before + old.replace(b"{", b"{ ", 1) + after
        yield f"line {number} shorter", before + old[9:] + after
        yield f"line {number} cut out", before + after
        yield f"line {number} glued to the next", before + old[:-1] + after
        yield f"line {number} another entry", before + making.line(entry(900 + number)) + after
    yield "lines in another order", b"".join(LINES[::-1])


def lost_by(data: bytes | None) -> tuple[list[tuple[Any, ...]], list[str]]:
    """What is lost, and what is only altered, by a plain scan of what there is now."""
    scanned = plain_scan.scan(data or b"")
    there = {each["op_id"]: (data or b"")[span.byte_offset :][: span.length] for each, span in scanned.placed}
    lost, altered = [], []
    for number, line in enumerate(LINES):
        held = json.loads(line)
        if held["op_id"] not in there:
            lost.append((held["op_id"], held["actor_id"], held["lamport_ts"], STARTS[number]))
        elif there[held["op_id"]].strip() != line.strip():
            altered.append(held["op_id"])
    return lost, altered


def told(report: VerifyReport) -> tuple[list[tuple[Any, ...]], list[str]]:
    """The same, as verify tells it."""
    lost = [each for finding in report.findings for each in finding.operations]
    altered = [member for each in report.findings if each.kind == "line-changed" for member in each.members]
    return [(each.op_id, each.actor_id, each.lamport_ts, each.byte_offset) for each in lost], [
        member.partition(":")[0] for member in altered
    ]


def damage(report: VerifyReport) -> list[Finding]:
    """The findings that are damage."""
    return [each for each in report.findings if each.severity == "damage"]


@pytest.mark.parametrize("segment_lines", [5, 1000], ids=["in segments", "in the tail"])
def test_what_is_lost_is_told_before_and_after_reads_and_rebuilds(tmp_path: Path, segment_lines: int) -> None:
    """Row 21: whoever looks first, each lost operation is named, with actor, timestamp and place, until it is back."""
    with segments_of(segment_lines):
        for number, (way, data) in enumerate(ways()):
            # Of three ways and of seven, these strides meet each.
            if number % (19 if segment_lines == 5 else 11):
                continue
            repo, path = tmp_path / str(number), making.log_path(tmp_path / str(number))
            with OpLog(repo, "s") as log, OpLog(repo / "replica", "s") as replica:
                log.append_many(entries(20))
                replica.merge(log)
            path.unlink()
            if data is not None:
                path.write_bytes(data)
            expected = lost_by(data)
            lost_or_altered = any(expected)
            for step in ("first", "after a read", "after a rebuild"):
                with OpLog(repo, "s") as log:
                    if step == "after a read":
                        list(log)
                    elif step == "after a rebuild":
                        log.rebuild_index()
                with OpLog(repo, "s") as log:
                    report = log.verify()
                    assert told(report) == expected, (way, step)
                    assert report.ok is not lost_or_altered or report.counts.keys() & {"damaged-line", "torn-tail"}, way
                    assert report.counts.get("operation-lost", 0) == len(expected[0])
            with OpLog(repo, "s") as log, OpLog(repo / "replica", "s") as replica:
                log.repair(source=replica)
                found = {each["op_id"]: each for each in log}
                wanted = {each["op_id"]: each for each in entries(20)}
                assert wanted.keys() <= found.keys(), way
                assert exact_list([found[each] for each in wanted if each not in expected[1]]) == exact_list(
                    [wanted[each] for each in wanted if each not in expected[1]]
                )
                assert told(log.verify())[0] == [], way
                making.assert_same_as_scan(log, path)


def test_what_is_lost_is_told_also_if_the_index_is_being_replaced_for_a_while(repo: Path) -> None:
    """A busy machine takes its time to put an index into its place, and nothing else knows what is lost."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(20))
    path = making.log_path(repo)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:15]))
    is_held = threading.Event()

    def replace_index() -> None:
        with exclusive_lock(path.parent, 1):
            is_held.set()
            time.sleep(1)

    with ThreadPoolExecutor() as others, OpLog(repo, "s") as log:
        others.submit(replace_index)
        is_held.wait()
        assert {each.op_id for each in making.lost(log.verify())} == {op_id(number) for number in range(16, 21)}


def test_what_is_lost_is_told_also_if_the_index_is_damaged(repo: Path) -> None:
    """As far as the index can be read: what it has remembered, and what it knows of the lines before the damage."""
    with segments_of(5):
        with OpLog(repo, "s") as log:
            log.append_many(entries(10))
        path = making.log_path(repo)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:8]))
        with OpLog(repo, "s") as log:
            log.append_many(entries(20, start=50))
        with closing(sqlite3.connect(path.with_name("index.db"))) as database, database:
            database.execute("UPDATE segment SET columns = zeroblob(length(columns)) WHERE number = 3")
        with OpLog(repo, "s") as log:
            report = log.verify()
            assert report.counts["index-differs"]
            assert {each.op_id for each in making.lost(report)} == {op_id(9), op_id(10)}


def test_an_emptied_log_that_goes_on_still_tells_what_it_held(repo: Path) -> None:
    """Row 21: also when entries were appended since, and the index was deleted never."""
    filled(repo, 20)
    making.log_path(repo).write_bytes(b"")
    with OpLog(repo, "s") as log:
        log.append(entry(500))
        log.append_many(entries(5, start=600))
    with OpLog(repo, "s") as log:
        assert log.verify().counts["operation-lost"] == 20


def test_what_is_accepted_is_a_note_and_what_comes_after_it_is_damage(repo: Path) -> None:
    """Row 21: a nightly verify is quiet again, tells who accepted it and why, and hides nothing new beside it."""
    filled(repo, 20)
    path = making.log_path(repo)
    path.write_bytes(b"".join(LINES[:15]) + b"damage\n")
    with OpLog(repo, "s") as log:
        log.accept(damage(log.verify(max_findings=None)), by="ada", why="scrubbed on purpose")
    with OpLog(repo, "s") as log:
        report = log.verify()
        assert report.ok
        assert {each.severity for each in report.findings} == {"note"}
        assert all("ada" in each.reason and "scrubbed on purpose" in each.reason for each in report.findings)
        assert report.counts["operation-lost"] == 5
    path.write_bytes(b"".join(LINES[:14]) + b"damage\n")
    with OpLog(repo, "s") as log:
        report = log.verify()
        assert not report.ok
        (found,) = damage(report)
        assert [each.op_id for each in found.operations] == [op_id(15)]


def test_what_was_appended_again_behind_half_a_line_is_brought_back(repo: Path) -> None:
    """A log that was cut in a line, and what is missing added from a backup by hand: all of it is there, one glued."""
    filled(repo, 20)
    path = making.log_path(repo)
    for kept in (STARTS[9] + 1, STARTS[9] + 100, STARTS[10] - 1):
        path.write_bytes(b"".join(LINES)[:kept] + b"".join(LINES[9:]))
        with OpLog(repo, "s") as log:
            assert log.repair().found_in_damage == [op_id(10)], kept
            assert {each["op_id"] for each in log} == {op_id(number) for number in range(1, 21)}
            assert making.lost(log.verify()) == []


# -- checkpoints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen_by", ["a read", "a rebuild", "a summary"])
def test_a_record_that_was_seen_is_remembered_when_its_index_was_deleted(repo: Path, seen_by: str) -> None:
    """Row 23: index.db deleted, work goes on, checkpoint.json lost: nothing is taken for pending, repair restores it.

    Whatever it was that made the new index.
    """
    filled(repo, 9, checkpoint_after=6)
    record = making.log_path(repo).with_name("checkpoint.json")
    before = record.read_bytes()
    making.drop_index(repo)
    with OpLog(repo, "s") as log:
        if seen_by == "a read":
            assert len(log.replay_since_checkpoint()) == 3
        elif seen_by == "a rebuild":
            log.append(entry(700))
        else:
            describe_sessions(repo)
    record.unlink()
    with OpLog(repo, "s") as log:
        with pytest.raises(DamagedCheckpointError, match="missing"):
            log.replay_since_checkpoint()
        assert not log.verify().ok
        repaired = log.repair()
        assert repaired.checkpoint
        assert repaired.checkpoint.byte_offset == json.loads(before)["byte_offset"]
        assert log.verify().ok
    assert record.read_bytes() == before


def five_fields(repo: Path, op_count: int) -> None:
    """Put a record there as the first program wrote them."""
    record = {
        "session_id": "s",
        "snapshot_id": "old",
        "lamport_ts": 1,
        "op_count": op_count,
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    making.log_path(repo).with_name("checkpoint.json").write_text(json.dumps(record))


def test_a_five_field_record_counts_repeated_lines(repo: Path) -> None:
    """Row 28: as the program counted that wrote it: what it leaves open is pending, never taken for committed."""
    one, two, three = (making.line(entry(number)) for number in (1, 2, 3))
    making.add_bytes(making.log_path(repo), one + one + two + three)
    five_fields(repo, 3)
    with OpLog(repo, "s") as log:
        assert [each["op_id"] for each in log.replay_since_checkpoint()] == [op_id(3)]


def test_a_five_field_record_older_than_what_was_seen_is_refused(repo: Path) -> None:
    """Row 46: like every other older record, or committed operations would be pending again."""
    filled(repo, 12, checkpoint_after=10)
    five_fields(repo, 2)
    with OpLog(repo, "s") as log, pytest.raises(DamagedCheckpointError, match="older"):
        log.replay_since_checkpoint()


@pytest.mark.parametrize("index", ["kept", "deleted"])
def test_a_checkpoint_after_a_scrubbed_line_is_right_about_what_it_covers(repo: Path, index: str) -> None:
    """Row 29: one finding for one place, whatever checkpoints come after it; none once it is accepted."""
    filled(repo, 12, checkpoint_after=10)
    path = making.log_path(repo)
    path.write_bytes(path.read_bytes().replace(b"2026-01-02", b"2027-01-02", 1))
    if index == "deleted":
        making.drop_index(repo)
    for snapshot_id in ("two", "three"):
        with OpLog(repo, "s") as log:
            report = log.verify(max_findings=None)
            assert len(damage(report)) == 1, report.findings
            log.append(entry(100 + len(snapshot_id)))
            log.checkpoint(snapshot_id)
    with OpLog(repo, "s") as log:
        log.accept(damage(log.verify(max_findings=None)), by="ada", why="a name was taken out")
        assert log.verify().ok
        log.append(entry(200))
        log.checkpoint("four")
        assert log.verify().ok


def test_pending_is_counted_where_a_covered_line_is_damaged(repo: Path) -> None:
    """Row 32: stats and summaries count what is pending, they do not subtract."""
    filled(repo, 12, checkpoint_after=10)
    path = making.log_path(repo)
    data = path.read_bytes()
    path.write_bytes(b"#" + data[1:])
    with OpLog(repo, "s") as log:
        assert list(log)
        assert log.count(since_checkpoint=True) == len(log.replay_since_checkpoint()) == 2
    (summary,) = describe_sessions(repo)
    assert (summary.ops, summary.pending) == (11, 2)


def covered(repo: Path) -> tuple[Path, bytes, int]:
    """A session of 12 entries, of which 10 are covered; its log and where the covered part ends."""
    filled(repo, 12, checkpoint_after=10)
    path = making.log_path(repo)
    return path, path.read_bytes(), json.loads(path.with_name("checkpoint.json").read_bytes())["byte_offset"]


@pytest.mark.parametrize("index", ["kept", "deleted"])
def test_any_flipped_bit_in_the_last_covered_line_costs_that_line_alone(repo: Path, index: str) -> None:
    """Row 45: replay, delta and checkpoint go on; a newline that is gone costs both lines that it parted."""
    path, data, end = covered(repo)
    files = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    start = data.rindex(b"\n", 0, end - 1) + 1
    for at in (*range(start, end - 1, 23), end - 2, end - 1):
        for name, content in files.items():
            path.with_name(name).write_bytes(content)
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        if index == "deleted":
            making.drop_index(repo)
        scanned = plain_scan.scan_file(path)
        pending = [each for each, span in scanned.placed if span.byte_offset >= end]
        with OpLog(repo, "s") as log:
            assert exact_list(log.replay_since_checkpoint()) == exact_list(pending), at - start
            assert sum(len(log.to_structured_delta(each)["ops"]) for each in log.domains()) == len(pending)
            log.checkpoint("next")
            assert log.replay_since_checkpoint() == []


def test_damage_below_a_stored_cut_does_not_undo_the_commit_made_at_it(repo: Path) -> None:
    """Row 45: the cut that was stored with a commit can still be marked, though a line below it is damaged now."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(10))
        cut = log.cut()
        log.append_many(entries(2, start=11))
    path = making.log_path(repo)
    data = path.read_bytes()
    for at in (5, STARTS[4] + 20, STARTS[10] - 1):
        path.write_bytes(data[:at] + b"\0" + data[at + 1 :])
        with OpLog(repo, "s") as log:
            log.checkpoint(f"commit {at}", upto=Cut("s", cut.byte_offset, cut.op_count))
            expected = [each for each, span in plain_scan.scan_file(path).placed if span.byte_offset >= cut.byte_offset]
            assert exact_list(log.replay_since_checkpoint()) == exact_list(expected)
        path.with_name("checkpoint.json").unlink()
        making.drop_index(repo)
        path.write_bytes(data)


@pytest.mark.parametrize("index", ["kept", "deleted"])
def test_new_operations_in_the_place_of_lost_ones_are_not_taken_for_committed(repo: Path, index: str) -> None:
    """Row 45: a backup that lacked the last two, and two new ones of the same length: the record is refused."""
    path, data, end = covered(repo)
    lines = data[:end].splitlines(keepends=True)
    new = [
        line.replace(op_id(at).encode(), op_id(800 + at).encode()) for at, line in zip((9, 10), lines[8:], strict=True)
    ]
    path.write_bytes(b"".join([*lines[:8], *new]))
    assert path.stat().st_size == end
    if index == "deleted":
        making.drop_index(repo)
    with OpLog(repo, "s") as log, pytest.raises(DamagedCheckpointError):
        log.replay_since_checkpoint()


def test_a_log_cut_in_a_long_line_and_gone_on_does_not_fit_though_a_line_ends_there(
    repo: Path,
) -> None:
    """Row 45: the bytes of what was cut could hold all that is missing, and do not, as new lines lie where it was."""
    path = making.log_path(repo)
    with OpLog(repo, "s") as log, OpLog(repo, "backup") as backup:
        log.append_many(
            [*entries(4), entry(90, domain_op={"op": "insert", "text": "x" * 50_000}), *entries(6, start=30)]
        )
        log.checkpoint("one")
        backup.merge(log)
    data = path.read_bytes()
    older = data[: data.index(b"x" * 50_000) + 20_000] + b"\n"
    room = len(data) - len(older) - len(making.line(entry(200, domain_op={"op": "new", "text": ""})))
    path.write_bytes(older + making.line(entry(200, domain_op={"op": "new", "text": "y" * room})))
    assert path.stat().st_size == len(data)
    with OpLog(repo, "s") as log, OpLog(repo, "backup") as backup:
        with pytest.raises(DamagedCheckpointError):
            log.replay_since_checkpoint()
        moved = log.repair(source=backup).checkpoint
        assert moved is not None
        assert moved.is_set_back
        assert op_id(200) in {each["op_id"] for each in log.replay_since_checkpoint()}


def test_what_came_back_elsewhere_before_it_was_missed_counts_as_gone_from_below_the_checkpoint(repo: Path) -> None:
    """Row 45: a log cut in a damaged line, gone on, and filled up by hand from a backup, all but one: what is new is
    pending after a repair, as is all that came back.
    """
    with OpLog(repo, "s") as log:
        log.append_many(entries(4))
        making.add_bytes(log.path, b"x" * 9_000 + b"\n")
        log.append_many(entries(6, start=30))
        log.checkpoint("one")
    path = making.log_path(repo)
    data = path.read_bytes()
    stays, back = data[: data.index(b"x" * 9_000)], data.splitlines(keepends=True)[6:]
    path.write_bytes(b"".join([stays, b"xxx\n", *(making.line(entry(number)) for number in (200, 201)), *back]))
    with OpLog(repo, "s") as log:
        moved = log.repair().checkpoint
        assert moved is None  # one is still lost: nobody knows if it comes back
        lost = [each for each in log.verify().findings if each.kind == "operation-lost"]
        log.accept(lost, by="ada", why="no backup has it")
        moved = log.repair().checkpoint
        assert moved is not None
        assert moved.byte_offset == len(stays)
        assert exact_list(log.replay_since_checkpoint()) == exact_list(plain_scan.scan_file(path).entries[4:])


def test_a_record_of_another_log_is_not_taken_though_lines_are_damaged(repo: Path) -> None:
    """Row 45: what is missing must have stood in damaged bytes; a log that was replaced is refused."""
    path, _, end = covered(repo)
    making.drop_index(repo)
    other = b"".join(making.line(entry(number)) for number in range(500, 507))
    path.write_bytes(other + b"x" * (end - len(other) - 1) + b"\n" + making.line(entry(600)))
    with OpLog(repo, "s") as log:
        assert len(log) == 8
    short = b"".join(making.line(entry(number)) for number in range(500, 540))
    path.write_bytes(b"damage\n" + short)
    with OpLog(repo, "s") as log, pytest.raises(DamagedCheckpointError):
        log.replay_since_checkpoint()


# -- rights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_what_is_made_beside_a_log_takes_its_rights(repo: Path, umask: int, mode: int) -> None:
    """Row 35: a session that was made private stays private, whatever the umask of who makes index and checkpoint."""
    before = os.umask(umask)
    try:
        with OpLog(repo, "s") as log:
            log.append(entry(1))
        log.path.chmod(mode)
        making.drop_index(repo)
        log.path.write_bytes(log.path.read_bytes() + b"damage\n")
        with OpLog(repo, "s") as log:
            log.append_many(entries(20, start=2))
            log.checkpoint("one")
            log.accept(damage(log.verify(max_findings=None)), by="ada", why="known")
            log.append(entry(30))
            names = {each.name: stat.S_IMODE(each.stat().st_mode) for each in log.folder.iterdir()}
    finally:
        os.umask(before)
    assert {"index.db", "index.db-wal", "checkpoint.json", "accepted.json", "ops.jsonl"} <= names.keys()
    assert set(names.values()) == {mode}
