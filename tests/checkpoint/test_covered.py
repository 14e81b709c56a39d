"""What a checkpoint covers once the log was changed below it: never what no commit holds, and all else as before."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from muse.core.op_log import Cut, DamagedCheckpointError, OpLog
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list

LINES = [making.line(entry(100 + number)) for number in range(12)]
"""All of one length, so that what comes later may end where something else ended."""
LENGTH = len(LINES[0])


def covered(repo: Path, lines: int = 8, pending: int = 0) -> Path:
    """A session whose checkpoint covers so many of the lines, and so many more follow."""
    path = making.log_path(repo)
    making.add_bytes(path, b"".join(LINES[:lines]))
    with OpLog(repo, "s") as log:
        log.checkpoint("one")
    making.add_bytes(path, b"".join(LINES[lines : lines + pending]))
    with OpLog(repo, "s") as log:
        assert len(log.replay_since_checkpoint()) == pending
    return path


def assert_refused(repo: Path) -> None:
    """Nothing is replayed, and verify tells why: before the log is read, after it was, and after a rebuild."""
    for rebuilt in (False, True):
        with OpLog(repo, "s") as log:
            assert log.verify().counts["checkpoint-damaged"] == 1
            assert exact_list(log) == exact_list(plain_scan.scan_file(log.path).entries)
            with pytest.raises(DamagedCheckpointError):
                log.replay_since_checkpoint()
            assert log.verify().counts["checkpoint-damaged"] == 1
            if not rebuilt:
                log.rebuild_index()


def assert_pending(repo: Path, end: int) -> None:
    """What begins at the end of the covered bytes or later is pending, and verify finds no fault with the record."""
    with OpLog(repo, "s") as log:
        pending = [each for each, span in plain_scan.scan_file(log.path).placed if span.byte_offset >= end]
        assert exact_list(log.replay_since_checkpoint()) == exact_list(pending)
        assert not log.verify().counts.get("checkpoint-damaged")
        log.checkpoint("next")
        assert log.replay_since_checkpoint() == []


@pytest.mark.parametrize("index", ["kept", "deleted"])
def test_operations_with_counted_op_ids_are_not_taken_for_those_that_were_committed(repo: Path, index: str) -> None:
    """An older copy that went on, with op_ids that differ in one digit: not bits that were flipped."""
    counted = [
        making.line(entry(100, op_id=str(uuid.UUID(int=(4 << 76) + (8 << 60) + number)))) for number in range(12)
    ]
    path = making.log_path(repo)
    making.add_bytes(path, b"".join(counted[:8]))
    with OpLog(repo, "s") as log:
        log.checkpoint("one")
    path.write_bytes(b"".join([*counted[:5], *counted[9:12]]))
    if index == "deleted":
        making.drop_index(repo)
    assert_refused(repo)


def test_what_lies_where_something_was_lost_is_not_taken_for_committed(repo: Path) -> None:
    """An older copy that went on, and the last ones came back from a replica that lacked one: they end as before."""
    path = covered(repo)
    path.write_bytes(b"".join([*LINES[:5], LINES[9], *LINES[6:8]]))
    assert_refused(repo)


def test_an_operation_that_changed_places_with_a_committed_one_is_not_taken_for_it(repo: Path) -> None:
    """Nothing is lost, but what was pending lies below the cut."""
    path = covered(repo, pending=2)
    path.write_bytes(b"".join([*LINES[:3], LINES[9], *LINES[4:9], LINES[3]]))
    assert_refused(repo)


@pytest.mark.parametrize("index", ["kept", "deleted"])
def test_more_entries_than_were_covered_are_not_all_taken_for_committed(repo: Path, index: str) -> None:
    """A line that could not be read when the commit was made is whole again: no commit has it."""
    path = making.log_path(repo)
    unread = bytes(LENGTH - 1) + b"\n"
    making.add_bytes(path, b"".join([*LINES[:3], unread, *LINES[4:8]]))
    with OpLog(repo, "s") as log:
        assert log.checkpoint("one")["op_count"] == 7
    path.write_bytes(b"".join(LINES[:8]))
    if index == "deleted":
        making.drop_index(repo)
    with OpLog(repo, "s") as log:
        log.rebuild_index()
    assert_refused(repo)


def flip_op_id(line: bytes) -> bytes:
    """Two bits flipped in its op_id, so that it is another one."""
    at = line.index(b'"op_id": "') + len(b'"op_id": "')
    return line[:at] + bytes(each ^ 1 for each in line[at : at + 2]) + line[at + 2 :]


@pytest.mark.parametrize("number", [0, 4, 7])
@pytest.mark.parametrize(
    "damage",
    [flip_op_id, lambda line: b" " * (len(line) - 1) + b"\n", lambda line: b"\n" * len(line), lambda _: LINES[0]],
    ids=["an op_id altered", "spaces", "newlines", "a copy of another line"],
)
@pytest.mark.parametrize("index", ["kept", "deleted"])
def test_a_line_that_is_overwritten_costs_that_line_alone(
    repo: Path, number: int, damage: Callable[[bytes], bytes], index: str
) -> None:
    """The checkpoint covers what it covered, whatever is left of one line."""
    path = covered(repo, pending=2)
    path.write_bytes(b"".join([*LINES[:number], damage(LINES[number]), *LINES[number + 1 : 10]]))
    if index == "deleted":
        making.drop_index(repo)
    assert_pending(repo, 8 * LENGTH)


@pytest.mark.parametrize("index", ["as it was", "rebuilt"])
def test_what_was_lost_before_a_checkpoint_does_not_undo_it(repo: Path, index: str) -> None:
    """A loss that was accepted: what lies there since is committed like all else, and damage costs one line of that."""
    path = covered(repo)
    path.write_bytes(b"".join(LINES[:5]))
    with OpLog(repo, "s") as log:
        log.accept(log.verify(max_findings=None).findings[:1], by="ada", why="nobody has them")
        moved = log.repair().checkpoint
        assert moved
        assert moved.byte_offset == 5 * LENGTH
        log.append_many(entries(6, start=300))
        end = log.cut().byte_offset
        log.checkpoint("two")
        log.append(entry(400))
        if index == "rebuilt":
            log.rebuild_index()
        assert [each["op_id"] for each in log.replay_since_checkpoint()] == [op_id(400)]
    for at in (2 * LENGTH, 5 * LENGTH + 20, end - 20):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"###")
    assert_pending(repo, end)


def test_what_was_lost_before_a_cut_does_not_undo_it(repo: Path) -> None:
    """A line below it is damaged later, while its commit is made: the cut is still one of this log."""
    path = making.log_path(repo)
    making.add_bytes(path, b"".join(LINES[:8]))
    with OpLog(repo, "s") as log:
        assert len(log) == 8
    path.write_bytes(b"".join([*LINES[:5], *LINES[8:12]]))
    with OpLog(repo, "s") as log:
        cut = log.cut()
    path.write_bytes(b"#" + path.read_bytes()[1:])
    with OpLog(repo, "s") as log:
        assert len(list(log)) == 8
        assert log.checkpoint("one", upto=Cut("s", cut.byte_offset, cut.op_count))["op_count"] == 9
        assert log.replay_since_checkpoint() == []


@pytest.mark.parametrize("how", ["a line damaged", "an older copy that went on"])
def test_a_five_field_record_that_was_seen_covers_no_more_than_it_did(repo: Path, how: str) -> None:
    """What has come since is not counted as covered, in the place of what can't be read any more."""
    path = making.log_path(repo)
    making.add_bytes(path, b"".join(LINES[:8]))
    five = {"session_id": "s", "snapshot_id": "x", "lamport_ts": 105, "op_count": 6, "created_at": "2026-01-01"}
    path.with_name("checkpoint.json").write_text(json.dumps(five))
    with OpLog(repo, "s") as log:
        assert len(log.replay_since_checkpoint()) == 2
    if how == "a line damaged":
        path.write_bytes(b"#" + path.read_bytes()[1:])
        with OpLog(repo, "s") as log:
            log.rebuild_index()
            assert [each["op_id"] for each in log.replay_since_checkpoint()] == [op_id(106), op_id(107)]
    else:
        path.write_bytes(b"".join([*LINES[:4], *LINES[9:12]]))
        assert_refused(repo)
