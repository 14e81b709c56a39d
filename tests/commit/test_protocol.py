"""The protocol: whatever happens to log, checkpoint and committers, each operation gets into exactly one commit."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from muse.commit import CommitBatch, CommitDivergedError, CommitMovedError, CommitTarget, Committed, commit
from muse.commit.testing import assert_whole, committed, prepared
from muse.core.op_log import CheckpointError, Cut, DamagedCheckpointError, OpLog
from tests import making
from tests.commit.targets import MemoryTarget
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list


@pytest.fixture
def target() -> MemoryTarget:
    """A target without commits."""
    return MemoryTarget()


def covers(log: OpLog, made: Committed) -> None:
    """The checkpoint is where a commit ends, and sound to who opens the session anew."""
    with OpLog(log.folder.parents[2], log.session_id) as other:
        record = other.read_checkpoint()
        assert record is not None
        assert (record["snapshot_id"], record["op_count"]) == (made.commit_id, made.cut.op_count)
        assert (record["byte_offset"], record["log_digest"]) == (made.cut.byte_offset, made.digest)


def test_commit_holds_all_domains_and_the_checkpoint_follows(log: OpLog, target: MemoryTarget) -> None:
    """Deltas, actors, digest and lines are those of a plain look at the log."""
    log.append_many(entries(10))
    batch = prepared(log, target)
    assert [delta["domain"] for delta in batch.deltas] == ["code", "music"]
    assert list(batch.deltas) == [log.to_structured_delta(domain) for domain in ("code", "music")]
    assert (batch.actors, batch.ops) == (log.actors(), 10)
    assert batch.lines == log.path.read_bytes()

    made = committed(log, target)

    covers(log, made)
    assert made.digest == log.checkpoint("same")["log_digest"]
    assert log.count(since_checkpoint=True) == 0


def test_nothing_pending_is_no_commit(repo: Path, target: MemoryTarget) -> None:
    """A session without a log, without new operations, or with damage alone has nothing to commit; nothing is made."""
    with OpLog(repo, "s") as log:
        assert commit(log, target) is None
        assert not log.folder.exists()
        log.append(entry(1))
        committed(log, target)
        making.add_bytes(log.path, b"\x00\n")
        assert commit(log, target) is None
        log.append(entry(2))
        committed(log, target)
        assert_whole(target, log)


def _delete(path: Path, _old: bytes | None) -> None:
    path.unlink(missing_ok=True)


def _empty(path: Path, _old: bytes | None) -> None:
    path.write_bytes(b"")


def _put_back(path: Path, old: bytes | None) -> None:
    path.write_bytes(old or b"")


def _flip(path: Path, _old: bytes | None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [_delete, _empty, _put_back, _flip])
@pytest.mark.parametrize("keeps_index", [True, False])
@pytest.mark.parametrize("has_new", [True, False])
def test_checkpoint_is_restored_from_the_target(
    repo: Path, target: MemoryTarget, harm: Callable[[Path, bytes | None], None], keeps_index: bool, has_new: bool
) -> None:
    """Lost, emptied, older or damaged, with or without the index: the target says what is committed."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(5))
        committed(log, target)
        old = (log.folder / "checkpoint.json").read_bytes()
        log.append_many(entries(5, start=6))
        made = committed(log, target)
        log.append_many(entries(5, start=11) if has_new else [])
    harm(log.folder / "checkpoint.json", old)
    if not keeps_index:
        making.drop_index(repo)
    with OpLog(repo, "s") as log:
        newer = commit(log, target)
        assert (newer is not None) == has_new
        covers(log, newer or made)
        assert_whole(target, log)


def test_committer_that_dies_before_the_checkpoint_is_followed_by_the_next(repo: Path, target: MemoryTarget) -> None:
    """The target took the commit and the checkpoint was not made: the next one begins where it ended."""
    with OpLog(repo, "s") as log:
        for number in range(1, 20, 3):
            log.append_many(entries(3, start=number))
            batch = prepared(log, target)
            target.commit(batch)
    with OpLog(repo, "s") as log:
        assert commit(log, target) is None
        covers(log, target.commits("s")[-1])
        assert_whole(target, log)


def test_committer_that_slept_is_refused_and_starts_over(repo: Path, log: OpLog) -> None:
    """Another commits between its look and its commit: `commit` goes on with what is left, or with nothing."""

    class Slow(MemoryTarget):
        left = 3

        def commit(self, batch: CommitBatch) -> Committed:
            """Be overtaken."""
            if self.left:
                self.left -= 1
                with OpLog(repo, "s") as other:
                    other.append(making.entry(1000 + self.left))
                    super().commit(prepared(other, self))
                    if self.left:
                        other.append(making.entry(2000 + self.left))
            return super().commit(batch)

    target = Slow()
    log.append_many(entries(4))
    assert commit(log, target) is None
    assert_whole(target, log)
    assert len(target.commits("s")) == 3
    target.left = 1000
    log.append(entry(99))
    with pytest.raises(CommitMovedError):
        commit(log, target)


