"""A redaction gets what an operation says out of the session, wherever it stands there, and changes nothing else."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.entry.marker import Redaction
from muse.core.handle_lock import Turn
from muse.core.maintenance.redact import redact
from muse.core.op_log import (
    Cut,
    InvalidArgumentError,
    LockTimeoutError,
    LogReplacedError,
    OpEntry,
    OpIdConflictError,
    OpLog,
    Options,
    RedactReport,
    UnknownOpError,
    export_session,
    fork_session,
    import_session,
    list_sessions,
    read_redacted,
)
from muse.core.storage.locks import exclusive_lock
from muse.core.storage.redactions import read_journal
from tests import making, plain_scan, samples
from tests.making import entries, entry, op_id

CANARY = "s3cr3t-CANARY"
WHY = {"by": "ada", "why": "held a token"}


def secret(number: int, **changes: Any) -> OpEntry:
    """An entry that nobody is to see."""
    return entry(number, **{"domain_op": {"op": "insert", "address": "a.env", "text": f"{CANARY} {number}"}, **changes})


def holding(folder: Path, text: str = CANARY) -> list[str]:
    """The files below a folder that hold a text, however often they are renamed or left behind."""
    return [name for name, data in making.tree(folder).items() if data and text.encode() in data]


def others(path: Path, *redacted: str) -> list[plain_scan.Entry]:
    """What a log says, by an independent scan, but for what some operations say."""
    found = plain_scan.scan_file(path).entries
    return [{**each, "domain_op": None} if each["op_id"] in redacted else each for each in found]


@pytest.fixture
def mixed(log: OpLog) -> OpLog:
    """A log of 50 entries with a secret in two, and a checkpoint between them."""
    log.append_many([*entries(20), secret(100), *entries(5, start=30)])
    log.checkpoint("one")
    log.append_many([*entries(20, start=40), secret(101), *entries(3, start=70)])
    return log


def test_a_redacted_secret_is_in_no_file_and_all_else_is_as_it_was(mixed: OpLog, repo: Path) -> None:
    """Byte-searched; offsets, order, cuts, checkpoint and every other entry stay, and verify finds a note."""
    cut, size, before = mixed.cut(), mixed.path.stat().st_size, others(mixed.path, op_id(100), op_id(101))
    places = [mixed.locate(each["op_id"]) for each in before]
    answers = making.answers(mixed) | {"entries": None, "by actor": None}

    done = mixed.redact(op_id(100), op_id(101), **WHY)

    assert (done.redacted, done.already, done.lines) == ((op_id(100), op_id(101)), (), 2)
    assert holding(repo) == []
    assert mixed.path.stat().st_size == size
    assert others(mixed.path, op_id(100), op_id(101)) == before
    assert [mixed.locate(each["op_id"]) for each in before] == places
    assert making.answers(mixed) | {"entries": None, "by actor": None} == answers
    assert mixed.cut() == cut
    assert mixed.read_checkpoint() is not None
    assert len(mixed.replay_since_checkpoint()) == 24
    report = mixed.verify()
    assert report.ok
    assert report.counts == {"redacted": 2}
    assert "ada" in report.findings[0].reason
    assert "held a token" in report.findings[0].reason
    making.assert_same_as_scan(mixed, mixed.path)


def test_a_redaction_says_who_when_and_why_in_the_log_and_beside_it(mixed: OpLog) -> None:
    """In the marker as far as there is room, in redacted.json in full; nothing there tells what it was."""
    why = "a token of the build server, which was revoked on the same day by those who own it"
    mixed.append(secret(100, domain_op={"op": "insert", "text": f"{CANARY} {'x' * 80}"}, op_id=op_id(102)))
    done = mixed.redact(op_id(102), by="ada", why=why)

    found = mixed.get(op_id(102))
    assert found is not None
    assert {**found["domain_op"], "why": ""} == {"op": "redacted", "by": "ada", "at": done.at, "why": ""}
    assert why.startswith(found["domain_op"]["why"].removesuffix("…"))
    said = json.loads(mixed.path.with_name("redacted.json").read_text())
    assert said == {"redacted": [{"op_id": op_id(102), "by": "ada", "at": done.at, "why": why}]}
    assert not mixed.path.with_name("redacting.json").exists()
    assert mixed.path.with_name("redacted.json").stat().st_mode == mixed.path.stat().st_mode


def test_handles_that_are_open_read_on_and_report_no_damage(
    mixed: OpLog, repo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One with its index on disk, one with it in memory, a follower at its position, an iterator in the middle."""
    with OpLog(repo, "s") as other, OpLog(repo, "s", options=Options(retry_seconds=600)) as in_memory:
        follower = other.follow(timeout=0)
        assert len(other) == len(in_memory) == 50
        in_memory._catch_up._memory_until = float("inf")
        in_memory._catch_up._close_index()
        reading = iter(in_memory)
        assert next(reading)["op_id"] == op_id(1)

        mixed.redact(op_id(100), **WHY)
        mixed.append(entry(200))

        for each in (other, in_memory):
            found = each.get(op_id(100))
            assert found is not None
            assert found["domain_op"]["op"] == "redacted"
            assert each.append(entry(201)) is (each is other)
            assert [e["op_id"] for e in each] == plain_scan.scan_file(mixed.path).op_ids
        assert len(list(reading)) == 49
        assert [each["op_id"] for each in follower] == [op_id(200), op_id(201)]
        assert other.verify().counts == {"redacted": 1}
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_every_index_that_was_made_before_takes_a_redaction_for_no_loss(mixed: OpLog, repo: Path) -> None:
    """An old copy of the index is put back: neither it nor what is made of it says that a line has changed."""
    mixed.close()
    index = making.log_path(repo).with_name("index.db")
    old = index.read_bytes()
    with OpLog(repo, "s") as log:
        log.redact(op_id(100), **WHY)
    index.write_bytes(old)
    with OpLog(repo, "s") as log:
        assert log.verify().counts.keys() <= {"redacted", "index-differs"}
        assert log.get(op_id(100)) is not None
        log.rebuild_index()
        assert log.verify().counts == {"redacted": 1}


