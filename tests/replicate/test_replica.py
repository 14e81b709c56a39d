"""The handle: in a thread or an event loop, what it raises; guards and redactions of a session that is replicated."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from muse.core.op_log import OpEntry, OpLog, RefusedByGuardError, fork_session
from muse.replicate import ReplicaBusyError, ReplicationUnavailableError, Settings
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.process.worker import Worker
from tests.making import entries, entry
from tests.replicate.hosts import WAIT, Host, assert_equal, fill, replica, root, sent_op_ids, sync
from tests.replicate.servers import Server


@pytest.mark.process
@pytest.mark.slow
def test_a_log_replicates_itself_as_long_as_a_block_lasts(server: Server, host: Host) -> None:
    """`OpLog.replicate` starts a thread of its own; while it runs, recording and reading go on as ever."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    with a.replicate(server.url, space="t") as one, b.replicate(server.url, space="t") as two:
        a.record("ada", "code", {"op": "insert"})
        one.wait_synced(WAIT)
        two.wait_synced(WAIT)
        assert two.status().is_caught_up
        with pytest.raises(ReplicaBusyError):
            a.replicate(server.url, space="t")
    assert not one.status().is_running
    assert_equal(a, b)
    with pytest.raises(ReplicationUnavailableError, match="not running"):
        one.wait_synced(1)


@pytest.mark.process
@pytest.mark.slow
def test_a_fork_is_replicated_beside_its_source(server: Server, host: Host) -> None:
    """It holds the same lines in the same stream, and is another session: each host gets both whole, at once."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    fork_session(root(a), "s", "fork")
    with OpLog(root(a), "fork") as forked, OpLog(root(b), "fork") as arrived:
        with replica(a, server) as one, replica(forked, server) as two:
            sync(one, two)
            assert one.status().rewinds == two.status().rewinds == 0
        with replica(b, server) as three, replica(arrived, server) as four:
            sync(three, four)
        assert_equal(a, b, forked, arrived)
        assert len(arrived) == 8


@pytest.mark.process
@pytest.mark.slow
def test_an_event_loop_is_not_blocked(server: Server, host: Host) -> None:
    """`replicate_async` is a task of the loop; others go on while it waits for a server."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))

    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        async with a.replicate_async(server.url, space="t") as one, b.replicate_async(server.url, space="t") as two:
            await one.wait_synced(WAIT)
            await two.wait_synced(WAIT)
            await asyncio.to_thread(server.kill)
            fill(b, [20])
            with pytest.raises(ReplicationUnavailableError):
                await two.wait_synced(0.2)
            await asyncio.to_thread(server.start)
            await two.wait_synced(WAIT)
            await one.wait_synced(WAIT)
        ticking.cancel()
        return ticks

    assert asyncio.run(main()) > 10
    assert_equal(a, b)
    assert len(a) == 9


@pytest.mark.process
@pytest.mark.slow
def test_a_guard_counts_and_keeps_nothing_out(server: Server, host: Host, tmp_path: Path) -> None:
    """What another host recorded arrives unchanged; how many entries the guard here would have refused is told."""

    def no_code(new: OpEntry) -> OpEntry:
        if new["domain"] == "code":
            raise RefusedByGuardError("domain: no code")
        return new

    a = host("a")
    (tmp_path / "b").mkdir()
    with OpLog(tmp_path / "b", "s") as b:
        a.append_many([entry(number, domain="code" if number > 3 else "music") for number in range(6)])
        settings = Settings((server.url,), space="t")
        with a.replicate(server.url, space="t") as one, Worker(tmp_path / "b", "s", settings, guard=no_code) as two:
            one.wait_synced(WAIT)
            deadline = time.monotonic() + WAIT
            while len(b) < 6 or not two.status().would_refuse:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert (one.status().would_refuse, two.status().would_refuse, two.status().refused) == (0, 2, 0)
        assert_equal(a, b)


@pytest.mark.process
@pytest.mark.slow
def test_what_was_redacted_before_it_was_sent_is_sent_once(server: Server, host: Host) -> None:
    """As any other operation."""
    a = host("a")
    a.append_many(entries(3))
    a.redact(entries(3)[1]["op_id"], by="ada", why="a token")
    with replica(a, server) as one:
        one.wait_synced(WAIT)
        one.wait_synced(WAIT)
    assert len(sent_op_ids(server)) == 3


@pytest.mark.process
@pytest.mark.slow
def test_nobody_waits_for_a_pause_of_whoever_records(server: Server, host: Host) -> None:
    """Another thread records all the time: what there was is synced nevertheless, and redactions are sent."""
    a, b = host("a"), host("b")
    a.append_many([secret := entry(1, domain_op={"op": "insert", "text": "s3cr3t-CANARY"}), *entries(3, start=2)])
    is_over = threading.Event()

    def record() -> None:
        with OpLog(root(a), "s") as log:
            while not is_over.wait(0.001):
                log.record("ada", "code", {"op": "insert"})

    recording = threading.Thread(target=record)
    with replica(a, server) as one, replica(b, server) as two:
        recording.start()
        try:
            one.wait_synced(WAIT)
            a.redact(secret["op_id"], by="ada", why="a token")
            one.wait_synced(WAIT)
            two.wait_synced(WAIT)
        finally:
            is_over.set()
            recording.join()
        assert "CANARY" not in b.path.read_text()
        sync(one, two)
    assert_equal(a, b)
    # The redaction is the only one that was sent twice.
    assert len(sent_op_ids(server)) == len(a) + 1


@pytest.mark.process
@pytest.mark.slow
def test_nobody_waits_for_a_redaction_that_the_server_has_already(server: Server, host: Host) -> None:
    """What was remembered of it is lost, so it is sent again; the server knows its id, and it never comes back."""
    a = host("a")
    a.append_many(entries(3))
    for _ in range(2):
        with replica(a, server) as one:
            one.wait_synced(WAIT)
            a.redact(entries(3)[1]["op_id"], by="ada", why="a token")
            one.wait_synced(WAIT)
        ReplicaFolder(root(a), "t", "s").path.with_suffix(".redacted").unlink(missing_ok=True)
    assert len(sent_op_ids(server)) == 4


@pytest.mark.process
@pytest.mark.slow
def test_a_redaction_reaches_every_host_also_one_that_was_away_or_joins_later(server: Server, host: Host) -> None:
    """None holds the text any more, and what the stream still has of it brings it to nobody."""
    a, b, c = host("a"), host("b"), host("c")
    canary = "s3cr3t-CANARY"
    secrets = [entry(number, domain_op={"op": "insert", "text": f"{canary} {number}"}) for number in (100, 101)]
    a.append_many([*entries(5), *secrets])
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        assert b.get(secrets[0]["op_id"]) == secrets[0]
        a.redact(secrets[0]["op_id"], by="ada", why="a token")
        sync(one, two)
        assert canary + " 100" not in b.path.read_text()
    b.redact(secrets[1]["op_id"], by="bob", why="another")
    with replica(b, server) as two, replica(c, server) as three:
        sync(two, three)
    with replica(a, server) as one:
        sync(one)
        before = len(sent_op_ids(server))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
    assert len(sent_op_ids(server)) == before
    for log in (a, b, c):
        assert canary not in log.path.read_text()
        assert log.verify().ok
    assert_equal(a, b, c)