def test_lines_are_flushed_before_the_target_takes_them(log: OpLog) -> None:
    """A commit that survives power loss must not cover lines that don't."""
    flushed = []

    class Looking(MemoryTarget):
        def commit(self, batch: CommitBatch) -> Committed:
            """Look if the last line is flushed."""
            flushed.append(log._file.is_synced(batch.cut.byte_offset - 1))
            return super().commit(batch)

    target = Looking()
    for number in range(1, 4):
        log.append(entry(number))
        committed(log, target)
    assert flushed == [True] * 3


def test_what_arrives_while_a_commit_is_made_is_in_the_next(log: OpLog, target: MemoryTarget) -> None:
    """Between cut and commit, and between commit and checkpoint."""
    log.append_many(entries(4))
    batch = prepared(log, target)
    log.append(entry(5))
    target.commit(batch)
    log.append(entry(6))
    assert committed(log, target).actors == {"ada": 2}
    assert_whole(target, log)


# What can't be followed.


def assert_refused(log: OpLog, target: CommitTarget, match: str) -> None:
    """`commit` raises CommitDivergedError, and neither log nor checkpoint nor target are changed."""
    newest, files = target.latest("s"), {name: (log.folder / name) for name in ("ops.jsonl", "checkpoint.json")}
    before = {name: path.read_bytes() for name, path in files.items() if path.exists()}
    with pytest.raises(CommitDivergedError, match=match):
        commit(log, target)
    assert target.latest("s") == newest
    assert {name: path.read_bytes() for name, path in files.items() if path.exists()} == before


def test_commits_that_the_target_has_lost_are_missed(log: OpLog, target: MemoryTarget) -> None:
    """A ref that was set back or deleted, or another target: the checkpoint knows better."""
    log.append_many(entries(3))
    committed(log, target)
    log.append(entry(4))
    committed(log, target)
    log.append(entry(5))
    assert_refused(log, MemoryTarget(), "commits are missing")
    target._commits["s"].pop()
    assert_refused(log, target, "commits are missing")
    (log.folder / "checkpoint.json").unlink()
    assert_refused(log, target, "commits are missing")
    with pytest.raises(DamagedCheckpointError):
        commit(log, MemoryTarget())


@pytest.mark.parametrize("keeps_index", [True, False])
def test_another_log_is_refused(tmp_path: Path, target: MemoryTarget, keeps_index: bool) -> None:
    """Of the same length even; shorter; or with the same operations in another order."""
    mine = entries(6)
    others = {
        "other": entries(6, start=7, lamport_ts=1),
        "shorter": mine[:3],
        "ordered": [mine[1], mine[0], *mine[2:]],
        "extended": [*mine[:5], entry(50), mine[5]],
    }
    with OpLog(tmp_path / "mine", "s") as log:
        log.append_many(mine)
        committed(log, target)
    for name, content in others.items():
        with OpLog(tmp_path / name, "s") as log:
            log.append_many(content)
        if not keeps_index:
            making.drop_index(tmp_path / name)
        with OpLog(tmp_path / name, "s") as log:
            assert_refused(log, target, "not the beginning of this log")


def test_another_order_is_refused_even_if_lines_are_damaged(tmp_path: Path, target: MemoryTarget) -> None:
    """Damage is no excuse for operations at other places."""
    with OpLog(tmp_path / "mine", "s") as log:
        log.append_many(entries(9))
        committed(log, target)
    with OpLog(tmp_path / "ordered", "s") as log:
        log.append_many(sorted(entries(9), key=lambda each: each["op_id"]))
        damage_line(log.path, 4, b'{"')
    making.drop_index(tmp_path / "ordered")
    with OpLog(tmp_path / "ordered", "s") as log:
        assert_refused(log, target, "not the beginning of this log")


def test_replica_that_merged_the_committed_log_first_goes_on(tmp_path: Path, target: MemoryTarget) -> None:
    """Its log begins with the committed one; the checkpoint is made there."""
    with OpLog(tmp_path / "mine", "s") as log, OpLog(tmp_path / "replica", "s") as replica:
        log.append_many(entries(6))
        made = committed(log, target)
        replica.merge(log)
        assert commit(replica, target) is None
        covers(replica, made)
        replica.append(entry(7))
        committed(replica, target)
        assert_whole(target, replica)
        log.append(entry(8))
        assert_refused(log, target, "not the beginning of this log")


