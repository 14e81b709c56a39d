"""Following in an event loop: the loop runs on, a cancelled wait loses nothing, and each entry comes once."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from muse.core.handle_lock import Turn
from muse.core.op_log import ClosedLogError, LogReplacedError, OpEntry, OpLog
from tests import plain_scan
from tests.follow.following import LONG, collected, in_thread
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list


def test_an_event_loop_runs_on_while_it_follows(repo: Path, log: OpLog) -> None:
    """Tasks that write and one that follows share a loop; two followers with filters each get theirs."""

    async def write(domain: str) -> None:
        for number in range(100):
            await asyncio.to_thread(log.record, "ada", domain, {"op": "insert", "position": number})

    async def main() -> list[list[OpEntry]]:
        found = [asyncio.create_task(collected(log, 200)), asyncio.create_task(collected(log, 100, domain="music"))]
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
                with Turn(log._lock):
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


def test_a_log_is_closed_beside_the_event_loop(repo: Path) -> None:
    """`async with` waits for a thread that works with the handle, and the loop goes on meanwhile."""

    async def work() -> tuple[OpLog, int]:
        ticks = 0
        async with OpLog(repo, "s") as log:
            await asyncio.to_thread(log.record, "ada", "music", {"op": "insert"})
            busy = threading.Event()

            def keep_busy() -> None:
                with Turn(log._lock):
                    busy.set()
                    time.sleep(0.2)

            held = asyncio.create_task(asyncio.to_thread(keep_busy))
            await asyncio.to_thread(busy.wait)

            async def tick() -> None:
                nonlocal ticks
                while True:
                    ticks += 1
                    await asyncio.sleep(0.001)

            ticking = asyncio.create_task(tick())
        ticking.cancel()
        await held
        return log, ticks

    log, ticks = asyncio.run(work())

    assert ticks > 10
    with pytest.raises(ClosedLogError):
        log.count()
    assert len(plain_scan.scan_file(log.path).entries) == 1