def test_without_redacted_json_only_who_and_why_are_not_known(mixed: OpLog) -> None:
    """The marker is known by its form."""
    mixed.redact(op_id(100), **WHY)
    mixed.path.with_name("redacted.json").unlink()
    making.drop_index(mixed.path.parents[3])

    assert mixed.verify().counts == {"redacted": 1}
    assert mixed.append(secret(100)) is False
    mixed.checkpoint("two")
    assert mixed.verify().ok


@pytest.mark.parametrize("domain_op", [{}, {"a": 1}, {"p": "12"}, {"pin": "1234567"}, {"pin": "12345678"}])
def test_very_short_operations_are_redacted_too(log: OpLog, domain_op: dict[str, Any]) -> None:
    """Where the kind has no room nothing is left but `{ }`; it counts as redacted for whoever writes or merges."""
    log.append_many([entry(1), entry(2, domain_op=domain_op), entry(3)])
    before = log.path.stat().st_size

    log.redact(op_id(2), **WHY)

    found = log.get(op_id(2))
    assert found is not None
    assert found["domain_op"] in ({}, {"op": "redacted"})
    assert log.path.stat().st_size == before
    assert log.append(entry(2, domain_op=domain_op)) is False
    assert log.verify().ok


def foreign(number: int) -> Iterator[bytes]:
    """Lines that hold a secret under one op_id, each of another program or another fate."""
    said = secret(number)
    yield making.line(said)
    yield b"\xef\xbb\xbf  " + making.line({**said, "further": [1, 2]})
    yield json.dumps(dict(reversed(said.items())), indent=None, separators=(" ,", ": ")).encode() + b" \r\n"
    yield making.line(said).replace(b'"op_id"', b'"op\\u005fid"').replace(b'"domain_op"', b'"\\u0064omain_op"')
    yield making.line({**said, "domain_op": {"other": CANARY}})
    # These are damaged: a key twice, torn, glued, behind half a list of parents, with NULs, behind half an op_id.
    yield making.line(said)[:-2] + b', "domain_op": {"again": "' + CANARY.encode() + b'"}}\n'
    whole = json.dumps(said, separators=(",", ":")).encode()
    kept = json.dumps(entry(number + 1), separators=(",", ":")).encode()
    yield whole[:-3] + b"\n"
    yield kept + whole[:-9] + kept + whole + b"\n"
    yield b'{"op_id":"%s","parent_op_ids":["%s"' % (op_id(3).encode(), op_id(4).encode()) + whole + b"\n"
    yield whole[:-20] + bytes(10) + b"\n"
    yield b'{"op_id":"' + op_id(3)[:-8].encode() + whole[len('{"op_id":"') :] + b"\n"


