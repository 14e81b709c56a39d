"""Three hosts in network namespaces, each with a node of one cluster, a writer and a replica; as root on Linux.

    python -m tests.replicate.namespaces [--ops 100000] [--cut-seconds 60]

While all record, one host is cut off from the others, the replica of another one is killed, and then each node once. In
the end all have the same set, the same total order and the same deltas, by a plain scan.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from muse.core.op_log import OpLog
from tests import children, making, plain_scan
from tests.making import SOME_OP
from tests.replicate.servers import server_binary, why_not

HOSTS = (1, 2, 3)
SESSION = "s"
PAUSE_SECONDS = 1.0
BATCH = 20
CONVERGE_SECONDS = 240


def ip(*arguments: object) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True)


def why_not_here() -> str:
    """Why there can be no hosts here; "" if there can."""
    if missing := why_not():
        return missing
    done = subprocess.run(["ip", "netns", "add", "muse-try"], check=False, capture_output=True, text=True)
    if done.returncode:
        return f"no network namespace can be made: {done.stderr.strip()}"
    ip("netns", "del", "muse-try")
    return ""


class Host:
    """One host: a namespace with an address, a repository, a node of the cluster, a writer, a replica."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name = f"muse{os.getpid()}n{number}"
        self.number = number
        self.folder = folder / f"host{number}"
        self.repo = self.folder / "repo"
        self.repo.mkdir(parents=True)
        self.running: dict[str, subprocess.Popen[Any]] = {}

    @property
    def address(self) -> str:
        """Its address."""
        return f"10.99.0.{self.number}"

    @property
    def link(self) -> str:
        """The end of its cable at the switch."""
        return f"m{os.getpid() % 10_000}v{self.number}"

    def start(self, what: str, *command: object) -> None:
        """Run something on it."""
        with (self.folder / f"{what}.log").open("ab") as log:
            self.running[what] = children.start(
                ["ip", "netns", "exec", self.name, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, what: str) -> None:
        """End it without warning."""
        process = self.running.pop(what, None)
        if process is not None:
            process.kill()
            process.wait(30)

    def start_node(self) -> None:
        """Its node of the cluster."""
        routes = ", ".join(f'"nats://10.99.0.{number}:6222"' for number in HOSTS)
        (self.folder / "node.conf").write_text(
            f'listen: "{self.address}:4222"\nserver_name: n{self.number}\n'
            f'jetstream {{ store_dir: "{self.folder / "store"}", max_file_store: 4GB, max_memory_store: 64MB }}\n'
            f'cluster {{ name: c, listen: "{self.address}:6222", routes: [{routes}] }}\n'
        )
        self.start("node", server_binary(), "-c", self.folder / "node.conf")

    def start_replica(self) -> None:
        """Its replica of the session: its own node first, then the others."""
        urls = ",".join(f"nats://10.99.0.{number}:4222" for number in HOSTS)
        self.start("replica", sys.executable, "-m", "muse", "op-log", "sync", SESSION, urls, "--repo", self.repo)

    def start_writer(self, count: int, seconds: float) -> None:
        """What records on it."""
        arguments = ("--write", self.repo, f"host {self.number}", count, seconds)
        self.start("writer", sys.executable, "-m", "tests.replicate.namespaces", *arguments)

    def lines(self) -> int:
        """How many lines its log has by now."""
        path = making.log_path(self.repo, SESSION)
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def scan(self) -> plain_scan.PlainScan:
        """Its log, read plainly."""
        return plain_scan.scan_file(making.log_path(self.repo, SESSION))


@contextmanager
def network(hosts: Sequence[Host]) -> Iterator[None]:
    """A switch with a cable to each host, as long as the block lasts."""
    switch = f"m{os.getpid() % 10_000}sw"
    with ExitStack() as undo:
        ip("link", "add", switch, "type", "bridge")
        undo.callback(ip, "link", "del", switch)
        ip("link", "set", switch, "up")
        for host in hosts:
            ip("netns", "add", host.name)
            undo.callback(ip, "netns", "del", host.name)
            ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            ip("link", "set", host.link, "master", switch, "up")
            for arguments in (
                ("addr", "add", f"{host.address}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                ip("-n", host.name, *arguments)
        yield


def write(repo: str, actor: str, count: str, seconds: str) -> None:
    """Record so many operations, spread over so many seconds."""
    left, pause = int(count), float(seconds) * BATCH / int(count)
    with OpLog(repo, SESSION) as log:
        while left > 0:
            for _ in range(min(BATCH, left)):
                log.record(actor, ("music", "code")[left % 2], SOME_OP)
                left -= 1
            time.sleep(pause)


def run(folder: Path, ops: int, cut_seconds: float) -> dict[str, Any]:
    """All of it; what was seen."""
    hosts = [Host(number, folder) for number in HOSTS]
    _, cut_off, killed = hosts
    with ExitStack() as undo:
        undo.enter_context(network(hosts))
        for host in hosts:
            for what in ("writer", "replica", "node"):
                undo.callback(host.kill, what)
        for host in hosts:
            host.start_node()
        time.sleep(3)
        for host in hosts:
            host.start_replica()
            host.start_writer(ops // len(hosts), cut_seconds)
        began = time.monotonic()
        time.sleep(cut_seconds / 10)
        ip("link", "set", cut_off.link, "down")
        killed.kill("replica")
        time.sleep(PAUSE_SECONDS)
        killed.start_replica()
        time.sleep(cut_seconds)
        ip("link", "set", cut_off.link, "up")
        for host in hosts:
            host.kill("node")
            time.sleep(PAUSE_SECONDS)
            host.start_node()
            time.sleep(10 * PAUSE_SECONDS)
        for host in hosts:
            host.running["writer"].wait(CONVERGE_SECONDS)
        wrote = time.monotonic() - began
        total = ops // len(hosts) * len(hosts)
        deadline = time.monotonic() + CONVERGE_SECONDS
        while any(host.lines() < total for host in hosts) and time.monotonic() < deadline:
            time.sleep(0.2)
        converged = time.monotonic() - began - wrote
    scans = [host.scan() for host in hosts]
    ordered = [plain_scan.exact_list(plain_scan.total_order(each.entries)) for each in scans]
    deltas = []
    for host in hosts:
        with OpLog(host.repo, SESSION) as log:
            deltas.append(json.dumps([log.to_structured_delta(domain) for domain in ("music", "code")]).encode())
    return {
        "ops": [len(each.entries) for each in scans],
        "expected": total,
        "recorded in seconds": round(wrote, 1),
        "all there after seconds more": round(converged, 1),
        "duplicates": sum(len(each.duplicates) + len(each.conflicts) for each in scans),
        "same total order": all(each == ordered[0] for each in ordered),
        "same deltas, byte for byte": len(set(deltas)) == 1,
    }


def main() -> int:
    """Run it, print what was seen; 1 if the hosts do not have the same."""
    if sys.argv[1:2] == ["--write"]:
        write(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ops", type=int, default=100_000)
    parser.add_argument("--cut-seconds", type=float, default=60)
    given = parser.parse_args()
    if reason := why_not_here():
        print(f"not here: {reason}")
        return 2
    with tempfile.TemporaryDirectory(prefix="muse-hosts-") as folder:
        seen = run(Path(folder), given.ops, given.cut_seconds)
    print(json.dumps(seen))
    same = seen["same total order"] and seen["same deltas, byte for byte"] and not seen["duplicates"]
    return int(not same or any(each != seen["expected"] for each in seen["ops"]))


if __name__ == "__main__":
    sys.exit(main())
