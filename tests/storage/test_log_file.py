"""The append-only file: torn tails, glued records, NULs and foreign bytes cost what they must and no more."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given

from muse.core.op_log import LogReplacedError, MuseError, OpLog, VerifyReport
from tests import making, plain_scan
from tests.making import add_bytes, entries, entry, line, op_id
from tests.plain_scan import exact_list
from tests.samples import FOREIGN, NULS, PIECES, examples


def assert_reported(report: VerifyReport, scanned: plain_scan.PlainScan) -> None:
    """Every damaged line of the scan is a finding with its place, length and reason, and no line else is."""
    found = [each for each in report.findings if each.severity == "damage"]
    making.assert_damage_told(report, scanned)
    for each in found:
        assert each.length
        assert each.reason
        assert each.remedy
    assert report.ok == (not found)


@pytest.mark.slow
def test_guarantee_5_a_log_cut_anywhere_in_its_last_lines_gives_all_whole_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut all over the last three lines: whole lines read, the rest reported, the next append on its own line."""
    # There is no writer who could still end a torn line, so an append need not wait for one.
    monkeypatch.setattr("muse.core.writer._TAIL_WAIT_SECONDS", 0)
    made = [
        entry(1),
        entry(2, domain_op={"op": "x", "text": 'é\u2028\U0001d11e\\"', "list": [1.5, None]}),
        entry(3, domain_op={"op": "x"}, created_at="2026-01-02T03:04Z", parent_op_ids=[op_id(1)]),
        entry(4, domain_op={}, created_at="2026-01-02T03:04Z"),
    ]
    with OpLog(tmp_path / "whole", "s") as log:
        log.append_many(made)
        whole = log.path.read_bytes()
    first = whole.index(b"\n") + 1
    # Every third byte; `nox -s sweeps` cuts at each.
    for cut_at in sorted({*range(first, len(whole) + 1, 3), len(whole)}):
        repo = tmp_path / "cut"
        path = making.log_path(repo, str(cut_at))
        add_bytes(path, whole[:cut_at])
        with OpLog(repo, str(cut_at)) as log:
            before = plain_scan.scan(whole[:cut_at])
            assert exact_list(log) == exact_list(before.entries)
            if cut_at % 29 == 0:
                # Not at every byte: verify waits a moment for the writer of an unfinished line.
                report = log.verify()
                assert report.entries == len(before.entries)
                assert report.pending_tail_bytes == len(before.tail)
            log.append(entry(5))
            after = plain_scan.scan(path.read_bytes())
            assert path.read_bytes().startswith(whole[:cut_at]), "bytes of the log were changed"
            assert after.op_ids[-1] == op_id(5)
            assert after.op_ids[: len(before.entries)] == before.op_ids
            assert exact_list(log) == exact_list(after.entries)
            if cut_at % 7 == 0:
                assert_reported(log.verify(), after)


def test_an_unfinished_tail_is_no_entry_and_no_damage(repo: Path, log: OpLog) -> None:
    """Bytes after the last newline may still be written: not returned, and counted as pending."""
    log.append(entry(1))
    tail = line(entry(2))[:-1]
    for size in (1, 40, len(tail)):
        os.truncate(log.path, len(line_of(log, 0)))
        add_bytes(log.path, tail[:size])
        with OpLog(repo, "s") as again:
            assert [each["op_id"] for each in again] == [op_id(1)]
            assert len(again) == 1
            report = again.verify()
            assert report.pending_tail_bytes == size


def line_of(log: OpLog, number: int) -> bytes:
    """A line of the log, with its newline."""
    return log.path.read_bytes().splitlines(keepends=True)[number]


def test_a_tail_that_is_finished_later_becomes_an_entry(log: OpLog) -> None:
    """A foreign writer that writes a line in two pieces is read once the newline is there."""
    log.append(entry(1))
    late = line(entry(2))
    add_bytes(log.path, late[:70])
    assert [each["op_id"] for each in log] == [op_id(1)]
    assert len(log) == 1
    add_bytes(log.path, late[70:])
    assert making.assert_same_as_scan(log, log.path).op_ids == [op_id(1), op_id(2)]
    assert log.verify().ok


def test_a_record_glued_to_a_torn_fragment_costs_that_line_alone(log: OpLog) -> None:
    """A foreign program wrote right behind a torn tail: that one line is damage, all after it is read."""
    log.append(entry(1))
    add_bytes(log.path, line(entry(2))[:33] + line(entry(3)) + line(entry(4)))
    log.append(entry(5))
    scanned = making.assert_same_as_scan(log, log.path)
    assert scanned.op_ids == [op_id(1), op_id(4), op_id(5)]
    assert_reported(log.verify(), scanned)