def test_every_copy_of_an_operation_is_redacted_however_it_is_spelled_or_damaged(repo: Path) -> None:
    """Also in damaged lines and in a torn tail; whole entries of others in the same line stay readable there."""
    path = making.log_path(repo)
    lines = list(foreign(10))
    making.add_bytes(path, b"".join([making.line(entry(1)), *lines, making.line(entry(20, parent_op_ids=[op_id(10)]))]))
    making.add_bytes(path, json.dumps(secret(10), separators=(",", ":")).encode()[:-4])
    # The torn tail is ended, as by the next append.
    scan = plain_scan.scan(path.read_bytes() + b"\n")
    with OpLog(repo, "s") as log:
        done = log.redact(op_id(10), **WHY)

        assert done.lines == len(lines) + 1
        assert holding(repo) == []
        after = plain_scan.scan_file(path)
        assert (after.op_ids, after.spans) == (scan.op_ids, scan.spans)
        assert [span for span, _ in after.damaged] == [span for span, _ in scan.damaged]
        assert path.read_bytes().count(json.dumps(entry(11), separators=(",", ":")).encode()) == 2
        assert log.get(op_id(20)) == entry(20, parent_op_ids=[op_id(10)])
        log.append(entry(11))
        report = log.verify()
        assert report.counts == {"redacted": 1, "damaged-line": 6 + 1, "duplicate": 4}
        assert report.ok, report.findings
        assert log.redact(op_id(10), **WHY).already == (op_id(10),)


def test_what_is_only_in_a_damaged_line_can_be_redacted(log: OpLog, repo: Path) -> None:
    """It is no entry, and still somebody can read it."""
    log.append(entry(1))
    making.add_bytes(log.path, making.line(secret(7))[:-3] + b"\n")
    assert log.redact(op_id(7), **WHY).lines == 1
    assert holding(repo) == []


def test_of_several_operations_in_one_damaged_line_each_counts_as_redacted(log: OpLog) -> None:
    """In the report and in redacted.json; the line is overwritten once."""
    log.append(entry(1))
    making.add_bytes(log.path, b"".join(making.line(secret(number))[:-3] for number in (7, 8)) + b"\n")
    done = log.redact(op_id(7), op_id(8), **WHY)
    assert (done.redacted, done.already, done.lines) == ((op_id(7), op_id(8)), (), 1)
    assert read_redacted(log.folder).keys() == {op_id(7), op_id(8)}


