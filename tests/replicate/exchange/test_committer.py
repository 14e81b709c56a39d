"""Who commits: one replica, which the others name; handed over, each operation is still in exactly one commit."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from muse.commit import CommitDivergedError, GitTarget, commit, verify_commits
from muse.commit.rebase import finish_rebase, rebase_session
from muse.core.op_log import LogReplacedError, NotCommitterError, OpLog
from muse.replicate import Replica, Settings, become_committer
from muse.replicate.bookkeeping.folder import list_replicas
from muse.replicate.bookkeeping.note import Note
from muse.replicate.process.worker import Worker
from tests import children, making
from tests.cli.running import muse
from tests.making import entries
from tests.replicate.hosts import WAIT, Host, assert_equal, fill, publish, replica, root, scan, sync, until
from tests.replicate.servers import Server

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture
def target(tmp_path: Path) -> GitTarget:
    """A repository that all hosts commit to."""
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "git"], check=True)
    return GitTarget(tmp_path / "git")


def where(server: Server) -> Settings:
    """The space of these tests."""
    return Settings((server.url,), space="t")


def committed(target: GitTarget) -> list[str]:
    """The op_ids in all commits, read plainly."""
    lines = b"".join(target.lines(target.commits("s"))).splitlines()
    return [json.loads(line)["op_id"] for line in lines]


def test_only_the_committer_commits_and_the_others_name_it(server: Server, host: Host, target: GitTarget) -> None:
    """The first that has something recorded; a copy of its repository is another replica."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    with replica(b, server) as two, replica(a, server) as one:
        sync(two, one)
        assert commit(a, target) is not None
        fill(b, [20])
        two.wait_synced(WAIT)
        with pytest.raises(NotCommitterError, match=str(root(a))):
            commit(b, target)
        with pytest.raises(NotCommitterError, match="become-committer"):
            b.checkpoint("x")
        sync(one)
        assert commit(a, target) is not None
    assert sorted(committed(target)) == sorted(scan(a).op_ids)
    assert verify_commits(a, target).problems == []
    copy = root(a).with_name("copy")
    subprocess.run(["cp", "-r", root(a), copy], check=True)
    with OpLog(copy, "s") as copied, pytest.raises(NotCommitterError):
        copied.checkpoint("x")
    refused = muse("commit", "s", "--repo", root(b))
    assert (refused.exit_code, str(root(a)) in refused.stderr) == (1, True)


def test_who_took_over_once_does_not_do_so_again_of_its_own_accord(server: Server, host: Host) -> None:
    """Neither with a later wish nor in a process that is started again."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    with Replica(root(a), "s", where(server)) as one, Replica(root(b), "s", where(server)) as two:
        for each in (one, two):
            each.wait_synced(WAIT)
            each.take_over(WAIT)
        one.wait_synced(WAIT)
        two.wait_synced(WAIT)
    b.check_may_commit()
    with pytest.raises(NotCommitterError, match=str(root(b))):
        a.check_may_commit()


def test_a_session_that_is_not_replicated_has_no_committer(tmp_path: Path) -> None:
    """Nobody who works on one machine notices."""
    with OpLog(tmp_path, "s") as log:
        log.append_many(entries(2))
        log.check_may_commit()
        log.checkpoint("x")


def test_who_has_recorded_nothing_does_not_become_the_committer(server: Server, host: Host) -> None:
    """Even if the operations of others are in the log before these have said that they commit."""
    a, b = host("a"), host("b")
    fill(a, [1])
    with replica(b, server) as two:
        two.wait_synced(WAIT)
        publish(server, a.path.read_bytes())
        for _ in range(2):
            until(lambda: len(b) == 1)
            two.wait_synced(WAIT)
        assert Note.of(root(b), "s", where(server)).read() is None
        with replica(a, server) as one:
            one.wait_synced(WAIT)
        two.wait_synced(WAIT)
    a.check_may_commit()
    with pytest.raises(NotCommitterError, match=str(root(a))):
        b.check_may_commit()


def test_the_committer_is_known_again_after_a_loss_of_the_server(server: Server, host: Host) -> None:
    """It says so anew; a host that comes first does not become it."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
    server.wipe()
    server.start()
    with replica(b, server) as two:
        two.wait_synced(WAIT)
        with pytest.raises(NotCommitterError):
            b.check_may_commit()
        with replica(a, server) as one:
            sync(one, two)
        a.check_may_commit()
    c = host("c")
    with replica(c, server) as three:
        three.wait_synced(WAIT)
        with pytest.raises(NotCommitterError, match=str(root(a))):
            c.check_may_commit()