def test_checkpoint_made_by_hand_is_not_taken_for_no_commit(log: OpLog, target: MemoryTarget) -> None:
    """What was committed elsewhere is not committed here once more."""
    log.append_many(entries(3))
    log.checkpoint("elsewhere")
    log.append(entry(4))
    assert_refused(log, target, "of snapshot 'elsewhere', and no commit of the session: .*--adopt")


def test_session_with_a_checkpoint_is_adopted(log: OpLog, target: MemoryTarget) -> None:
    """The first commit begins where the checkpoint is; the next ones follow it, also when lines below are damaged."""
    log.append_many(entries(3))
    record = log.checkpoint("elsewhere")
    assert commit(log, target, adopt=True) is None
    log.append_many(entries(3, start=4))
    made = commit(log, target, adopt=True)
    assert made is not None
    assert (made.start, made.ops, made.cut.op_count) == (record.get("byte_offset"), 3, 6)
    covers(log, made)
    damage_line(log.path, 4, b"\x00\x00")
    log.rebuild_index()
    log.append_many(entries(7))
    assert committed(log, target).ops == 1
    assert committed_ops(target) == 4
    # It says nothing where the target has commits.
    target._commits["s"].pop()
    with pytest.raises(CommitDivergedError, match="commits are missing"):
        commit(log, target, adopt=True)


def committed_ops(target: MemoryTarget) -> int:
    """How many operations are in all commits."""
    return sum(each.ops for each in target.commits("s"))


# Lines that were damaged after they were committed.


def damage_line(path: Path, number: int, new: bytes) -> bytes:
    """Overwrite the beginning of a line; return the whole line as it was."""
    lines = path.read_bytes().splitlines(keepends=True)
    at = sum(map(len, lines[:number]))
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)
    return lines[number]


@pytest.mark.parametrize("keeps_index", [True, False])
@pytest.mark.parametrize("keeps_checkpoint", [True, False])
@pytest.mark.parametrize("number", [0, 3, 5])
def test_committed_line_that_was_damaged_is_no_dead_end(
    repo: Path, target: MemoryTarget, keeps_index: bool, keeps_checkpoint: bool, number: int
) -> None:
    """Commits go on; the operation, appended again, is not committed twice, and what is new is committed once."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(6))
        committed(log, target)
        log.append_many(entries(3, start=7))
        committed(log, target)
        damage_line(log.path, number, b"\x00\x00")
    if not keeps_index:
        making.drop_index(repo)
    if not keeps_checkpoint:
        (log.folder / "checkpoint.json").unlink()
    with OpLog(repo, "s") as log:
        assert commit(log, target) is None
        log.append(entry(10))
        assert committed(log, target).actors == {"ada": 1}
        assert log.append_many(entries(6)) == 1
        assert commit(log, target) is None
        log.append(entry(11))
        batch = prepared(log, target)
        assert exact_list([op for delta in batch.deltas for op in delta["ops"]]) == exact_list([entry(11)["domain_op"]])
        made = committed(log, target)
        assert made.cut.op_count == 11
        covers(log, made)
    assert_rebuilt(target, repo.parent / "rebuilt", 11)


@pytest.mark.parametrize("number", [0, 3, 5])
def test_committed_line_whose_op_id_was_altered_is_no_dead_end_when_the_operation_is_back(
    repo: Path, target: MemoryTarget, number: int
) -> None:
    """Its line counts as another entry, and the operation lies further on: below the cut are more than committed."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(6))
        committed(log, target)
        place = log.locate(op_id(number + 1))
        assert place
    data = bytearray(log.path.read_bytes())
    data[data.index(op_id(number + 1).encode(), place[0])] ^= 1
    log.path.write_bytes(data)
    with OpLog(repo, "s") as log:
        log.rebuild_index()
        assert log.append_many(entries(6)) == 1
        for count in range(7, 10):
            log.append(entry(count))
            made = committed(log, target)
            assert (made.ops, made.cut.op_count) == (1, count)
            assert log.replay_since_checkpoint() == []
    assert committed_ops(target) == 9


def assert_rebuilt(target: MemoryTarget, repo: Path, ops: int) -> None:
    """A log made from the lines of the commits has every operation once, and goes on from the last commit."""
    path = making.log_path(repo)
    making.add_bytes(path, b"".join(target.lines(target.commits("s"))))
    with OpLog(repo, "s") as rebuilt:
        assert len(rebuilt) == ops
        assert commit(rebuilt, target) is None
        assert rebuilt.count(since_checkpoint=True) == 0
        assert_whole(target, rebuilt)
    shutil.rmtree(repo)


