"""`python -m benchmarks.replication`: one session on two hosts, beside a bare publisher and subscriber, and `merge`.

Two processes with a repository each and a server of its own, all on this machine. A bare pair sends each operation as a
message through a stream of the same server, another one the same bytes in pages; neither checks or keeps anything.
Each figure is taken in turn with what stands beside it, round after round.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import resource
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from rich.console import Console

from benchmarks.entries import entries
from muse.core.op_log import OpLog
from muse.replicate import Replica, Settings
from muse.replicate.process.worker import Worker
from muse.replicate.settings import split_urls
from muse.replicate.trial import server_binary, trial_server

PAGE_BYTES = 256 << 10
BATCH = 2_000
PAUSE_SECONDS = 0.01
PATIENCE_SECONDS = 600
START_SECONDS = 5
SESSION = "s"

Role = Callable[[Connection], object]


@contextmanager
def playing(role: Role) -> Iterator[Connection]:
    """Another process that plays a role; what it is told and tells goes over the connection."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=role, args=(there,))
    process.start()
    try:
        yield here
    finally:
        process.join(PATIENCE_SECONDS)


def answer(other: Connection) -> Any:
    """What the other process tells next."""
    if not other.poll(PATIENCE_SECONDS):
        raise TimeoutError("the other process says nothing")
    return other.recv()