def test_two_spaces_of_one_session_have_one_committer(server: Server, host: Host) -> None:
    """Each had one of its own until a host took part in both, in turn."""
    a, b, bridge = host("a"), host("b"), host("bridge")
    spaces = ((a, "one"), (b, "two"))
    for log, space in spaces:
        fill(log, [len(space), ord(space[0])])
        with replica(log, server, space=space) as each:
            each.wait_synced(WAIT)
        assert is_committer(log)
    for log, space in (*spaces, *spaces):
        with replica(log, server, space=space) as one, replica(bridge, server, space=space) as two:
            sync(one, two)
    assert sorted(map(is_committer, (a, b, bridge))) == [False, False, True]
    assert_equal(a, b, bridge)


def test_handed_over_each_operation_is_in_exactly_one_commit(
    server: Server, host: Host, target: GitTarget, tmp_path: Path
) -> None:
    """The log of the new one begins with what was committed; there and back again."""
    a, b = host("a"), host("b")
    fill(b, [50])
    fill(a, range(1, 30))
    with replica(a, server) as one, replica(b, server) as two:
        # The first to record is the committer: `b` has to come later for that.
        sync(one, two)
    first, second = (a, b) if is_committer(a) else (b, a)
    commit(first, target)
    fill(first, [60])
    fill(second, range(70, 75))
    before = set(scan(second).op_ids)
    second.close()
    assert become_committer(root(second), "s", where(server), target, timeout=WAIT)
    second = OpLog(root(second), "s")
    assert before <= set(scan(second).op_ids)
    commit(second, target)
    with replica(first, server) as one, replica(second, server) as two:
        sync(one, two)
        with pytest.raises(NotCommitterError):
            commit(first, target)
        commit(second, target)
        # Their deltas differ: what is pending is known where the commits are made.
        assert sorted(scan(first).op_ids) == sorted(scan(second).op_ids)
    done = committed(target)
    assert sorted(done) == sorted(scan(second).op_ids)
    assert len(done) == len(set(done)) == 36
    assert verify_commits(second, target).problems == []
    second.close()
    result = muse(
        "sync", "s", server.url, "--space", "t", "--become-committer", "--git", tmp_path / "git", "--repo", root(first)
    )
    assert result.exit_code == 0, result.stderr
    with OpLog(root(first), "s") as again:
        fill(again, [90])
        commit(again, target)
        assert verify_commits(again, target).problems == []
    assert len(committed(target)) == len(set(committed(target))) == 37


def is_committer(log: OpLog) -> bool:
    """Whether this replica commits."""
    try:
        log.check_may_commit()
    except NotCommitterError:
        return False
    return True


def test_sessions_with_the_longest_names_are_kept_apart(server: Server, target: GitTarget, tmp_path: Path) -> None:
    """Their files are named otherwise than their folders: exchanged, committed, handed over and listed as any other."""
    names = ["x" * 255, "x" * 254 + "y"]
    for name in names:
        with OpLog(tmp_path / "a", name) as log:
            log.append_many(entries(3))
        with OpLog(tmp_path / "b", name) as log:
            log.append_many(entries(3)[::-1])
    for repo in (tmp_path / "a", tmp_path / "b"):
        with ExitStack() as stack:
            for worker in [stack.enter_context(Worker(repo, name, where(server))) for name in names]:
                worker.wait_synced(WAIT)
        assert sorted(each["session"] for each in list_replicas(repo)) == names
    with OpLog(tmp_path / "a", names[0]) as log, OpLog(tmp_path / "b", names[0]) as other:
        assert commit(log, target) is not None
        with pytest.raises(NotCommitterError):
            other.checkpoint("x")
    assert become_committer(tmp_path / "b", names[0], where(server), target)
    with OpLog(tmp_path / "b", names[0]) as here, OpLog(tmp_path / "b", names[1]) as other:
        assert commit(here, target) is None
        with pytest.raises(NotCommitterError):
            other.checkpoint("x")


