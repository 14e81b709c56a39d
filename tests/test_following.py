"""Following a session: every op once, in the file's order, whoever writes it and whatever befalls the index."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pytest

from muse.core.op_log import (
    ClosedLogError,
    Cut,
    Follower,
    InvalidArgumentError,
    InvalidCutError,
    LogReplacedError,
    OpEntry,
    OpLog,
)
from tests import making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list

Result = TypeVar("Result")
LONG = 60.0
"""Seconds: longer than any of it takes; a test that waits so long fails."""


@contextmanager
def in_thread(work: Callable[[], Result]) -> Iterator[list[Result]]:
    """Run `work` beside the block; its result stands in the list when the block is left."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - a thread must hand its failure to the test
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        thread.join()
    for failure in failures:
        raise failure


async def collected(log: OpLog, count: int, **arguments: Any) -> list[OpEntry]:
    """The first entries that an asynchronous follower gives."""
    found: list[OpEntry] = []
    async with log.follow_async(timeout=LONG, **arguments) as follower:
        async for each in follower:
            found.append(each)
            if len(found) == count:
                break
    return found


@pytest.mark.slow
def test_every_op_of_four_writers_is_followed_once_while_the_index_is_rebuilt(repo: Path) -> None:
    """20,000 ops of four processes, two rebuilds: a process, a thread and an event loop each see the plain scan."""
    count = 20_000
    with OpLog(repo, "s") as log:
        log.append(entry(1))
        follower = log.follow(since=Cut("s", 0, 0), timeout=LONG)
        workers = [
            making.start_worker("follow", repo, "s", count + 1),
            making.start_worker("rebuild_at", repo, "s", count // 10, count // 3),
            *(making.start_worker("record", repo, "s", f"a{number}", count // 4, 30) for number in range(4)),
        ]
        with (
            in_thread(lambda: making.race(workers)) as told,
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
    {"min_lamport_ts": 5, "max_lamport_ts": 2_900},
]


@pytest.mark.parametrize("filters", [{}, *FILTERS], ids=str)
def test_a_follower_gives_what_matches(log: OpLog, filters: dict[str, Any]) -> None:
    """What had arrived, and then what arrives one by one and in batches, as a plain scan selects it."""
    log.append_many(entries(2_500))
    log.append_many([entry(9_000, actor_id="nobody yet")])
    follower = log.follow(from_start=True, timeout=0.1, **filters)
    scanned = plain_scan.select(plain_scan.scan_file(log.path).entries, **filters)
    found = list(islice(follower, len(scanned)))
    assert exact_list(found) == exact_list(scanned)
    for each in entries(20, start=2_501):
        log.append(each)
    log.append_many(entries(700, start=2_521))
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


def test_a_cut_at_any_entry_goes_on_behind_it(log: OpLog) -> None:
    """From the cut, or the op_id, of each entry given the next follower gives exactly the rest."""
    log.append_many(entries(5))
    making.add_bytes(log.path, b"damage\n" + making.line(entry(2)) + b"\n")
    log.append_many(entries(5, start=6))
    follower = log.follow(from_start=True, timeout=0)
    assert follower.cut() == Cut("s", 0, 0)
    for number, each in enumerate(follower, 1):
        rest = exact_list(entries(10 - number, start=number + 1))
        assert follower.cut().op_count == number
        assert exact_list(log.follow(since=follower.cut(), timeout=0)) == rest
        assert exact_list(log.follow(since=each["op_id"], timeout=0)) == rest
    assert follower.cut() == log.cut()


def test_a_cut_lies_behind_what_was_looked_at_and_did_not_match(log: OpLog) -> None:
    """Where nothing matches a follower still moves on, so that its cut spares the next one the work."""
    log.append_many(entries(3_000))
    follower = log.follow(from_start=True, timeout=0, domain="absent")
    assert list(follower) == []
    assert follower.cut() == log.cut()


def test_the_cut_of_a_log_that_was_taken_before_is_a_beginning(log: OpLog) -> None:
    """`log.cut()` and the empty cut are positions too."""
    log.append_many(entries(3))
    cut = log.cut()
    log.append_many(entries(2, start=4))
    assert exact_list(log.follow(since=cut, timeout=0)) == exact_list(entries(2, start=4))
    assert exact_list(log.follow(since=Cut("s", 0, 0), timeout=0)) == exact_list(entries(5))


def test_a_torn_tail_is_given_once_it_is_finished(repo: Path, log: OpLog) -> None:
    """Half a line is nothing; when its writer ends it, it is an entry, also for who began to follow in between."""
    making.add_bytes(log.path, making.line(entry(1)))
    line = making.line(entry(2))
    before = log.follow(timeout=0.02)
    making.add_bytes(log.path, line[:40])
    between = log.follow()
    assert list(before) == []
    before = log.follow(since=before.cut())
    making.add_bytes(log.path, line[40:])
    assert [next(before), next(between)] == [entry(2), entry(2)]


def test_a_torn_tail_that_is_sealed_is_passed_over(repo: Path, log: OpLog) -> None:
    """An append after a dead writer's half a line gives a follower the new entry alone."""
    making.add_bytes(log.path, making.line(entry(1))[:40])
    follower = log.follow(from_start=True)
    log.append(entry(2))
    assert next(follower) == entry(2)


def test_a_session_that_is_not_there_yet_can_be_followed(repo: Path) -> None:
    """To follow creates nothing, and the first entry is given when the log comes to be."""
    with OpLog(repo, "s") as log:
        followers = [log.follow(timeout=LONG), log.follow(from_start=True, timeout=LONG)]
        assert list(log.follow(timeout=0)) == []
        assert followers[0].cut() == Cut("s", 0, 0)
        assert making.tree(repo) == {}
        with in_thread(lambda: [next(each) for each in followers]) as found, OpLog(repo, "s") as other:
            other.append(entry(1))
        assert found == [[entry(1), entry(1)]]


def test_a_log_that_was_replaced_is_said_to_be(repo: Path, log: OpLog) -> None:
    """A follower raises LogReplacedError when its file is gone, and when another of the same size is in its place."""
    log.append_many(entries(3))
    for replace in (os.unlink, lambda path: os.replace(log.path.with_name("copy"), path)):
        with OpLog(repo, "s") as mine:
            follower = mine.follow(from_start=True)
            assert len(list(islice(follower, 3))) == 3
            data = log.path.read_bytes()
            log.path.with_name("copy").write_bytes(data)
            replace(log.path)
            with pytest.raises(LogReplacedError):
                next(follower)
            log.path.write_bytes(data)


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


def test_entries_are_followed_across_a_deleted_index(repo: Path, log: OpLog) -> None:
    """A position is one of the log: with another index, or none, the rest is given all the same."""
    log.append_many(entries(3_000))
    follower = log.follow(from_start=True, timeout=0)
    found = list(islice(follower, 2_500))
    making.drop_index(repo)
    found += islice(follower, 100)
    log.rebuild_index()
    log.append_many(entries(100, start=3_001))
    assert exact_list([*found, *follower]) == exact_list(entries(3_100))


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


UNKNOWN: list[tuple[Any, type[Exception]]] = [
    (op_id(7), InvalidArgumentError),
    ("no uuid", InvalidArgumentError),
    (Cut("s", 10, 1), InvalidCutError),
    (Cut("other", 0, 0), InvalidCutError),
    (Cut("s", 10**9, 1), InvalidCutError),
]


@pytest.mark.parametrize(("since", "error"), UNKNOWN, ids=str)
def test_a_position_that_is_none_of_this_log_is_refused(log: OpLog, since: Any, error: type[Exception]) -> None:
    """It is never taken for the beginning or the end: at once, or in an event loop when the iteration begins."""
    log.append(entry(1))
    with pytest.raises(error):
        log.follow(since=since)
    with pytest.raises(error):
        asyncio.run(collected(log, 1, since=since))


def test_a_follower_is_an_iterator_that_can_not_be_made_by_position(log: OpLog) -> None:
    """`iter` of it is itself."""
    follower = log.follow(timeout=0)
    assert isinstance(follower, Follower)
    assert iter(follower) is follower


# -- in an event loop ------------------------------------------------------------------------------------


def test_an_event_loop_runs_on_while_it_follows(repo: Path, log: OpLog) -> None:
    """Tasks that write and one that follows share a loop; two followers with filters each get theirs."""

    async def write(domain: str) -> None:
        for number in range(100):
            await asyncio.to_thread(log.record, "ada", domain, {"op": "insert", "position": number})

    async def main() -> list[list[OpEntry]]:
        found = [
            asyncio.create_task(collected(log, 200)),
            asyncio.create_task(collected(log, 100, domain="music")),
        ]
        # A follower's position is that of its making, so the tasks have to have begun.
        await asyncio.sleep(0)
        await asyncio.gather(write("music"), write("code"))
        return await asyncio.gather(*found)

    every, music = asyncio.run(main())
    scanned = plain_scan.scan_file(log.path).entries
    assert exact_list(every) == exact_list(scanned)
    assert exact_list(music) == exact_list(plain_scan.select(scanned, domain="music"))


def test_a_loop_is_not_blocked_by_a_handle_that_is_busy(log: OpLog) -> None:
    """While another thread holds the handle, a follower in the loop waits and the loop's other tasks go on."""
    log.append(entry(1))

    async def main() -> OpEntry:
        async with log.follow_async(from_start=True) as follower:
            waiting = asyncio.ensure_future(anext(follower))
            held, let_go = threading.Event(), threading.Event()

            def hold() -> None:
                with log._lock:
                    held.set()
                    assert let_go.wait(LONG)

            with in_thread(hold):
                held.wait()
                for _ in range(20):
                    await asyncio.sleep(0.001)
                let_go.set()
            return await waiting

    assert asyncio.run(main()) == entry(1)


def test_a_cancelled_wait_loses_nothing(log: OpLog) -> None:
    """However often waiting is cancelled, in a pause or while entries are fetched, each comes once."""

    async def main() -> list[OpEntry]:
        found: list[OpEntry] = []
        async with log.follow_async() as follower:
            for each in entries(60):
                log.append(each)
                for turns in range(60):
                    waiting = asyncio.ensure_future(anext(follower))
                    for _ in range(turns % 7):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    with suppress(asyncio.CancelledError):
                        found.append(await waiting)
            while len(found) < 60:
                found.append(await anext(follower))
            assert await follower.cut() == log.cut()
        return found

    assert exact_list(asyncio.run(main())) == exact_list(entries(60))


def test_a_cancelled_task_ends_with_nothing_left_behind(repo: Path) -> None:
    """Cancelling the task that follows and closing the log right after raises nothing, and leaves no thread at work."""

    async def follow_for_ever(log: OpLog) -> None:
        async with log.follow_async(from_start=True) as follower:
            async for _ in follower:
                pass

    async def main() -> None:
        for number in range(10):
            with OpLog(repo, "s") as log:
                log.append_many(entries(300, start=1 + 300 * number))
                task = asyncio.create_task(follow_for_ever(log))
                await asyncio.sleep(0.002 * number)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(main(), debug=False)


def test_an_asynchronous_follower_ends_as_the_other_does(repo: Path) -> None:
    """By its timeout, by stop from another thread, by the end of its block, and when the log is closed."""

    async def main() -> None:
        log = OpLog(repo, "s")
        log.append_many(entries(3))
        timed = log.follow_async(from_start=True, timeout=0.05)
        assert [each async for each in timed] == entries(3)
        assert [each async for each in timed] == []
        stopped = log.follow_async()
        threading.Timer(0.05, stopped.stop).start()
        assert [each async for each in stopped] == []
        async with log.follow_async(from_start=True) as left:
            assert await anext(left) == entries(3)[0]
        assert [each async for each in left] == []
        log.append(entry(4))
        assert [each async for each in log.follow_async(since=await left.cut(), timeout=0)] == [
            *entries(2, start=2),
            entry(4),
        ]
        assert [each async for each in log.follow_async(since=op_id(3), timeout=0)] == [entry(4)]
        closed = log.follow_async()
        threading.Timer(0.05, log.close).start()
        assert [each async for each in closed] == []

    asyncio.run(main())


def test_a_replaced_log_is_said_to_be_in_an_event_loop(repo: Path, log: OpLog) -> None:
    """LogReplacedError comes through the iteration."""
    log.append(entry(1))

    async def main() -> None:
        async with log.follow_async(from_start=True) as follower:
            assert await anext(follower) == entry(1)
            log.path.unlink()
            await anext(follower)

    with pytest.raises(LogReplacedError):
        asyncio.run(main())
