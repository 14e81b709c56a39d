"""The handle: in a thread or an event loop, what it raises, and the save point that it goes on from."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import InvalidArgumentError, OpEntry, OpLog, RefusedByGuardError
from muse.replicate import ReplicaBusyError, ReplicationUnavailableError, Settings, read_settings
from muse.replicate.ledger import Position, SentLine
from muse.replicate.messages import op_id_of_line
from muse.replicate.save_point import ReplicaFolder, SavePoint
from muse.replicate.worker import Worker
from tests.making import entries, entry
from tests.replicate.hosts import WAIT, Host, assert_equal, fill, replica, sent_op_ids, sync
from tests.replicate.servers import Server
from tests.samples import examples

NUMBERS = st.integers(0, 2**60)
POSITIONS = st.builds(Position, NUMBERS, NUMBERS, NUMBERS)


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


@given(POSITIONS, POSITIONS, NUMBERS, st.none() | st.builds(SentLine, st.binary(min_size=16, max_size=16), NUMBERS))
@examples(30)
def test_a_save_point_comes_back_as_it_was(
    resume: Position, seen: Position, sent_to: int, sent_op: SentLine | None
) -> None:
    """By way of JSON."""
    saved = SavePoint(resume, seen, sent_to, sent_op, "salt", 3, 4)
    assert SavePoint.from_json(json.loads(json.dumps(saved.to_json()))) == saved


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"version": 2}', b'{"version": 1, "resume": 5}'])
def test_a_save_point_that_can_not_be_read_is_as_none(tmp_path: Path, data: bytes) -> None:
    """Everything is compared again."""
    folder = ReplicaFolder(tmp_path, "t", "s")
    folder.folder.mkdir(parents=True)
    assert folder.load() == SavePoint()
    folder.save(SavePoint(sent_to=7))
    assert folder.load() == SavePoint(sent_to=7)
    folder.path.write_bytes(data)
    assert folder.load() == SavePoint()


def cut_tail(log: OpLog) -> None:
    """The last line is gone."""
    data = log.path.read_bytes()
    log.path.write_bytes(data[: data.rfind(b"\n", 0, -1) + 1])


def other_order(log: OpLog) -> None:
    """The same lines in another order, as on another host."""
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[::-1]))


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        (lambda _log: None, True),
        (lambda log: log.path.open("ab").close(), True),
        (cut_tail, False),
        (other_order, False),
        (lambda log: log.path.unlink(), False),
        (lambda log: log.path.write_bytes(b""), False),
    ],
)
def test_a_save_point_fits_only_the_log_that_it_was_made_of(
    tmp_path: Path, change: Callable[[OpLog], object], fits: bool
) -> None:
    """More at its end is no other log; less, or another order, is."""
    with OpLog(tmp_path, "s") as log:
        log.append_many(entries(5))
        lines, end = log.lines_after(0)
        saved = SavePoint(sent_to=end, sent_op=SentLine(op_id_of_line(lines[-1][2]), lines[-1][0]))
        log.append(entry(9))
        assert saved.fits(log)
    cut_tail(log)
    change(log)
    with OpLog(tmp_path, "s") as again:
        assert saved.fits(again) is fits


def test_settings_that_can_not_be_right_are_refused(tmp_path: Path) -> None:
    """The error names the setting."""
    for given_, name in (
        ({}, "url"),
        ({"url": "http://x"}, "url"),
        ({"url": "nats://x", "space": "a b"}, "space"),
        ({"url": "nats://x", "replicas": 7}, "replicas"),
        ({"url": "nats://x", "tls_cert": "f"}, "tls_key"),
    ):
        with pytest.raises(InvalidArgumentError, match=name):
            read_settings(tmp_path, given_, {})
    assert read_settings(tmp_path, {"url": "a, tls://b:1"}, {}) == Settings(("nats://a", "tls://b:1"))
    assert read_settings(tmp_path, {}, {"MUSE_NATS_URL": "a", "MUSE_NATS_REPLICAS": "3"}).replicas == 3


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