def test_a_line_whose_writer_is_slow_is_not_taken_for_a_torn_tail(
    log: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the operation, and its write ends only when another one waits for it: what is acknowledged stays."""
    from muse.core.storage import durable

    log.append_many([entry(1), secret(7)])
    line = making.line(entry(8, domain_op={"op": "note", "about": op_id(7)}))
    making.add_bytes(log.path, line[:-20])
    rest = [line[-20:]]

    def after_the_write(call: Any) -> Any:
        def called(*arguments: Any) -> Any:
            # As the file system has it: it ends before the next one begins.
            making.add_bytes(log.path, rest.pop() if rest else b"")
            return call(*arguments)

        return called

    for name in ("overwrite", "append_bytes"):
        monkeypatch.setattr(durable, name, after_the_write(getattr(durable, name)))
    log.redact(op_id(7), **WHY)
    assert holding(repo) == []
    assert log.get(op_id(8)) == entry(8, domain_op={"op": "note", "about": op_id(7)})
    assert log.verify().counts == {"redacted": 1}


def test_an_unknown_operation_is_refused_and_nothing_is_done(mixed: OpLog) -> None:
    """Also if another one is known; and what is no op_id."""
    before = mixed.path.read_bytes()
    for unknown in (op_id(999), "nonsense", ""):
        with pytest.raises(UnknownOpError, match=r"ops\.jsonl"):
            mixed.redact(op_id(100), unknown, **WHY)
    for wrong in ({"by": ""}, {"why": ""}, {"why": "x" * 5000}):
        with pytest.raises(InvalidArgumentError):
            mixed.redact(op_id(100), **{**WHY, **wrong})
    assert mixed.path.read_bytes() == before
    assert mixed.redact(**WHY) == RedactReport((), (), 0, "ada", mixed.redact(**WHY).at, "held a token")


def test_a_redacted_operation_counts_as_there_with_any_content(mixed: OpLog) -> None:
    """It is not written again, by no way of writing, and nothing conflicts."""
    mixed.redact(op_id(100), **WHY)
    size = mixed.path.stat().st_size

    assert mixed.append(secret(100)) is False
    assert mixed.append_many([secret(100)]) == 0
    recorded = mixed.record("ada", "music", {"op": "insert", "text": CANARY}, op_id=op_id(100))
    assert recorded["domain_op"]["op"] == "redacted"
    assert mixed.append_lines(making.line(secret(100)))[0] == 0
    assert mixed.path.stat().st_size == size


def test_deltas_count_a_redacted_operation_as_redacted(mixed: OpLog) -> None:
    """Its place among the others is the same."""
    mixed.redact(op_id(101), **WHY)
    delta = mixed.to_structured_delta("music")
    assert delta == plain_scan.delta(plain_scan.scan_file(mixed.path).entries[26:], "music")
    assert "1 redacted" in delta["summary"]


# -- the checkpoint and the commits ----------------------------------------------------------------------------


def test_the_checkpoint_is_right_after_a_redaction_below_it_and_so_are_later_ones(mixed: OpLog) -> None:
    """Its digest is that of the log as it is, by an independent computation; and no evidence keeps the old one."""
    from hashlib import sha256

    old = mixed.read_checkpoint()
    assert old is not None
    mixed.redact(op_id(100), op_id(101), **WHY)
    mixed.checkpoint("two")
    record = mixed.read_checkpoint()
    link = bytes(32)
    for line in mixed.path.read_bytes().splitlines(keepends=True):
        link = sha256(link + line).digest()
    assert record is not None
    assert record["log_digest"] == link.hex()
    assert holding(mixed.folder, old["log_digest"]) == []
    # The record is restored from what the index has seen.
    mixed.path.with_name("checkpoint.json").unlink()
    mixed.repair()
    assert mixed.verify().counts == {"redacted": 2}


def test_the_checkpoint_is_right_after_a_redaction_of_lines_longer_than_one_read(log: OpLog) -> None:
    """The digest is computed before a byte is overwritten, piece by piece."""
    for number in (1, 2):
        log.append_many([secret(number, domain_op={"text": CANARY * (200_000 // number)}), entry(10 + number)])
    log.checkpoint("one")
    log.redact(op_id(1), op_id(2), **WHY)
    assert log.verify().counts == {"redacted": 2}


def test_a_checkpoint_that_is_restored_after_a_redaction_is_of_the_log_as_it_is(mixed: OpLog) -> None:
    """Its file was gone when something below it was redacted, so only the index had seen it."""
    old = mixed.read_checkpoint()
    assert old is not None
    mixed.path.with_name("checkpoint.json").unlink()
    mixed.redact(op_id(100), **WHY)
    assert mixed.repair().checkpoint is not None
    record = mixed.read_checkpoint()
    assert record is not None
    assert (record["snapshot_id"], record["op_count"]) == (old["snapshot_id"], old["op_count"])
    assert mixed.verify().counts == {"redacted": 1}
    mixed.close()
    assert holding(mixed.folder, old["log_digest"]) == []


def test_a_digest_that_was_wrong_before_is_wrong_after(mixed: OpLog) -> None:
    """A redaction hides no damage."""
    mixed.close()
    data = bytearray(mixed.path.read_bytes())
    at = data.index(b"content_summary")
    data[at + 18 : at + 20] = b"XX"
    mixed.path.write_bytes(bytes(data))
    with OpLog(mixed.path.parents[3], "s") as log:
        log.redact(op_id(100), **WHY)
        assert not log.verify().ok


def test_acceptances_name_a_damaged_line_as_it_is_after_a_redaction(log: OpLog) -> None:
    """And those of the operation are forgotten, since a checksum of a short secret tells it."""
    log.append(entry(1))
    kept = json.dumps(entry(5), separators=(",", ":")).encode()
    making.add_bytes(log.path, kept + json.dumps(secret(7), separators=(",", ":")).encode()[:-3] + b"\n")
    log.accept(log.verify().findings, by="ada", why="seen")
    assert log.verify().ok
    log.redact(op_id(7), **WHY)
    assert log.verify().ok


# -- replicas --------------------------------------------------------------------------------------------------


def replica(repo: Path, *made: OpEntry) -> OpLog:
    """Another log of the session."""
    log = OpLog(repo, "s")
    log.append_many(made)
    return log


def test_a_replica_loses_the_secret_by_merge_and_never_brings_it_back(mixed: OpLog, tmp_path: Path) -> None:
    """The redacted form wins in both directions, and both end with the same entries."""
    with replica(tmp_path / "other", secret(100), *entries(3, start=300)) as other:
        other.checkpoint("there")
        mixed.redact(op_id(100), **WHY)
        told: list[str] = []
        assert mixed.merge(other) == 3
        assert other.merge(mixed, on_redact=told.extend) == 49
        assert told == [op_id(100)]
        assert holding(tmp_path / "other", f"{CANARY} 100") == []
        assert other.verify().counts == {"redacted": 1}
        assert other.merge(mixed, on_redact=told.extend) == mixed.merge(other, on_redact=told.extend) == 0
        assert len(told) == 1
        ordered = [plain_scan.total_order(list(plain_scan.scan_file(each.path).entries)) for each in (mixed, other)]
        assert ordered[0] == ordered[1]
        said = [json.loads(each.path.with_name("redacted.json").read_text()) for each in (mixed, other)]
        assert said[0] == said[1]


def redact_as(log: OpLog, said: Redaction, number: int) -> None:
    """Redact an operation in somebody's name, at a time."""
    with Turn(log._lock):
        log._catch_up.suspend()
        redact(log._file, "s", {op_id(number): said})


EARLY, LATE = (Redaction("zoe", f"2026-01-0{day}T00:00:00+00:00", "a token") for day in (1, 2))


def test_the_earlier_redaction_goes_on_to_replicas_that_never_met_its_log(tmp_path: Path) -> None:
    """It takes it over in the place of its own, in redacted.json too, and so does whoever merges from it."""
    names = ("late", "early", "third")
    late, early, third = (replica(tmp_path / name, secret(1, domain_op={"text": "x" * 200})) for name in names)
    redact_as(late, LATE, 1)
    redact_as(early, EARLY, 1)
    late.merge(early)
    third.merge(late)
    told: list[str] = []
    third.merge(late, on_redact=told.extend)
    assert told == []
    for log in (late, early, third):
        assert plain_scan.scan_file(log.path).entries[0]["domain_op"] == {"op": "redacted", **EARLY._asdict()}
        assert read_redacted(log.folder) == {op_id(1): EARLY}
        log.close()


def test_of_two_redactions_at_once_the_earlier_is_kept(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one begins before it and ends after it."""
    place = "muse.core.maintenance.redact.exclusive_lock"

    def late_lock(path: Path, wait_seconds: float) -> Any:
        monkeypatch.setattr(place, exclusive_lock)
        with OpLog(repo, "s") as other:
            redact_as(other, EARLY, 100)
        return exclusive_lock(path, wait_seconds)

    monkeypatch.setattr(place, late_lock)
    redact_as(mixed, LATE, 100)
    assert read_redacted(mixed.folder) == {op_id(100): EARLY}
    found = mixed.get(op_id(100))
    assert found is not None
    assert found["domain_op"] == {"op": "redacted", "at": EARLY.at}


@pytest.mark.parametrize("way", ["repair", "merge", "append_lines"])
def test_what_was_redacted_and_is_lost_comes_back_redacted_from_another_replica(
    mixed: OpLog, tmp_path: Path, way: str
) -> None:
    """redacted.json still says so, and the other one has what it said."""
    repo = mixed.path.parents[3]
    with replica(tmp_path / "other", *mixed) as other:
        mixed.redact(op_id(100), by="ada", why="held a token " * 5)  # more than a marker has room for
        place = mixed.locate(op_id(100))
        assert place is not None
        mixed.close()
        overwrite_at(mixed.path, place[0] + 5, b"#")
        with OpLog(repo, "s") as log:
            if way == "repair":
                assert log.repair(source=other).taken == [op_id(100)]
            elif way == "merge":
                assert log.merge(other) == 1
            else:
                assert log.append_lines(other.path.read_bytes() * 2)[0] == 1
            assert holding(repo, f"{CANARY} 100") == []
            assert op_id(100) in {each["op_id"] for each in plain_scan.scan_file(log.path).entries}
            assert log.verify().ok


def test_no_checksum_is_left_of_an_operation_that_is_redacted_in_a_damaged_line(mixed: OpLog) -> None:
    """The index remembers that it is lost, and not of which bytes: a short secret is soon found by trying."""
    place = mixed.locate(op_id(100))
    assert place is not None
    checksum = zlib.crc32(mixed.path.read_bytes()[place[0] : sum(place)])
    mixed.close()
    overwrite_at(mixed.path, place[0] + 5, b"#")
    with OpLog(mixed.path.parents[3], "s") as log:
        for _ in range(2):
            (lost,) = making.lost(log.verify())
            assert lost.checksum == checksum
            log.rebuild_index()
        log.redact(op_id(100), by="ada", why="held a token")
        for _ in range(2):
            (lost,) = making.lost(log.verify())
            assert (lost.op_id, lost.byte_offset, lost.checksum) == (op_id(100), place[0], 0)
            log.rebuild_index()


def test_what_was_redacted_comes_back_redacted_out_of_a_damaged_line(mixed: OpLog) -> None:
    """Somebody put it there from a backup, behind half a line: repair appends what it holds, but not what it said."""
    last = making.line(secret(300))
    mixed.append_lines(last)
    mixed.redact(op_id(300), by="ada", why="held a token")
    place = mixed.locate(op_id(300))
    assert place is not None
    mixed.close()
    os.truncate(mixed.path, place[0] + 40)
    making.add_bytes(mixed.path, last)
    with OpLog(mixed.path.parents[3], "s") as log:
        assert log.repair().found_in_damage == [op_id(300)]
        found = log.get(op_id(300))
        assert found is not None
        assert found["domain_op"]["op"] == "redacted"


def test_a_redacted_operation_that_came_back_elsewhere_is_still_known_to_have_moved(log: OpLog, tmp_path: Path) -> None:
    """A checkpoint that is set back then covers nothing that was never committed.

    An older copy of the log, cut in a damaged line, is put back and goes on; a replica brings the rest; the index is
    made anew. Where the first operation was that is gone nothing is now: so how many are gone tells what is covered.
    """
    log.append_many(entries(4))
    making.add_bytes(log.path, b"x" * 9_000 + b"\n")
    log.append_many([secret(100), *entries(5, start=30)])
    log.redact(op_id(100), **WHY)
    log.checkpoint("one")
    data = log.path.read_bytes()
    covered = data.index(b"x" * 9_000)
    with replica(tmp_path / "other", *log) as other:
        log.path.write_bytes(data[: covered + 10])
        for number in (200, 201):
            with OpLog(log.path.parents[3], "s") as again:
                again.append(secret(number))
                again.merge(other)
                again.rebuild_index()
        with OpLog(log.path.parents[3], "s") as again:
            moved = again.repair(source=other).checkpoint
            assert moved is not None
            assert moved.byte_offset == covered
            pending = {each["op_id"] for each in again.replay_since_checkpoint()}
            assert {op_id(200), op_id(201)} <= pending


@pytest.mark.parametrize("way", ["merge", "append"])
def test_a_damaged_redacted_line_that_came_back_is_told_alike_before_and_after_a_rebuild(
    mixed: OpLog, tmp_path: Path, way: str
) -> None:
    """What it held is elsewhere again, in the same spelling or another, whichever index is asked."""
    mixed.redact(op_id(100), **WHY)
    place = mixed.locate(op_id(100))
    assert place is not None
    with replica(tmp_path / "other") as other:
        other.append_lines(mixed.path.read_bytes())
        overwrite_at(mixed.path, place[0], bytes(20))
        with OpLog(mixed.path.parents[3], "s") as log:
            if way == "merge":
                assert log.merge(other) == 1
            else:
                assert log.append(next(each for each in other if each["op_id"] == op_id(100)))
            before = log.verify().findings
            assert [each.severity for each in before if each.kind == "damaged-line"] == ["note"]
            log.rebuild_index()
            assert log.verify().findings == before


@samples.examples(12)
@given(st.permutations([(a, b) for a in range(3) for b in range(3) if a != b] * 2))
def test_redactions_made_on_several_replicas_end_the_same_in_any_order_of_merges(order: list[tuple[int, int]]) -> None:
    """Three replicas, two of which have redacted one operation by themselves: a join, as always."""
    with making.fresh_repo() as root:
        logs = [replica(root / str(number), secret(1), entry(10 + number)) for number in range(3)]
        logs[0].redact(op_id(1), by="zoe", why="mine")
        logs[1].redact(op_id(1), by="bob", why="also mine")
        for target, source in [*order, (0, 1), (0, 2), (1, 0), (2, 0)]:
            logs[target].merge(logs[source])
        found = [sorted(map(plain_scan.exact, plain_scan.scan_file(log.path).entries)) for log in logs]
        assert found[0] == found[1] == found[2]
        assert all(log.verify().ok for log in logs)
        assert not any(holding(log.folder) for log in logs)
        for log in logs:
            log.close()


def test_lines_of_others_bring_a_redaction_whatever_comes_first(log: OpLog, tmp_path: Path) -> None:
    """The marker before the secret, after it, and in one batch with it."""
    with replica(tmp_path / "other", secret(1), secret(2), secret(3)) as other:
        other.redact(op_id(1), op_id(2), op_id(3), **WHY)
        marked = other.path.read_bytes().splitlines(keepends=True)
    plain = [json.dumps(secret(number), separators=(",", ":")).encode() + b"\n" for number in (1, 2, 3)]
    assert log.append_lines(plain[0])[0] == 1
    assert log.append_lines(marked[0])[0] == 0
    assert log.append_lines(marked[1])[0] == 1
    assert log.append_lines(plain[1])[0] == 0
    assert log.append_lines(plain[2] + marked[2] + plain[2])[0] == 1
    assert holding(log.folder) == []
    assert log.path.read_bytes() == b"".join(marked)
    with pytest.raises(OpIdConflictError):
        log.append_many([secret(9), entry(9, domain_op={"op": "redacted"})])


def test_an_export_made_afterwards_is_clean_and_its_import_knows_the_redaction(mixed: OpLog, tmp_path: Path) -> None:
    """redacted.json travels with the log; what is not one is refused."""
    mixed.redact(op_id(100), op_id(101), **WHY)
    with (tmp_path / "archive").open("wb") as file:
        manifest = export_session(mixed, file)
    assert manifest.members.keys() == {"ops.jsonl", "checkpoint.json", "redacted.json"}
    with (tmp_path / "archive").open("rb") as file:
        import_session(tmp_path / "there", file)
    assert holding(tmp_path / "there") == []
    with OpLog(tmp_path / "there", "s") as log:
        assert log.verify().counts == {"redacted": 2}
        assert log.read_all() == mixed.read_all()
        assert "held a token" in log.verify().findings[0].reason


# -- what was cut off ------------------------------------------------------------------------------------------


def cut_off(log: OpLog, monkeypatch: pytest.MonkeyPatch, *others: str) -> None:
    """Begin to redact operation 100 and perhaps others, and have it end before the first byte is written."""
    from muse.core.storage import durable

    there = log.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(durable, "overwrite", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            log.redact(op_id(100), *others, **WHY)
    assert log.path.read_bytes() == there


def overwrite_at(path: Path, at: int, data: bytes) -> None:
    """Write over some bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def cut_off_half_written(log: OpLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, and some bytes were written: the line is no JSON."""
    place = log.locate(op_id(100))
    assert place is not None
    cut_off(log, monkeypatch)
    overwrite_at(log.path, place[0] + place[1] // 2, b'"}{"')
    assert plain_scan.scan_file(log.path).damaged


def test_verify_finishes_a_redaction_that_is_cut_off_while_it_reads(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what the killed one has overwritten already would differ from the index, which it has not made anew."""
    with OpLog(repo, "s") as log:
        cuts = iter([lambda: cut_off_half_written(mixed, monkeypatch)])
        report = log.verify(progress=lambda _done, _total: next(cuts, lambda: None)())
        assert report.counts == {"redacted": 1}
    assert holding(mixed.folder, f"{CANARY} 100") == []


@pytest.mark.parametrize("how", ["read", "append", "checkpoint", "verify", "summary", "other"])
def test_whoever_comes_next_finishes_a_redaction_that_was_cut_off(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """By this handle or a new one."""
    from muse.core.op_log import describe_sessions

    cut_off(mixed, monkeypatch)
    assert holding(mixed.folder) == ["ops.jsonl"]
    assert CANARY not in mixed.path.with_name("redacting.json").read_text()
    with OpLog(repo, "s") as log:
        match how:
            case "read":
                assert (log.get(op_id(100)) or {"domain_op": {}})["domain_op"].get("op") == "redacted"
            case "append":
                assert log.append(secret(100)) is False
            case "checkpoint":
                log.checkpoint("two")
            case "verify":
                assert log.verify().ok
            case "summary":
                assert describe_sessions(repo)[0].ops == 50
            case _:
                log.redact(op_id(101), **WHY)
        assert holding(mixed.folder, f"{CANARY} 100") == []
        assert not log.path.with_name("redacting.json").exists()
        assert log.verify().ok
        assert op_id(100) in log.path.with_name("redacted.json").read_text()


def test_a_line_half_rewritten_is_read_when_it_is_whole(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill can end a write where a page ends: the next who reads finishes it, and no answer has half of it."""
    cut_off_half_written(mixed, monkeypatch)
    with OpLog(repo, "s") as log:
        assert log.append(secret(100)) is False
        assert (log.get(op_id(100)) or {"domain_op": {}})["domain_op"].get("op") == "redacted"
        assert log.verify().counts == {"redacted": 1}


def test_redacted_again_a_line_half_rewritten_is_finished_and_not_taken_for_damage(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no other call has come in between."""
    cut_off_half_written(mixed, monkeypatch)
    with OpLog(repo, "s") as log:
        assert log.redact(op_id(100), **WHY).already == (op_id(100),)
        assert len(log) == 50
        assert log.verify().counts == {"redacted": 1}


def test_while_lines_are_being_rewritten_no_copy_of_them_is_made(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No fork, no export, no commit: half a line would stay so there. When it is finished, each of them goes well."""
    cut_off_half_written(mixed, monkeypatch)
    begin, now = Cut("s", 0, 0), Cut("s", mixed.path.stat().st_size, 50)
    with OpLog(repo, "s") as log, exclusive_lock(mixed.path, 1), monkeypatch.context() as patch:
        patch.setattr("muse.core.storage.redactions._WAIT_SECONDS", 0.01)
        patch.setattr("muse.core.checkpoint.cut._WAIT_SECONDS", 0.01)
        with pytest.raises(LogReplacedError, match="fork it again"):
            fork_session(repo, "s", "new")
        with pytest.raises(LogReplacedError, match="export it again"), (tmp_path / "archive").open("wb") as file:
            export_session(log, file)
        with pytest.raises(LockTimeoutError):
            log.read_slice(begin, now)
    assert list_sessions(repo) == ["s"]
    with OpLog(repo, "s") as log:
        lines, found = log.read_slice(begin, now)
        assert CANARY.encode() + b" 100" not in lines
        assert len(found) == 50
        fork_session(repo, "s", "new")
        assert making.log_bytes(repo, "new") == lines


def test_the_checkpoint_stays_right_if_a_line_above_it_was_lost_with_the_power(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was acknowledged without a flush, and the journal of the redaction was on the disk before it."""
    place = mixed.locate(op_id(101))
    assert place is not None
    cut_off(mixed, monkeypatch, op_id(101))
    mixed.close()
    making.drop_index(repo)
    os.truncate(mixed.path, place[0])
    with OpLog(repo, "s") as log:
        assert log.verify().counts == {"redacted": 1}
        assert holding(repo) == []


def test_what_is_no_journal_stops_nobody(mixed: OpLog, repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    """JSON of another form beside the log: it is left alone, and all goes on without waiting for a redaction."""
    there = mixed.path.read_bytes()
    no_change = {"line": 0, "length": 1, "spans": [], "text": "", "rest": 0}
    for other in (
        {"changes": [{**no_change, "line": "x"}]},
        {"changes": [{**no_change, "spans": [[1]]}]},
        {"changes": [{**no_change, "rest": None}]},
        {"checkpoint": [5]},
        {"checkpoint": "abc"},
        {"redacted": [{"op_id": "x", "by": 1, "at": 2, "why": []}]},
    ):
        journal = {"redacted": [], "changes": [no_change], "checkpoint": None, **other}
        mixed.path.with_name("redacting.json").write_text(json.dumps(journal))
        assert read_journal(mixed.folder) is None
    with OpLog(repo, "s") as log:
        assert len(log) == 50
        log.checkpoint("two")
        assert log.verify().ok
        assert export_session(log, BytesIO()).members.keys() == {"ops.jsonl", "checkpoint.json"}
    fork_session(repo, "s", "fork")
    assert mixed.path.read_bytes() == making.log_bytes(repo, "fork") == there
    assert "not finished" not in caplog.text


def test_a_journal_of_another_log_overwrites_nothing(
    mixed: OpLog, repo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each line has to be the one that was meant, but for what is overwritten; and what is no journal is left alone."""
    cut_off(mixed, monkeypatch)
    with replica(tmp_path / "other", *entries(60, start=500)) as other:
        there = other.path.read_bytes()
        shutil.copy(mixed.path.with_name("redacting.json"), other.folder)
    with OpLog(tmp_path / "other", "s") as other:
        assert len(other) == 60
        assert other.path.read_bytes() == there
        other.path.with_name("redacting.json").write_text("{}")
        assert other.verify().ok
        assert other.path.read_bytes() == there
