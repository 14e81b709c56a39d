"""Rows 1 to 4: torn tails, glued records, flipped bits and NULs cost their own line and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from muse.core.storage import durable
from tests import making, plain_scan
from tests.making import add_bytes, entries, entry, line, op_id
from tests.reliability import faults
from tests.reliability.faults import filled


@pytest.mark.parametrize("keep", [1, 2, 40, -2, -1])
def test_writer_dies_in_its_write_while_two_others_are_open(repo: Path, keep: int) -> None:
    """Row 1: the first of two open handles to append seals the fragment, the second finds nothing to seal."""
    filled(repo, 5)
    fragment = line(entry(50))[:-1][:keep]
    with OpLog(repo, "s") as one, OpLog(repo, "s") as two:
        assert len(one) == len(two) == 5
        add_bytes(one.path, fragment)
        assert one.append(entry(6)) is True
        assert two.append(entry(7)) is True
        scanned = making.assert_same_as_scan(two, two.path)
        assert scanned.op_ids[-2:] == [op_id(6), op_id(7)]
        assert [span.length for span, _ in scanned.damaged] == [len(fragment)]
        assert one.path.read_bytes().count(fragment + b"\n") == 1


@pytest.mark.parametrize("lines_whole", [0, 1, 3])
def test_crash_in_the_middle_of_a_batch_keeps_its_whole_lines(repo: Path, lines_whole: int) -> None:
    """Row 1: of a batch whose write was torn, the whole lines are entries; the retry adds the rest, each once."""
    filled(repo, 3)
    batch = entries(4, start=10)
    lines = [line(each) for each in batch]
    add_bytes(making.log_path(repo), b"".join(lines[:lines_whole]) + lines[lines_whole][:25])
    with OpLog(repo, "s") as log:
        assert len(log) == 3 + lines_whole
        assert log.append_many(batch) == 4 - lines_whole
    faults.retry(repo, batch)


def test_tail_without_newline_at_exactly_a_chunk_border_is_sealed(repo: Path) -> None:
    """Row 1: a fragment as long as what is read at a time (1 MiB) is one damaged line, sealed once."""
    filled(repo, 2)
    add_bytes(making.log_path(repo), b"x" * (1 << 20))
    with OpLog(repo, "s") as log:
        log.append(entry(9))
        scanned = making.assert_same_as_scan(log, log.path)
    assert [span.length for span, _ in scanned.damaged] == [1 << 20]
    assert scanned.op_ids[-1] == op_id(9)


@pytest.mark.parametrize("number", [0, 1, -2, -1])
def test_flipped_bit_in_an_op_id_at_either_end_of_the_log_is_noticed(repo: Path, number: int) -> None:
    """Row 3: the line still parses, as another operation; the index remains this log's and remembers what it was."""
    filled(repo, 6)
    path = making.log_path(repo)
    lines = path.read_bytes().splitlines(keepends=True)
    flipped = bytearray(lines[number])
    at = len(b'{"op_id":"')
    # Another hexadecimal digit, so that the line stays a valid entry.
    flipped[at] ^= 1 if flipped[at : at + 1].isdigit() else 7
    lines[number] = bytes(flipped)
    path.write_bytes(b"".join(lines))
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, path)
        report = log.verify()
    begin = sum(map(len, lines[: number % len(lines)]))
    assert begin in {each.byte_offset for each in report.findings if each.severity == "damage"}


@pytest.mark.parametrize("number", [0, 1, -2, -1])
def test_flipped_bit_in_a_newline_at_either_end_of_the_log_is_noticed(repo: Path, number: int) -> None:
    """Row 3: two lines become one, or the last one a torn tail that the index knew as a whole line."""
    filled(repo, 6)
    path = making.log_path(repo)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = lines[number][:-1] + b"\x0b"
    path.write_bytes(b"".join(lines))
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, path)
        assert not log.verify().ok or number == -1
        log.append(entry(9))
        making.assert_same_as_scan(log, path)
        assert not log.verify().ok