PLACES: dict[str, list[bytes]] = {
    "at the tail": [line(entry(1)), line(entry(2)), NULS],
    "at the tail, ended": [line(entry(1)), line(entry(2)), NULS + b"\n"],
    "in the middle of a line": [
        line(entry(1)),
        line(entry(2))[:50] + NULS + line(entry(2))[50:],
        line(entry(3)),
    ],
    "before a good record": [line(entry(1)), NULS + line(entry(2)), line(entry(3))],
    "on a line of their own": [line(entry(1)), NULS + b"\n", line(entry(3))],
    "at the start": [NULS + b"\n", line(entry(3))],
    "and nothing else": [NULS],
}


@pytest.mark.parametrize("place", PLACES)
def test_a_run_of_nuls_is_skipped_and_reported(log: OpLog, place: str) -> None:
    """NULs cost the line they stand in; they stay, are reported, and appends go on behind them."""
    data = b"".join(PLACES[place])
    add_bytes(log.path, data)
    before = plain_scan.scan(data)
    assert exact_list(log) == exact_list(before.entries)
    log.append(entry(9))
    scanned = making.assert_same_as_scan(log, log.path)
    assert scanned.op_ids[-1] == op_id(9)
    assert set(before.op_ids) <= set(scanned.op_ids)
    assert log.path.read_bytes().startswith(data)
    assert_reported(log.verify(), scanned)


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_bytes_are_read_as_a_plain_scan_reads_them(repo: Path, log: OpLog, name: str) -> None:
    """Blank lines are skipped, valid lines read, all else is damage, whichever handle or index looks."""
    add_bytes(log.path, FOREIGN[name])
    assert_same_but_for_spelling(log)
    log.append(entry(77))
    add_bytes(log.path, FOREIGN[name])
    assert_same_but_for_spelling(log)
    with OpLog(repo, "s") as again:
        assert_same_but_for_spelling(again)
        again.rebuild_index()
        assert_same_but_for_spelling(again)


def assert_same_but_for_spelling(log: OpLog) -> None:
    """The log is as the scan; which of a conflict and a duplicate a respelled line is, the engine may choose."""
    scanned = making.assert_same_as_scan(log, log.path)
    report = log.verify()
    assert making.places(report, "damaged-line", "torn-tail") == {span.byte_offset for span, _ in scanned.damaged}
    said_again = making.places(report, "duplicate", "conflicting-duplicate")
    assert said_again == {span.byte_offset for span in scanned.duplicates + scanned.conflicts}


def test_the_foreign_examples_hold_what_their_names_say() -> None:
    """The table above has valid entries where it means to, by the oracle's reading."""
    for name in ("CRLF", "a BOM", "blank lines", "unknown keys"):
        assert len(plain_scan.scan(FOREIGN[name]).entries) == 2, name
        assert plain_scan.scan(FOREIGN[name]).damaged == [], name
    assert b"\xe2\x80\xa8" in FOREIGN["a line separator in a text"]
    assert len(plain_scan.scan(FOREIGN["an op_id with two contents"]).conflicts) == 1


@given(PIECES, PIECES)
@examples(120)
def test_guarantee_5_any_bytes_at_all_are_read_as_a_plain_scan_reads_them(
    before: list[bytes], after: list[bytes]
) -> None:
    """Whatever lies in the file before and after an append, every answer is the plain scan's."""
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        add_bytes(log.path, b"".join(before))
        assert_same_as_scan_but_bom(log)
        log.append(entry(50))
        add_bytes(log.path, b"".join(after))
        scanned = assert_same_as_scan_but_bom(log)
        assert op_id(50) in scanned.op_ids
        log.rebuild_index()
        assert_same_as_scan_but_bom(log)


def assert_same_as_scan_but_bom(log: OpLog) -> plain_scan.PlainScan:
    """The log equals the scan in every answer."""
    return making.assert_same_as_scan(log, log.path)


def test_guarantee_1_a_further_key_survives_reading_merging_and_rebuilding(repo: Path, tmp_path: Path) -> None:
    """Unknown top-level keys of a foreign line come through every path, in their order."""
    made = {"zz": [1, {"é": None}], **entry(1), "aa": "last"}
    add_bytes(making.log_path(repo), line(made))
    with OpLog(repo, "s") as log, OpLog(tmp_path / "two", "s") as other:
        log.rebuild_index()
        assert exact_list(log.query()) == exact_list([made])
        assert other.merge(log) == 1
        assert exact_list(plain_scan.scan_file(other.path).entries) == exact_list([made])