def test_line_that_was_damaged_before_its_commit_is_committed_when_it_is_appended_again(
    repo: Path, target: MemoryTarget
) -> None:
    """No commit holds it, although one holds the damaged bytes."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(6))
        damage_line(log.path, 2, b"\x00\x00")
    with OpLog(repo, "s") as log:
        assert sum(committed(log, target).actors.values()) == 5
        damage_line(log.path, 4, b"\x00\x00")
    with OpLog(repo, "s") as log:
        assert log.append_many(entries(6)) == 2
        made = committed(log, target)
        assert (made.actors, made.cut.op_count) == ({entry_of(3): 1}, 6)
        covers(log, made)
    assert_rebuilt(target, repo.parent / "rebuilt", 6)


def entry_of(number: int) -> str:
    """The actor of one of `entries`."""
    return entries(1, start=number)[0]["actor_id"]


@pytest.mark.parametrize("keeps_index", [True, False])
@pytest.mark.parametrize("keeps_checkpoint", [True, False])
def test_any_flipped_bit_below_a_commit_is_damage(
    repo: Path, target: MemoryTarget, keeps_index: bool, keeps_checkpoint: bool
) -> None:
    """Wherever it is, in an op_id, a number or a newline: commits go on, and the operation is not committed twice."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(4))
        committed(log, target)
    sound = log.path.read_bytes()
    random_bits = random.Random(1)
    places = [random_bits.randrange(len(sound)) for _ in range(12)] + [len(sound) - 1, sound.index(b"\n")]
    places.append(sound.index(op_id(2).encode()))
    for at in places:
        with making.fresh_repo() as copy:
            shutil.copytree(repo / ".muse", copy / ".muse")
            flipped = bytearray(sound)
            flipped[at] ^= 1 << random_bits.randrange(8)
            making.log_path(copy).write_bytes(flipped)
            if not keeps_index:
                making.drop_index(copy)
            if not keeps_checkpoint:
                making.log_path(copy).with_name("checkpoint.json").unlink()
            fork = MemoryTarget()
            fork._commits, fork._lines = {"s": list(target.commits("s"))}, dict(target._lines)
            with OpLog(copy, "s") as log:
                assert commit(log, fork) is None, at
                log.append(entry(9))
                assert committed(log, fork).actors == {"ada": 1}, at


def test_target_without_a_history_can_not_go_on_after_damage(log: OpLog) -> None:
    """It can't tell what is damaged: refused, and right again when the line is."""
    memory = MemoryTarget()

    class Bare:
        latest, commit = memory.latest, memory.commit

    log.append_many(entries(3))
    committed(log, Bare())
    was = damage_line(log.path, 1, b"\x00\x00")
    log.rebuild_index()
    log.append(entry(4))
    assert_refused(log, Bare(), "can't tell")
    damage_line(log.path, 1, was)
    log.rebuild_index()
    assert sum(committed(log, Bare()).actors.values()) == 1


# What else the log offers to those who commit.


def test_checkpoint_after_another_snapshot_is_refused(log: OpLog) -> None:
    """`after` names the snapshot that this one follows; where another came in between, nothing is marked."""
    log.append(entry(1))
    with pytest.raises(CheckpointError, match="'none'"):
        log.checkpoint("one", after="none")
    log.checkpoint("one", after=None)
    cut = log.cut()
    log.append(entry(2))
    with pytest.raises(CheckpointError, match="'one'"):
        log.checkpoint("two", after=None)
    assert log.checkpoint("one", upto=cut, after=None)["op_count"] == 1, "made again, it stands already"
    assert log.checkpoint("two", after="one")["op_count"] == 2
    with pytest.raises(CheckpointError):
        log.checkpoint("three", after="one")


def test_commit_stands_even_if_the_checkpoint_can_not_follow(log: OpLog, target: MemoryTarget) -> None:
    """A folder is in the way of the file: the commit is made and said; when it is gone, the next call follows."""
    log.append_many(entries(3))
    (log.folder / "checkpoint.json.tmp").mkdir()
    made = committed(log, target)
    assert log.read_checkpoint() is None
    (log.folder / "checkpoint.json.tmp").rmdir()
    assert commit(log, target) is None
    covers(log, made)


def test_slice_between_two_cuts_is_the_bytes_and_the_entries(log: OpLog) -> None:
    """Damaged and repeated lines are among the bytes alone."""
    log.append_many(entries(3))
    start = log.cut()
    making.add_bytes(log.path, b"\x00\n" + making.line(entry(2)))
    log.append_many(entries(2, start=4))
    lines, found = log.read_slice(start, log.cut())
    assert lines == log.path.read_bytes()[start.byte_offset :]
    assert exact_list(found) == exact_list(entries(2, start=4))
    assert log.read_slice(start, start) == (b"", [])
    assert log.read_slice(Cut("s", 0, 0), start)[1] == log.read_all()[:3]
