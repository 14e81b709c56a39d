"""The checkpoint record: never lost silently, never moved backwards, never taken for another session's."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import (
    CheckpointBackwardsError,
    CheckpointError,
    Cut,
    DamagedCheckpointError,
    LogReplacedError,
    MuseError,
    OpLog,
    describe_sessions,
)
from tests import children, making
from tests.making import entries, entry, op_id
from tests.plain_scan import exact, exact_list

FIVE = ("session_id", "snapshot_id", "lamport_ts", "op_count", "created_at")


def checkpoint_path(repo: Path, session: str = "s") -> Path:
    """Where the checkpoint of a session lies, by the contract."""
    return making.log_path(repo, session).with_name("checkpoint.json")


def read_record(repo: Path) -> dict[str, Any]:
    """The record on disk, by plain json."""
    record = json.loads(checkpoint_path(repo).read_bytes())
    assert isinstance(record, dict)
    return record


def test_the_record_says_what_was_covered(repo: Path, log: OpLog) -> None:
    """The five fields hold session, snapshot, highest covered timestamp, number of entries and time."""
    log.append_many([entry(1, lamport_ts=90), entry(2, lamport_ts=7)])
    given_back = log.checkpoint("snapshot é")
    record = read_record(repo)
    assert {name: record[name] for name in FIVE[:4]} == {
        "session_id": "s",
        "snapshot_id": "snapshot é",
        "lamport_ts": 90,
        "op_count": 2,
    }
    assert tuple(record)[:5] == FIVE
    assert record["created_at"].startswith("20")
    assert given_back == log.read_checkpoint()
    assert dict(given_back) == record
    log.append(entry(3))
    assert log.checkpoint("next")["op_count"] == 3
    assert [path.name for path in log.folder.iterdir() if "checkpoint" in path.name] == ["checkpoint.json"]


def test_a_checkpoint_of_an_empty_session_covers_nothing(log: OpLog) -> None:
    """A checkpoint before the first entry is either refused as a MuseError or covers 0 entries."""
    try:
        record = log.checkpoint("empty")
    except MuseError:
        assert log.read_checkpoint() is None
    else:
        assert (record["op_count"], record["lamport_ts"]) == (0, 0)
    log.append(entry(1))
    assert exact_list(log.replay_since_checkpoint()) == [exact(entry(1))]


@pytest.mark.parametrize("snapshot_id", ["", None, 5, "\ud800", b"x"])
def test_a_snapshot_id_must_be_text(log: OpLog, snapshot_id: Any) -> None:
    """A bad snapshot id is refused and no record is made."""
    log.append(entry(1))
    with pytest.raises(MuseError) as caught:
        log.checkpoint(snapshot_id)
    assert isinstance(caught.value, ValueError)
    assert log.read_checkpoint() is None


def test_guarantee_7_replay_begins_where_the_checkpoint_ends_in_arrival_order(repo: Path, log: OpLog) -> None:
    """After each of several checkpoints, replay is the plain slice, from this handle and a new one."""
    made = [entry(number, lamport_ts=(number * 37) % 50) for number in range(1, 51)]
    covered = 0
    for position, each in enumerate(made, 1):
        log.append(each)
        if position % 10 == 3:
            covered = log.checkpoint(f"at {position}")["op_count"]
            assert covered == position
        assert exact_list(log.replay_since_checkpoint()) == exact_list(made[covered:position])
    with OpLog(repo, "s") as again:
        assert exact_list(again.replay_since_checkpoint()) == exact_list(made[covered:])
        assert again.count(since_checkpoint=True) == 50 - covered


def test_guarantee_7_the_highest_covered_timestamp_never_decides_what_is_replayed(log: OpLog) -> None:
    """Entries below, at and above the checkpoint's timestamp that arrive later are all replayed."""
    log.append_many([entry(1, lamport_ts=10), entry(2, lamport_ts=20)])
    log.checkpoint("one")
    late = [entry(number, lamport_ts=stamp) for number, stamp in ((3, 20), (4, 0), (5, 15), (6, 21))]
    log.append_many(late)
    assert exact_list(log.replay_since_checkpoint()) == exact_list(late)


