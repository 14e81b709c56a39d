"""One connection: what is left of one that failed, and which failures are tried again."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
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


INFO = b'INFO {"server_id":"x","version":"2.10.0","max_payload":1048576,"auth_required":true,"headers":true}\r\n'


@pytest.mark.parametrize(("last_words", "told"), [(b"-ERR 'Authentication Timeout'\r\n", "Timeout"), (b"", "EOF")])
def test_a_login_that_comes_too_late_is_tried_again(last_words: bytes, told: str) -> None:
    """A slow network is no wrong password; nor is a server that ends just then. No real one can be had so slow."""
    if reason := servers.why_not():
        pytest.skip(reason)
    from muse.replicate.wire.link import Link

    def answer(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.sendall(INFO)
            client.recv(10_000)
            client.sendall(last_words)
            # Closed with something unread, it would be a reset, and the words would be lost.
            client.shutdown(socket.SHUT_WR)
            client.settimeout(20)
            while client.recv(10_000):
                pass

    async def attempt(url: str) -> None:
        async with Link(Settings((url,), user="ada", password="x")):
            pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=answer, args=(server,))
        answering.start()
        with pytest.raises(ReplicationUnavailableError, match=told):
            asyncio.run(attempt(f"nats://127.0.0.1:{server.getsockname()[1]}"))
        answering.join()
