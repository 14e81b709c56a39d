"""Following a session in a thread: every op once, in the order of the file, until it times out or is stopped."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import ClosedLogError, Cut, Follower, InvalidArgumentError, OpEntry, OpLog
from tests import children, plain_scan
from tests.follow.following import LONG, collected, in_thread
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list
from tests.small_index import pages_of


@pytest.mark.process
@pytest.mark.slow
def test_every_op_of_four_writers_is_followed_once_while_the_index_is_rebuilt(repo: Path) -> None:
    """8,000 ops of four processes, two rebuilds: a process, a thread and an event loop each see the plain scan."""
    count = 8_000
    with OpLog(repo, "s") as log:
        log.append(entry(1))
        follower = log.follow(since=Cut("s", 0, 0), timeout=LONG)
        workers = [
            children.start_worker("follow", repo, "s", count + 1),
            children.start_worker("rebuild_at", repo, "s", count // 10, count // 3),
            *(children.start_worker("record", repo, "s", f"a{number}", count // 4, 75) for number in range(4)),
        ]
        with (
            in_thread(lambda: children.race(workers)) as told,
            in_thread(lambda: list(islice(follower, count + 1))) as followed,
            in_thread(lambda: asyncio.run(collected(log, count + 1, from_start=True))) as followed_async,
        ):
            pass
        scanned = plain_scan.scan_file(log.path)
        assert len(scanned.entries) == count + 1
        assert exact_list(followed[0]) == exact_list(scanned.entries)
        assert exact_list(followed_async[0]) == exact_list(scanned.entries)
        op_ids, rebuilt_at, *_ = told[0]
        assert op_ids == scanned.op_ids
        assert max(rebuilt_at) < count, "the index was rebuilt only when all was there"
        assert list(log.follow(since=follower.cut(), timeout=0)) == []


FILTERS: list[dict[str, Any]] = [
    {"domain": "music"},
    {"actor_id": "bob", "domain": "code"},
    {"actor_id": "nobody yet"},
    {"intent_id": ""},
    {"min_lamport_ts": 5, "max_lamport_ts": 290},
]


@pytest.mark.parametrize("filters", [{}, *FILTERS], ids=str)
def test_a_follower_gives_what_matches(log: OpLog, filters: dict[str, Any]) -> None:
    """What had arrived, and then what arrives one by one and in batches, as a plain scan selects it."""
    log.append_many(entries(250))
    log.append_many([entry(900, actor_id="nobody yet")])
    with pages_of(100):
        follower = log.follow(from_start=True, timeout=0.1, **filters)
    scanned = plain_scan.select(plain_scan.scan_file(log.path).entries, **filters)
    found = list(islice(follower, len(scanned)))
    assert exact_list(found) == exact_list(scanned)
    for each in entries(20, start=251):
        log.append(each)
    log.append_many(entries(170, start=271))
    scanned = plain_scan.select(plain_scan.scan_file(log.path).entries, **filters)
    assert exact_list([*found, *follower]) == exact_list(scanned)


def test_a_follower_begins_at_its_call(log: OpLog) -> None:
    """What arrived before the call is not given; what arrives before the first `next` is."""
    log.append_many(entries(5))
    follower, later = log.follow(timeout=0), log.follow_async(timeout=0)
    log.append_many(entries(3, start=6))

    async def rest() -> list[OpEntry]:
        return [each async for each in later]

    assert exact_list(follower) == exact_list(entries(3, start=6))
    assert exact_list(asyncio.run(rest())) == exact_list(entries(3, start=6))


def test_the_timeout_ends_a_follower_for_good(log: OpLog) -> None:
    """It ends when nothing that matches came, also where other entries do; a new entry later changes nothing."""
    log.append(entry(1))
    follower = log.follow(from_start=True, timeout=0.05, domain="music")
    assert next(follower) == entry(1)
    done = threading.Event()

    def write_others() -> None:
        while not done.is_set():
            log.record("ada", "code", {"op": "insert"})

    with in_thread(write_others):
        assert list(follower) == []
        done.set()
    log.append(entry(2))
    assert list(follower) == []
    assert exact_list(log.follow(since=follower.cut(), timeout=0, domain="music")) == exact_list([entry(2)])


def test_a_timeout_begins_anew_with_each_entry(log: OpLog) -> None:
    """A follower whose entries come at less than its timeout does not end, nor one whose reader is slow."""
    follower = log.follow(timeout=2)

    def write() -> None:
        for each in entries(5):
            time.sleep(0.5)
            log.append(each)

    with in_thread(write):
        found = list(islice(follower, 5))
    assert exact_list(found) == exact_list(entries(5))


def test_a_follower_can_be_stopped_from_another_thread(log: OpLog) -> None:
    """One that waits for ever ends without an error when it is stopped, with nothing lost after its cut."""
    log.append_many(entries(10))
    follower = log.follow(from_start=True)
    with in_thread(lambda: list(follower)) as found:
        while follower.cut().op_count < 10:
            time.sleep(0.001)
        follower.stop()
    log.append(entry(11))
    assert exact_list(found[0]) == exact_list(entries(10))
    assert list(follower) == []
    assert exact_list(log.follow(since=follower.cut(), timeout=0)) == exact_list([entry(11)])


def test_a_signal_handler_can_stop_a_follower(log: OpLog) -> None:
    """A handler that runs in the very thread that waits ends the iteration."""
    follower = log.follow()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: follower.stop())
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert list(follower) == []
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_leaving_the_block_stops_a_follower(log: OpLog) -> None:
    """The context manager ends the iteration, also of what was fetched already."""
    log.append_many(entries(10))
    with log.follow(from_start=True) as follower:
        assert next(follower) == entries(10)[0]
    assert list(follower) == []
    assert follower.cut().op_count == 1


def test_closing_the_log_ends_its_followers(repo: Path) -> None:
    """They end as if they were stopped, whatever they had fetched; asking for a position or a new one is refused."""
    log = OpLog(repo, "s")
    log.append_many(entries(3))
    half_way, waiting = log.follow(from_start=True), log.follow()
    next(half_way)
    with in_thread(lambda: list(waiting)) as found:
        log.close()
    assert found == [[]]
    assert list(half_way) == []
    for call in (half_way.cut, log.follow, log.follow_async, lambda: log.follow(from_start=True)):
        with pytest.raises(ClosedLogError):
            call()


def test_the_handle_serves_other_threads_while_one_follows(log: OpLog) -> None:
    """A thread that waits for entries of a handle gets those that others append through the same handle."""
    follower = log.follow()
    with in_thread(lambda: list(islice(follower, 200))) as found:
        for each in entries(200):
            log.append(each)
            assert log.get(each["op_id"]) == each
    assert exact_list(found[0]) == exact_list(entries(200))


BAD: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"timeout": -1}, InvalidArgumentError),
    ({"timeout": math.nan}, InvalidArgumentError),
    ({"timeout": "1"}, InvalidArgumentError),
    ({"since": 5}, InvalidArgumentError),
    ({"since": op_id(1), "from_start": True}, InvalidArgumentError),
    ({"domain": 5}, InvalidArgumentError),
    ({"limit": 5}, TypeError),
]


@pytest.mark.parametrize(("arguments", "error"), BAD, ids=str)
def test_bad_arguments_are_refused_at_the_call(log: OpLog, arguments: dict[str, Any], error: type[Exception]) -> None:
    """What is wrong in itself is refused at once, by both kinds of followers."""
    for call in (log.follow, log.follow_async):
        with pytest.raises(error):
            call(**arguments)


def test_a_follower_is_an_iterator_that_can_not_be_made_by_position(log: OpLog) -> None:
    """`iter` of it is itself."""
    follower = log.follow(timeout=0)
    assert isinstance(follower, Follower)
    assert iter(follower) is follower


def test_a_poll_gives_what_has_arrived_and_waits_for_nothing(repo: Path) -> None:
    """Each entry once and in order, then None at once; more entries that don't match hide none that does."""
    with OpLog(repo, "s") as log, OpLog(repo, "s") as other:
        follower = log.follow(from_start=True, actor_id="ada")
        assert follower.poll() is None
        other.append_many([*entries(3000, actor_id="bob"), entry(4001), entry(4002)])
        assert [found and found["op_id"] for found in (follower.poll(), follower.poll(), follower.poll())] == [
            op_id(4001),
            op_id(4002),
            None,
        ]
        other.append(entry(4003))
        assert next(follower)["op_id"] == op_id(4003)
        other.append_many([entry(4004), entry(4005)])
        follower.stop()
        assert follower.poll() is None
        last = log.follow(since=follower.cut())
        found = last.poll()
        assert found is not None
        assert found["op_id"] == op_id(4004)
        log.close()
        assert last.poll() is None