def test_a_record_with_only_the_first_five_fields_is_read(repo: Path, log: OpLog) -> None:
    """op_count alone says where replay begins: so many lines with an entry, repeated or not, lie before it."""
    data = making.line(entry(1)) + b"\n" + making.line(entry(1)) + b"damage\n"
    making.add_bytes(log.path, data + b"".join(map(making.line, entries(6, start=2))))
    record = {
        "session_id": "s",
        "snapshot_id": "x",
        "lamport_ts": 3,
        "op_count": 3,
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    checkpoint_path(repo).write_text(json.dumps(record))
    assert [each["op_id"] for each in log.replay_since_checkpoint()] == [op_id(n) for n in (3, 4, 5, 6, 7)]
    assert log.count(since_checkpoint=True) == 5
    found = log.read_checkpoint()
    assert found is not None
    assert {name: dict(found)[name] for name in FIVE} == record
    log.append(entry(50))
    old = {**record, "op_count": 2}
    assert log.checkpoint("all")["op_count"] == 8
    assert log.replay_since_checkpoint() == []
    # Written again as it was before: whoever has seen the newer one refuses it, as every other older record.
    checkpoint_path(repo).write_text(json.dumps(old))
    with OpLog(repo, "s") as again, pytest.raises(DamagedCheckpointError, match="older"):
        again.replay_since_checkpoint()
    making.drop_index(repo)
    with OpLog(repo, "s") as again:
        assert len(again.replay_since_checkpoint()) == 7


def _changed(data: bytes, **changes: object) -> bytes:
    return json.dumps({**json.loads(data), **changes}).encode()


def _five(data: bytes, **changes: object) -> bytes:
    record = json.loads(data)
    return json.dumps({**{name: record[name] for name in FIVE}, **changes}).encode()


def _pushed(data: bytes) -> bytes:
    """Every integer of the record but the timestamp moved far out."""
    return json.dumps(
        {
            name: value + 10**6 if type(value) is int and name != "lamport_ts" else value
            for name, value in json.loads(data).items()
        }
    ).encode()


DAMAGED: dict[str, Callable[[bytes], bytes | None]] = {
    "missing though made": lambda _: None,
    "empty": lambda _: b"",
    "blank": lambda _: b"  \n",
    "half-written": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data.rstrip()[:-1],
    "NULs": lambda data: b"\x00" * len(data),
    "random": lambda _: bytes(range(256)),
    "null": lambda _: b"null",
    "an array": lambda data: b"[" + data + b"]",
    "of another session": lambda data: _changed(data, session_id="other"),
    "without session": lambda data: _changed(data, session_id=None),
    "beyond the log's end": lambda data: _five(data, op_count=1_000),
    "beyond the log's end, by bytes too": _pushed,
    "with a negative count": lambda data: _changed(data, op_count=-1),
    "with a count that is text": lambda data: _changed(data, op_count="3"),
    "with a count that is a bool": lambda data: _changed(data, op_count=True),
    "with a float count": lambda data: _changed(data, op_count=3.0),
    "without a count": lambda data: _changed(data, op_count=None),
    "with a count that does not fit its other fields": lambda data: _changed(data, op_count=2),
    "twice in a row": lambda data: data + data,
    "with a duplicate key": lambda data: data.replace(b'"op_count"', b'"op_count": 0, "op_count"', 1),
}


@pytest.mark.parametrize("opened", ["same handle", "new handle"])
@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_checkpoint_is_never_taken_for_none(repo: Path, log: OpLog, how: str, opened: str) -> None:
    """Reading it, replaying, collapsing and checkpointing raise an error that names the file; appends go on."""
    log.append_many(entries(3))
    log.checkpoint("one")
    log.append_many(entries(2, start=4))
    path = checkpoint_path(repo)
    spoiled = DAMAGED[how](path.read_bytes())
    if spoiled is None:
        path.unlink()
    else:
        path.write_bytes(spoiled)
    if opened == "new handle":
        log.close()
        log = OpLog(repo, "s")
    for use in (
        log.replay_since_checkpoint,
        lambda: log.to_structured_delta("music"),
        lambda: list(log.query(since_checkpoint=True)),
        lambda: log.count(since_checkpoint=True),
        lambda: log.checkpoint("two"),
    ):
        with pytest.raises(DamagedCheckpointError, match=r"checkpoint\.json"):
            use()
    assert (path.read_bytes() if path.exists() else None) == spoiled, "the damaged record was replaced"
    log.append(entry(9))
    assert making.assert_same_as_scan(log, log.path).op_ids[-1] == op_id(9)
    assert not log.verify().ok
    assert any("checkpoint" in each.kind and each.remedy for each in log.verify().findings)
    log.close()


def test_a_missing_record_in_a_session_without_checkpoint_is_no_damage(repo: Path) -> None:
    """Where none was ever made there is none, with or without an index."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3))
    making.drop_index(repo)
    with OpLog(repo, "s") as log:
        assert log.read_checkpoint() is None
        assert len(log.replay_since_checkpoint()) == 3
        assert log.verify().ok


ALTERED: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a line was taken out": lambda lines: lines[1:],
    "cut off below it": lambda lines: lines[:3],
    "replaced by another log": lambda _: [making.line(each) for each in entries(30, start=400)],
    "its last covered line altered": lambda lines: [*lines[:6], lines[6].replace(b"ada", b"eve"), *lines[7:]],
    "its first line altered": lambda lines: [lines[0].replace(b"ada", b"eve"), *lines[1:]],
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_log_that_was_altered_below_its_checkpoint_is_noticed(repo: Path, how: str) -> None:
    """Cut or replaced: replay refuses. Altered in place: at the latest verify reports the digest."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(6, actor_id="ada"))
        log.append(entry(50))
        log.checkpoint("one")
        log.append_many(entries(3, start=60))
    lines = making.log_bytes(repo).splitlines(keepends=True)
    data = b"".join(ALTERED[how](lines))
    if data == b"".join(lines):
        pytest.fail("the example alters nothing")
    making.drop_index(repo)
    making.log_path(repo).write_bytes(data)
    with OpLog(repo, "s") as log:
        report = log.verify()
        assert not report.ok
        assert any("checkpoint" in each.kind for each in report.findings)
        if how in {"a line was taken out", "cut off below it", "replaced by another log"}:
            with pytest.raises((CheckpointError, LogReplacedError)):
                log.replay_since_checkpoint()


def test_every_flipped_byte_below_a_checkpoint_is_reported_by_its_digest(repo: Path) -> None:
    """Without any index, verify notices each single changed byte of what the checkpoint covers."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3))
        log.checkpoint("one")
        log.append(entry(9))
    data = making.log_bytes(repo)
    covered = sum(map(len, data.splitlines(keepends=True)[:3]))
    for position in range(0, covered, 5):
        making.drop_index(repo)
        flipped = bytearray(data)
        flipped[position] ^= 1
        making.log_path(repo).write_bytes(bytes(flipped))
        with OpLog(repo, "s") as log:
            report = log.verify()
            assert not report.ok, position
            assert any("checkpoint" in each.kind for each in report.findings), position


def test_a_checkpoint_survives_without_an_index(repo: Path) -> None:
    """The cut of the record leads to the right entry when the index is gone, and after a rebuild."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(30))
        log.checkpoint("one")
        log.append_many(entries(7, start=31))
    making.drop_index(repo)
    with OpLog(repo, "s") as log:
        assert exact_list(log.replay_since_checkpoint()) == exact_list(entries(7, start=31))
        log.rebuild_index()
        assert exact_list(log.replay_since_checkpoint()) == exact_list(entries(7, start=31))
        with pytest.raises(CheckpointBackwardsError):
            log.checkpoint("back", upto=Cut("s", sum(map(len, making.log_bytes(repo).splitlines(True)[:9])), 9))


def test_a_session_folder_moved_elsewhere_keeps_its_checkpoint(repo: Path, tmp_path: Path) -> None:
    """Copied to another repository without its index, the session replays the same."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(10))
        log.checkpoint("one")
        log.append(entry(11))
        expected = exact_list(log.replay_since_checkpoint())
    for name in ("ops.jsonl", "checkpoint.json"):
        target = making.log_path(tmp_path / "moved").with_name(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(making.log_path(repo).with_name(name).read_bytes())
    with OpLog(tmp_path / "moved", "s") as log:
        assert exact_list(log.replay_since_checkpoint()) == expected
        assert log.verify().ok


def test_threads_that_checkpoint_at_once_never_move_it_backwards(repo: Path) -> None:
    """Eight threads with their own handles give cuts in any order: the highest one granted is what stays."""
    with OpLog(repo, "s") as log:
        cuts = []
        for number in range(1, 41):
            log.append(entry(number))
            cuts.append(log.cut())
    granted: list[int] = []
    failures: list[BaseException] = []

    def work(own: list[Cut]) -> None:
        try:
            with OpLog(repo, "s") as handle:
                for cut in own:
                    try:
                        granted.append(handle.checkpoint(f"at {cut.op_count}", upto=cut)["op_count"])
                    except CheckpointBackwardsError:
                        record = handle.read_checkpoint()
                        assert record is not None
                        assert record["op_count"] > cut.op_count
        except BaseException as error:  # noqa: BLE001 - a thread must hand its failure to the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=(cuts[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert read_record(repo)["op_count"] == max(granted) == 40


@pytest.mark.process
@pytest.mark.slow
def test_processes_that_checkpoint_at_once_never_lose_one(repo: Path) -> None:
    """Three processes append and checkpoint in turn: each one's checkpoints rise and the last one stands."""
    workers = [children.start_worker("checkpoint_often", repo, f"w{number}", 60) for number in range(3)]
    told = children.race(workers)
    numbers = []
    for own in told:
        assert {each for each in own if isinstance(each, str)} <= {"CheckpointBackwardsError"}
        granted = [each for each in own if isinstance(each, int)]
        assert granted == sorted(granted)
        numbers.extend(granted)
    assert read_record(repo)["op_count"] == max(numbers)
    with OpLog(repo, "s") as log:
        assert len(log) == 180
        assert len(log.replay_since_checkpoint()) == 180 - max(numbers)
        assert log.verify().ok


@pytest.mark.process
def test_no_half_written_record_is_left_when_the_disk_refuses(repo: Path, log: OpLog) -> None:
    """A checkpoint that can't be written leaves the old one, raises, and leaves no stray file."""
    log.append_many(entries(2))
    log.checkpoint("one")
    before = checkpoint_path(repo).read_bytes()
    log.append(entry(3))
    blocked = "x" * 20_000_000
    names = {path.name for path in log.folder.iterdir()}
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (4_096_000, resource.RLIM_INFINITY))
            try:
                log.checkpoint(blocked)
            except (MuseError, OSError):
                code = 0
        finally:
            os._exit(code)
    assert children.wait_for_child(pid) == 0
    assert checkpoint_path(repo).read_bytes() == before
    assert {path.name for path in log.folder.iterdir() if not path.name.startswith("index.db")} == {
        name for name in names if not name.startswith("index.db")
    }
    assert log.checkpoint("two")["op_count"] == 3


def test_pending_of_a_session_counts_what_is_replayed_after_a_covered_line_was_damaged(repo: Path) -> None:
    """A damaged line below the checkpoint is no entry any more; none of those after it are taken for covered."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(6))
        log.checkpoint("snapshot")
        log.append_many(entries(3, start=7))
    lines = making.log_path(repo).read_bytes().splitlines(keepends=True)
    lines[2] = b"x" * (len(lines[2]) - 1) + b"\n"
    making.log_path(repo).write_bytes(b"".join(lines))
    making.log_path(repo).with_name("index.db").unlink()
    with OpLog(repo, "s") as log:
        assert len(log.replay_since_checkpoint()) == 3
    (summary,) = describe_sessions(repo)
    assert (summary.ops, summary.pending) == (8, 3)