def test_who_has_not_caught_up_does_not_take_over(host: Host, target: GitTarget) -> None:
    """What was committed and is not there yet must not look new later."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    fill(b, range(1, 5))
    commit(a, target)
    with pytest.raises(CommitDivergedError, match="lacks 4"):
        rebase_session(root(b), "s", target, root(b) / ".muse" / "replicas")
    assert len(b) == 4


def test_a_handle_that_is_open_on_the_old_log_says_so(host: Host, target: GitTarget) -> None:
    """Nothing is acknowledged into a folder that is put aside."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    fill(b, range(8, 0, -1))
    commit(a, target)
    assert rebase_session(root(b), "s", target, root(b) / ".muse" / "replicas")
    with pytest.raises(LogReplacedError):
        fill(b, [20])


def test_what_was_written_into_the_old_log_at_the_last_moment_is_taken_over(host: Host, target: GitTarget) -> None:
    """A writer that was in the middle of its write has acknowledged it."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    fill(b, range(8, 0, -1))
    commit(a, target)
    aside = root(b) / ".muse" / "replicas"
    rebase_session(root(b), "s", target, aside)
    (old,) = aside.glob("s.before.*/.muse/op_log/s/ops.jsonl")
    making.add_bytes(old, making.line(making.entry(30)))
    finish_rebase(root(b), "s", aside)
    assert making.op_id(30) in scan(b).op_ids
    assert list(aside.glob("s.*")) == []


def test_what_was_recorded_with_wider_limits_is_taken_over(host: Host, target: GitTarget) -> None:
    """A timestamp far above the others, which replication lets through, and a long line, also at the last moment."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    commit(a, target)
    with OpLog(root(b), "s", max_lamport_jump=None) as log:
        log.append_many([making.entry(20, lamport_ts=2**52 + 1), *entries(8)])
    aside = root(b) / ".muse" / "replicas"
    assert rebase_session(root(b), "s", target, aside)
    (old,) = aside.glob("s.before.*/.muse/op_log/s/ops.jsonl")
    making.add_bytes(old, making.line(making.entry(21, domain_op={"op": "insert", "text": "x" * (16 << 20)})))
    finish_rebase(root(b), "s", aside)
    assert sorted(scan(b).op_ids) == sorted(map(making.op_id, [*range(1, 9), 20, 21]))


TAKE_OVER = """
import sys
from muse.commit import GitTarget
from muse.replicate import Settings, become_committer
repo, url, git = sys.argv[1:]
print("ready", flush=True)
become_committer(repo, "s", Settings((url,), space="t"), GitTarget(git), timeout=60)
print("done", flush=True)
"""


def test_handing_over_under_kills_keeps_each_operation_in_one_commit(
    server: Server, host: Host, target: GitTarget, tmp_path: Path
) -> None:
    """Whoever is killed in the middle of taking over tries again; both hosts record and commit as they may."""
    rng = random.Random(16)
    logs = [host("a"), host("b")]
    for number, log in enumerate(logs):
        fill(log, range(100 * number + 1, 100 * number + 20))
    number = 1000
    for turn in range(2):
        taker = logs[turn]
        with replica(logs[0], server) as one, replica(logs[1], server) as two:
            sync(one, two)
        for log in logs:
            number += 1
            fill(log, [number])
            log.close()
        command = [sys.executable, "-c", TAKE_OVER, root(taker), server.url, tmp_path / "git"]
        for kill_after in (rng.uniform(0, 0.4), rng.uniform(0.2, 0.8), None):
            with children.started(command) as child:
                assert children.pipe_of(child).readline().strip() == b"ready"
                if kill_after is None:
                    assert child.wait(60) == 0
                else:
                    time.sleep(kill_after)
                    child.send_signal(signal.SIGKILL)
                    child.wait(60)
        logs = [OpLog(root(log), "s") for log in logs]
        commit(logs[turn], target)
        number += 1
        fill(logs[turn], [number])
        commit(logs[turn], target)
        for log in logs if turn == 1 else ():
            log.close()
    with OpLog(root(logs[1]), "s") as last:
        done = committed(target)
        assert len(done) == len(set(done))
        assert verify_commits(last, target).problems == []
        with replica(last, server) as two:
            two.wait_synced(WAIT)
        commit(last, target)
        assert sorted(committed(target)) == sorted(scan(last).op_ids)