def worker_of(repo: Path, url: str, space: str) -> Worker:
    """What replicates the session of a repository in this process, as `muse op-log sync` does; not started."""
    return Worker(repo, SESSION, Settings(split_urls(url), space=space))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Three servers as one, as long as the block lasts; their URLs with commas."""
    ports, routes = free_ports(3), free_ports(3)
    listed = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    with ExitStack() as stack:
        for number, (port, route) in enumerate(zip(ports, routes, strict=True)):
            config = folder / f"node{number}.conf"
            config.write_text(
                f'listen: "127.0.0.1:{port}"\nserver_name: n{number}\n'
                f'jetstream {{ store_dir: "{folder / str(number)}" }}\n'
                f'cluster {{ name: c, listen: "127.0.0.1:{route}", routes: [{listed}] }}\n'
            )
            node = subprocess.Popen(  # noqa: S603
                [str(server_binary()), "-c", str(config), "-l", str(folder / f"node{number}.log")]
            )
            stack.callback(node.wait)
            stack.callback(node.kill)
        # Until they have a leader.
        time.sleep(START_SECONDS)
        yield ",".join(f"nats://127.0.0.1:{port}" for port in ports)


def fill(repo: Path, count: int) -> int:
    """A session of so many entries; how many bytes they take."""
    with OpLog(repo, SESSION) as log:
        made = entries(count)
        while batch := list(itertools.islice(made, BATCH)):
            log.append_many(batch)
        return log.path.stat().st_size


# -- how many each second ---------------------------------------------------------------------------------------


def receive(repo: Path, url: str, space: str, size: int, other: Connection) -> None:
    """A host that has nothing yet: tell how long it took until all was there, and the most memory that it took."""
    with OpLog(repo, SESSION) as log, worker_of(repo, url, space):
        other.send("ready")
        began = other.recv()
        while not log.path.exists() or log.path.stat().st_size < size:
            time.sleep(0.005)
        other.send((time.time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def send(repo: Path, url: str, space: str, other: Connection) -> None:
    """The host that has all: send it, and tell the most memory that it took."""
    other.recv()
    with worker_of(repo, url, space) as replica:
        replica.wait_synced(PATIENCE_SECONDS)
        other.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def transfer(full: Path, url: str, space: str, size: int) -> tuple[float, float, float]:
    """Seconds from one host to another, and MiB that the sender and the receiver took."""
    with (
        tempfile.TemporaryDirectory(dir=full.parent) as empty,
        playing(partial(receive, Path(empty), url, space, size)) as to,
        playing(partial(send, full, url, space)) as by,
    ):
        answer(to)
        to.send(time.time())
        by.send("go")
        seconds, receiver = answer(to)
        return seconds, answer(by), receiver


def receive_bare(url: str, name: str, size: int, other: Connection) -> None:
    """Read so many bytes from a stream."""
    asyncio.run(_receive_bare(url, name, size, other))


async def _receive_bare(url: str, name: str, size: int, other: Connection) -> None:
    client = await nats.connect(url.split(","))
    stream = client.jetstream()
    await stream.add_stream(name=name, subjects=[f"bare.{name}"], num_replicas=url.count(",") + 1)
    config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE)
    pulled = await stream.pull_subscribe(f"bare.{name}", config=config)
    other.send("ready")
    began = other.recv()
    got = 0
    while got < size:
        for message in await pulled.fetch(500, PATIENCE_SECONDS):
            got += len(message.data)
    other.send(time.time() - began)
    await client.close()


def send_bare(path: Path, url: str, name: str, page_bytes: int, other: Connection) -> None:
    """Publish a file, line by line or in pages."""
    data = path.read_bytes()
    starts = range(0, len(data), page_bytes or len(data))
    pages = [data[at : at + page_bytes] for at in starts] if page_bytes else data.splitlines(keepends=True)
    other.recv()
    asyncio.run(_send_bare(pages, url, name))


async def _send_bare(pages: list[bytes], url: str, name: str) -> None:
    client = await nats.connect(url.split(","))
    stream = client.jetstream(publish_async_max_pending=1000)
    for page in pages:
        await stream.publish_async(f"bare.{name}", page)
    await stream.publish_async_completed()
    await client.close()


def transfer_bare(path: Path, url: str, name: str, size: int, page_bytes: int = 0) -> float:
    """Seconds from a bare publisher to a bare subscriber."""
    sending = partial(send_bare, path, url, name, page_bytes)
    with playing(partial(receive_bare, url, name, size)) as to, playing(sending) as by:
        answer(to)
        to.send(time.time())
        by.send("go")
        return float(answer(to))


def merge(full: Path) -> float:
    """Seconds that `merge` takes into an empty log on the same disk."""
    with (
        tempfile.TemporaryDirectory(dir=full.parent) as empty,
        OpLog(full, SESSION) as log,
        OpLog(empty, SESSION) as other,
    ):
        began = time.perf_counter()
        other.merge(log)
        return time.perf_counter() - began


# -- how long one takes -----------------------------------------------------------------------------------------


def watch(repo: Path, url: str, space: str, count: int, other: Connection) -> None:
    """Tell when each of so many operations was there, as time since it was recorded, in seconds."""
    delays: list[float] = []
    with OpLog(repo, SESSION) as log, worker_of(repo, url, space) as replica:
        log.record("watcher", "code", {"op": "first"})
        replica.wait_synced(PATIENCE_SECONDS)
        at = 0
        other.send("ready")
        while len(delays) < count:
            time.sleep(0.0005)
            data = log.path.read_bytes()
            for line in data[at:].splitlines(keepends=True):
                if line.endswith(b"\n"):
                    at += len(line)
                    if sent := json.loads(line)["domain_op"].get("sent"):
                        delays.append(time.time() - sent)
        other.send(delays)


def delays(url: str, space: str, folder: Path, count: int) -> list[float]:
    """One operation each 10 ms from one host to another."""
    with playing(partial(watch, folder / f"watch-{space}", url, space, count)) as to:
        answer(to)
        with (
            OpLog(folder / f"write-{space}", SESSION) as log,
            worker_of(folder / f"write-{space}", url, space) as replica,
        ):
            replica.wait_synced(PATIENCE_SECONDS)
            for _ in range(count):
                log.record("writer", "code", {"op": "insert", "sent": time.time()})
                time.sleep(PAUSE_SECONDS)
            replica.wait_synced(PATIENCE_SECONDS)
        return list(answer(to))


def watch_bare(url: str, name: str, count: int, other: Connection) -> None:
    """The same of a bare subscriber."""
    asyncio.run(_watch_bare(url, name, count, other))


async def _watch_bare(url: str, name: str, count: int, other: Connection) -> None:
    client = await nats.connect(url.split(","))
    stream = client.jetstream()
    await stream.add_stream(name=name, subjects=[f"bare.{name}"], num_replicas=url.count(",") + 1)
    subscription = await stream.subscribe(f"bare.{name}", ordered_consumer=True)
    other.send("ready")
    found = []
    for _ in range(count):
        message = await subscription.next_msg(PATIENCE_SECONDS)
        found.append(time.time() - json.loads(message.data)["sent"])
    other.send(found)
    await client.close()


def delays_bare(url: str, name: str, count: int) -> list[float]:
    """One message each 10 ms, acknowledged, from a bare publisher to a bare subscriber."""

    async def write() -> None:
        client = await nats.connect(url.split(","))
        stream = client.jetstream()
        for _ in range(count):
            await stream.publish(f"bare.{name}", json.dumps({"sent": time.time(), "text": "x" * 300}).encode())
            await asyncio.sleep(PAUSE_SECONDS)
        await client.close()

    with playing(partial(watch_bare, url, name, count)) as to:
        answer(to)
        asyncio.run(write())
        return list(answer(to))


# -- what it costs a writer --------------------------------------------------------------------------------------


def record_elsewhere(repo: Path, pause_seconds: float, other: Connection) -> None:
    """Another program that records in a session of its own, until it is told to end."""
    with OpLog(repo, SESSION) as log:
        other.send("ready")
        while not other.poll(pause_seconds):
            log.record("writer", "code", {"op": "insert", "address": "a.py"})


def cost_of_record(folder: Path, pause_seconds: float, url: str, beside: str) -> tuple[float, float]:
    """What one `record` takes, in microseconds: by the clock, the median, and of this process's CPU, the mean.

    `beside`: "nothing", "replication", or "another program", which has as much to do with this one as any other has.
    """
    repo = Path(tempfile.mkdtemp(dir=folder))
    count = 2000 if pause_seconds else 12_000
    with OpLog(repo, SESSION) as log, ExitStack() as stack:
        log.record("writer", "code", {"op": "first"})
        if beside == "another program":
            other = stack.enter_context(playing(partial(record_elsewhere, repo / "other", pause_seconds)))
            stack.callback(other.send, "end")
            answer(other)
        if beside == "replication":
            replica = stack.enter_context(Replica(repo, SESSION, Settings(split_urls(url), space=repo.name)))
            replica.wait_synced(PATIENCE_SECONDS)
        each, began_cpu = [], time.process_time()
        for _ in range(count):
            began = time.perf_counter()
            log.record("writer", "code", {"op": "insert", "address": "a.py"})
            each.append(time.perf_counter() - began)
            if pause_seconds:
                time.sleep(pause_seconds)
        return statistics.median(each) * 1e6, (time.process_time() - began_cpu) / count * 1e6


def percentile(values: list[float], part: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(int(part * len(values)), len(values) - 1)] * 1000


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replication", description=__doc__)
    parser.add_argument("--ops", type=int, default=100_000, help="how many operations are sent (default: 100,000)")
    parser.add_argument("--join", type=int, default=1_000_000, help="how many a new host joins; 0: none")
    parser.add_argument("--single", type=int, default=500, help="how many are sent one each 10 ms")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="of one server, or of a cluster of three")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "server").mkdir()
        if given.nodes == 1:
            url = f"nats://127.0.0.1:{free_ports(1)[0]}"
            with trial_server(url, folder / "server"):
                measure(folder, url, given)
        else:
            with cluster(folder / "server") as urls:
                measure(folder, urls, given)


def measure(folder: Path, url: str, given: argparse.Namespace) -> None:
    """All figures, with one server."""
    out = Console(highlight=False, soft_wrap=True)
    size = fill(folder / "full", given.ops)
    with OpLog(folder / "full", SESSION) as log:
        path = log.path
    names = map(str, itertools.count())
    rates: dict[str, list[float]] = {"replicated": [], "bare": [], "bare in pages": [], "merge": []}
    for _ in range(given.rounds):
        rates["replicated"].append(given.ops / transfer(folder / "full", url, next(names), size)[0])
        rates["bare"].append(given.ops / transfer_bare(path, url, next(names), size))
        rates["bare in pages"].append(given.ops / transfer_bare(path, url, next(names), size, PAGE_BYTES))
        rates["merge"].append(given.ops / merge(folder / "full"))
    middle = {name: statistics.median(each) for name, each in rates.items()}
    out.print(", ".join(f"{name} {rate:,.0f} ops/s" for name, rate in middle.items()))
    out.print(f"replicated / bare: {middle['replicated'] / middle['bare']:.2f} (goal: 0.5 or more)")
    ours = [delays(url, next(names), folder, given.single) for _ in range(given.rounds)]
    bare = [delays_bare(url, next(names), given.single) for _ in range(given.rounds)]
    for part in (0.5, 0.99):
        pair = [statistics.median(percentile(each, part) for each in found) for found in (ours, bare)]
        out.print(f"delay of one, p{part * 100:.0f}: {pair[0]:.1f} ms, bare {pair[1]:.1f} ms")
    for pause, what in ((0.0, "without a pause"), (0.001, "one each ms")):
        costs: dict[str, list[tuple[float, float]]] = {"nothing": [], "replication": [], "another program": []}
        for _ in range(given.rounds + 4):
            for beside, taken in costs.items():
                taken.append(cost_of_record(folder, pause, url, beside))
        for number, by in enumerate(("by the clock", "of CPU")):
            base, on, other = (statistics.median(each[number] for each in taken) for taken in costs.values())
            out.print(
                f"record {what}, {by}: {base:.1f} us, with replication {on / base:.3f} of it (goal: 1.05 or less), "
                f"beside another program {other / base:.3f}"
            )
    if given.join:
        size = fill(folder / "large", given.join)
        seconds, sender, receiver = transfer(folder / "large", url, "join", size)
        out.print(
            f"joined {given.join:,}: {given.join / seconds:,.0f} ops/s, {sender:.0f} and {receiver:.0f} MiB at most"
        )


if __name__ == "__main__":
    main()
