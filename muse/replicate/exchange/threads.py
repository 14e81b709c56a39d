"""The threads of a round: what could block the event loop is done there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")


class Threads:
    """Two threads; `end` waits until they are through with their work."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2, "muse-replica")
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Do `work` in a thread, which goes on with it even if whoever waits is cancelled."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *arguments))
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.shield(future)

    async def end(self) -> None:
        """Wait for what is still being done, as a thread can't be cancelled, and end the threads; if cancelled, too."""
        try:
            if self._running:
                await asyncio.wait(self._running)
        finally:
            self._pool.shutdown()
