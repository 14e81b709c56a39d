"""One connection: what is left of one that failed."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from pathlib import Path

import pytest

from muse.replicate import ReplicationUnavailableError, Settings
from tests.replicate import servers


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc to look at descriptors")
def test_a_server_that_never_answers_keeps_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt closes its own, not the collector some day; the error says what was waited for."""
    if reason := servers.why_not():
        pytest.skip(reason)
    from muse.replicate.wire.link import Link

    monkeypatch.setattr("muse.replicate.wire.link._CONNECT_SECONDS", 0.1)

    async def attempts(url: str) -> list[int]:
        left = []
        for _ in range(3):
            with pytest.raises(ReplicationUnavailableError, match="no answer"):
                async with Link(Settings((url,))):
                    pass
            left.append(len(os.listdir("/proc/self/fd")))
        return left

    with socket.create_server(("127.0.0.1", 0)) as silent:
        gc.disable()
        try:
            left = asyncio.run(attempts(f"nats://127.0.0.1:{silent.getsockname()[1]}"))
        finally:
            gc.enable()
    assert left[0] == left[-1]