def test_a_line_beyond_every_limit_is_damage_and_is_never_held_as_a_whole(repo: Path, log: OpLog) -> None:
    """400 MiB without a newline, as a crashed file system leaves them: one finding, bounded memory, all else read."""
    import tracemalloc

    add_bytes(log.path, line(entry(1)))
    before = log.path.stat().st_size
    os.truncate(log.path, before + 400 * 2**20)
    add_bytes(log.path, b"\n" + line(entry(3)))
    tracemalloc.start()
    try:
        assert [each["op_id"] for each in log] == [op_id(1), op_id(3)]
        (finding,) = log.verify().findings
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (finding.kind, finding.byte_offset) == ("damaged-line", before)
    assert finding.length in {400 * 2**20, 400 * 2**20 + 1}
    assert peak_bytes < 200 * 2**20
    log.append(entry(4))
    assert len(log) == 3


@pytest.mark.parametrize("how", ["deleted", "emptied", "cut inside", "replaced by a shorter", "replaced by a longer"])
@pytest.mark.parametrize("use", ["append", "read", "count", "query", "cut", "checkpoint", "next"])
def test_a_log_that_was_taken_away_while_open_is_noticed(repo: Path, log: OpLog, how: str, use: str) -> None:
    """Deleted, replaced or truncated below what was covered: a clear error, and no mixing of two logs."""
    log.append_many(entries(10))
    assert len(log) == 10
    whole = log.path.read_bytes()
    replacement = b"".join(line(entry(number)) for number in range(100, 103))
    if how == "deleted":
        log.path.unlink()
    elif how == "emptied":
        os.truncate(log.path, 0)
    elif how == "cut inside":
        os.truncate(log.path, len(whole) - 20)
    else:
        copies = replacement if how.endswith("shorter") else b"".join(line(entry(n)) for n in range(100, 150))
        staged = log.path.with_name("staged")
        staged.write_bytes(copies)
        staged.replace(log.path)
    now = log.path.read_bytes() if log.path.exists() else None
    calls = {
        "append": lambda: log.append(entry(50)),
        "read": log.read_all,
        "count": log.count,
        "query": lambda: list(log.query(domain="music")),
        "cut": log.cut,
        "checkpoint": lambda: log.checkpoint("x"),
        "next": log.next_lamport_ts,
    }
    with pytest.raises(LogReplacedError) as caught:
        calls[use]()
    assert isinstance(caught.value, RuntimeError)
    assert str(log.path) in str(caught.value)
    assert (log.path.read_bytes() if log.path.exists() else None) == now, "something was written into the other log"
    with OpLog(repo, "s") as again:
        making.assert_same_as_scan(again, again.path)
        again.append(entry(60))
        making.assert_same_as_scan(again, again.path)


def test_a_log_restored_from_a_copy_is_read_whole(repo: Path, log: OpLog) -> None:
    """A session folder restored from an older or newer copy, index and all, gives what the file says."""
    log.append_many(entries(5))
    older = log.path.read_bytes()
    log.append_many(entries(5, start=6))
    newer = log.path.read_bytes()
    log.close()
    for data in (older, newer, older + line(entry(70)), newer[: len(newer) // 2]):
        log.path.write_bytes(data)
        with OpLog(repo, "s") as again:
            making.assert_same_as_scan(again, again.path)


def test_a_directory_in_place_of_the_log_is_a_clear_error(repo: Path) -> None:
    """What can't be opened as a file raises an error, and nothing is made."""
    making.log_path(repo).mkdir(parents=True)
    before = making.tree(repo)
    with OpLog(repo, "s") as log, pytest.raises((OSError, MuseError)):
        log.append(entry(1))
    assert making.tree(repo) == before


def test_iteration_holds_no_more_than_a_piece_of_the_log(repo: Path, log: OpLog) -> None:
    """Iterating over 20 MiB of entries takes a fraction of that in memory."""
    import tracemalloc

    text = "x" * 10_000
    for start in range(1, 2_001, 100):
        log.append_many(entries(100, start=start, domain_op={"op": "x", "text": text}))
    tracemalloc.start()
    try:
        seen = Counter(each["actor_id"] for each in log)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == {"ada": 1_000, "bob": 1_000}
    assert peak_bytes < 8 * 2**20