@pytest.mark.parametrize("batch", [1, 3])
def test_writer_finishes_its_line_and_another_writes_the_same_entries_meanwhile(
    repo: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Row 1: who waits for a line to be finished looks again, and entries that came meanwhile are indexed once."""
    filled(repo, 5)
    path = making.log_path(repo)
    unfinished, made = line(entry(50)), entries(batch, start=20)
    add_bytes(path, unfinished[:-10])
    rest = [unfinished[-10:] + b"".join(map(line, made))]

    def others_write(_seconds: float) -> None:
        if rest:
            add_bytes(path, rest.pop())

    monkeypatch.setattr("muse.core.writer.time.sleep", others_write)
    with OpLog(repo, "s") as log:
        log.append_many(made)
        scanned = making.assert_same_as_scan(log, path)
        assert len(scanned.entries) == 5 + 1 + batch
        assert log.verify().counts.get("index-differs", 0) == 0


@pytest.mark.parametrize("batch", [1, 3])
def test_fragment_lands_between_look_and_write(repo: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Row 2: a writer that dies there leaves its fragment in front of our line; ours is written again on its own."""
    filled(repo, 5)
    made = entries(batch, start=20)
    write = durable.append_bytes
    fragments = [b'{"op_id":"torn']

    def write_after_a_fragment(fd: int, data: bytes, path: Path) -> None:
        if fragments:
            add_bytes(path, fragments.pop())
        write(fd, data, path)

    monkeypatch.setattr(durable, "append_bytes", write_after_a_fragment)
    with OpLog(repo, "s") as log:
        assert log.append_many(made) == batch
        scanned = making.assert_same_as_scan(log, log.path)
        assert {op_id(20 + number) for number in range(batch)} <= set(scanned.op_ids)
        assert len(scanned.damaged) == 1
        assert scanned.duplicates == []
        assert log.append_many(made) == 0


def test_record_glued_by_another_program_costs_that_line_alone(repo: Path) -> None:
    """Row 2: what a program without sealing glued to a fragment is damage, reported as one; all after it is read."""
    before = filled(repo, 3)
    glued = line(entry(4))[:77] + line(entry(5))
    add_bytes(making.log_path(repo), glued + line(entry(6)))
    with OpLog(repo, "s") as log:
        assert making.assert_same_as_scan(log, log.path).op_ids == [op_id(n) for n in (1, 2, 3, 6)]
        (finding,) = [each for each in log.verify().findings if each.severity == "damage"]
        assert (finding.kind, finding.byte_offset, finding.length) == ("damaged-line", len(before), len(glued))
        assert log.append(entry(5)) is True


@pytest.mark.parametrize("rebuilt", ["never", "before", "after"])
@pytest.mark.parametrize("field", [b'"ada"', b'"C4"', b'"music"'])
def test_bit_flipped_in_a_line_that_still_parses(repo: Path, field: bytes, rebuilt: str) -> None:
    """Row 3: verify names the line whatever was rebuilt, and every later line is still read."""
    data = bytearray(filled(repo, 30, checkpoint_after=20))
    if rebuilt == "before":
        making.drop_index(repo)
        with OpLog(repo, "s") as log:
            log.rebuild_index()
    start = len(b"".join(bytes(data).splitlines(keepends=True)[:9]))
    at = data.index(field, start) + 1
    data[at] ^= 1
    making.log_path(repo).write_bytes(data)
    with OpLog(repo, "s") as log:
        if rebuilt == "after":
            log.rebuild_index()
        assert [each["op_id"] for each in log] == [op_id(number) for number in range(1, 31)]
        report = log.verify()
        places = [
            (each.byte_offset, each.length) for each in report.findings if each.kind in {"line-changed", "damaged-line"}
        ]
        assert any(first is not None and size and first <= at < first + size for first, size in places)
        assert "checkpoint-digest" not in report.counts, "one place, one finding"
        assert not report.ok


@pytest.mark.parametrize("size", [1, 511, 4096, 70_000])
@pytest.mark.parametrize("then", ["nothing", "a good record", "a newline"])
def test_file_grew_by_nuls_before_the_machine_died(repo: Path, size: int, then: str) -> None:
    """Row 4: a size that reached the disk without its bytes leaves NULs: skipped, reported, nothing else lost."""
    data = filled(repo, 6)
    path = making.log_path(repo)
    os.truncate(path, len(data) + size)
    add_bytes(path, {"nothing": b"", "a newline": b"\n", "a good record": line(entry(7))}[then])
    with OpLog(repo, "s") as log:
        assert len(log) == 6
        log.append(entry(8))
        scanned = making.assert_same_as_scan(log, path)
        assert scanned.op_ids[-1] == op_id(8)
        (finding,) = [each for each in log.verify().findings if each.severity == "damage"]
        assert finding.byte_offset == len(data)
        assert "NUL" in finding.reason


@pytest.mark.parametrize("place", ["first line", "a middle line", "across two lines", "a whole block"])
def test_block_of_nuls_in_the_middle(repo: Path, place: str) -> None:
    """Row 4: a block that was lost in place costs the lines that it touches, each named."""
    data = bytearray(filled(repo, 40, checkpoint_after=30))
    first, stop = {
        "first line": (10, 60),
        "a middle line": (2_000, 2_050),
        "across two lines": (2_000, 2_500),
        "a whole block": (4_096, 8_192),
    }[place]
    data[first:stop] = bytes(stop - first)
    making.log_path(repo).write_bytes(data)
    with OpLog(repo, "s") as log:
        scanned = plain_scan.scan(bytes(data))
        assert scanned.damaged
        assert [each["op_id"] for each in log] == scanned.op_ids
        log.append(entry(90))
        report = log.verify()
        making.assert_damage_told(report, scanned)
        held = {each["op_id"] for each in entries(40)} - set(scanned.op_ids)
        assert {each.op_id for found in report.findings for each in found.operations} == held
        assert "checkpoint-digest" not in report.counts, "one place, one finding"
        making.assert_same_as_scan(log, log.path)


def test_a_handle_tells_once_that_damaged_lines_are_passed_over(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    """However it is asked, and how often; a sound log says nothing, nor does a repeated line."""
    filled(repo, 30)
    add_bytes(making.log_path(repo), line(entry(3)))
    with OpLog(repo, "s") as log:
        list(log)
        list(log.query(actor_id="ada"))
    assert not [each for each in caplog.records if "passed over" in each.message]
    add_bytes(making.log_path(repo), b"damage\n" * 3 + line(entry(40)))
    with OpLog(repo, "s") as log:
        for _ in range(2):
            list(log.query(actor_id="ada", limit=2))
            list(log)
        add_bytes(log.path, b"more damage\n")
        log.replay_since_checkpoint()
    (told,) = [each.getMessage() for each in caplog.records if "passed over" in each.getMessage()]
    assert "3 so far" in told
