"""The threads of a round: whoever ends them, however hastily, waits for them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from muse.replicate.exchange.threads import Threads


def test_nothing_is_at_work_any_more_when_ending_is_cancelled() -> None:
    """A replica that is stopped just when a round has ended by itself: its log must not be written to later."""
    done: list[str] = []

    def work() -> None:
        time.sleep(0.2)
        done.append("work")

    async def main() -> None:
        threads = Threads()
        working = asyncio.create_task(threads.run(work))
        await asyncio.sleep(0.05)
        ending = asyncio.create_task(threads.end())
        await asyncio.sleep(0.05)
        ending.cancel()
        with suppress(asyncio.CancelledError):
            await ending
        done.append("ended")
        await working

    asyncio.run(main())
    assert done == ["work", "ended"]
