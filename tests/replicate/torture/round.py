"""One round: three hosts at work, one server or three, some harm; then all have all, and nothing is lost."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from muse.core.op_log import OpLog
from muse.replicate import Settings
from muse.replicate.process.worker import Worker
from tests import children
from tests.replicate import servers
from tests.replicate.hosts import STREAM, assert_equal, sent_op_ids, sync, until
from tests.replicate.servers import Server

HOSTS = ("ada", "bob", "cyd")
SINGLE = ("kill host", "kill server", "stop server", "freeze server", "wipe server", "roll server back", "put log back")
CLUSTER = ("kill host", "kill server", "kill two servers", "freeze server", "put log back")

REWOUND = "everything is compared again: "
"""Logged when a server has lost something: several hosts may send it again then."""


class Round:
    """Everything random comes from the seed; what the processes do in their time does not."""

    def __init__(self, folder: Path, seed: int, *, harms: int, nodes: Sequence[Server]) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.harms = harms
        self.nodes = nodes
        self.done: list[str] = []
        self.writers: dict[str, subprocess.Popen[Any]] = {}
        self.copies: list[Path] = []
        self.rewinds = 0

    @property
    def urls(self) -> tuple[str, ...]:
        """All nodes."""
        return tuple(node.url for node in self.nodes)

    def run(self) -> str:
        """Play the round; one line about it. An assertion fails if something is lost or differs."""
        for host in HOSTS:
            self.start(host)
        until(lambda: all((self.folder / host / ".muse" / "op_log" / "s" / "ops.jsonl").exists() for host in HOSTS))
        for _ in range(self.harms):
            time.sleep(self.rng.uniform(0.1, 0.8))
            harm = self.rng.choice(CLUSTER if len(self.nodes) > 1 else SINGLE)
            self.done.append(harm)
            getattr(self, harm.replace(" ", "_"))()
        for host in HOSTS:
            self.end(host)
        return self.check()

    def start(self, host: str) -> None:
        """Let a host work."""
        (self.folder / host).mkdir(exist_ok=True)
        command = [sys.executable, "-m", "tests.replicate.torture.writer", self.folder / host, host]
        self.writers[host] = children.start([*command, self.folder / f"{host}.acknowledged", *self.urls])

    def end(self, host: str) -> None:
        """Kill a host."""
        children.kill(self.writers.pop(host))

    # -- harm ------------------------------------------------------------------------------------------

    def kill_host(self) -> None:
        """A host dies and comes back."""
        host = self.rng.choice(HOSTS)
        self.end(host)
        self.start(host)

    def kill_server(self) -> None:
        """A server dies and comes back."""
        node = self.rng.choice(self.nodes)
        node.kill()
        time.sleep(self.rng.uniform(0, 1))
        node.start()

    def kill_two_servers(self) -> None:
        """The majority is lost for a while."""
        two = self.rng.sample(list(self.nodes), 2)
        for node in two:
            node.kill()
        time.sleep(self.rng.uniform(0, 1))
        for node in two:
            node.start()

    def stop_server(self) -> None:
        """A server ends properly and comes back; what it has then may be put back later."""
        self.copies.append(self.nodes[0].snapshot())

    def freeze_server(self) -> None:
        """A server is cut off for a while."""
        node = self.rng.choice(self.nodes)
        node.freeze()
        time.sleep(self.rng.uniform(0.1, 5))
        node.thaw()

    def wipe_server(self) -> None:
        """The server loses its disk."""
        self.nodes[0].wipe()
        self.copies.clear()
        self.nodes[0].start()

    def roll_server_back(self) -> None:
        """The server gets an older disk."""
        if self.copies:
            self.nodes[0].roll_back(self.rng.choice(self.copies))
            self.nodes[0].start()

    def put_log_back(self) -> None:
        """A host gets an older log; what it had since is on the others, as it was the truth only of what it held."""
        host = self.rng.choice(HOSTS)
        copy = self.folder / f"{host}-copy"
        self.end(host)
        shutil.copytree(self.folder / host / ".muse" / "op_log", copy)
        self.start(host)
        time.sleep(self.rng.uniform(0.1, 0.5))
        for each in HOSTS:
            self.end(each)
        self.exchange()
        shutil.rmtree(self.folder / host / ".muse" / "op_log")
        shutil.move(copy, self.folder / host / ".muse" / "op_log")
        for each in HOSTS:
            self.start(each)

    # -- the verdict -----------------------------------------------------------------------------------

    def exchange(self) -> None:
        """Have all hosts exchange all there is, and compare them."""
        with ExitStack() as stack:
            logs = [stack.enter_context(OpLog(self.folder / host, "s")) for host in HOSTS]
            settings = Settings(self.urls, space="t")
            replicas = [stack.enter_context(Worker(self.folder / host, "s", settings)) for host in HOSTS]
            sync(*replicas)
            assert_equal(*logs)
            assert not any(replica.status().refused for replica in replicas)
            self.rewinds += sum(replica.status().rewinds for replica in replicas)

    def check(self) -> str:
        """All hosts are equal, what was acknowledged is there, the stream has all, and twice only after a loss."""
        self.exchange()
        with OpLog(self.folder / HOSTS[0], "s") as log:
            there = {entry["op_id"] for entry in log}
        for host in HOSTS:
            path = self.folder / f"{host}.acknowledged"
            # The last line may be torn, as its writer was killed.
            lines = path.read_text("ascii").split("\n")[:-1] if path.exists() else []
            assert set(lines) <= there, f"{len(set(lines) - there)} acknowledged operations of {host} are lost"
        sent = sent_op_ids(self.nodes[0])
        assert set(sent) == there, f"{len(there - set(sent))} operations are not in the stream"
        repeated, logged = len(sent) - len(there), self.logged()
        if repeated and not self.rewinds and REWOUND not in logged:
            raise AssertionError(f"{repeated} operations are twice in the stream:\n{self.copies_of(sent)}{logged}")
        return f"{len(there)} operations, {repeated} repeated: {', '.join(self.done)}"

    def logged(self) -> str:
        """What the hosts have logged."""
        return "".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.folder.glob("*.log")))

    def copies_of(self, sent: list[str]) -> str:
        """The messages with operations that are twice in the stream, and the salts of the hosts' save points."""
        twice = {op_id for op_id, count in Counter(sent).items() if count > 1}
        told = [
            f"{message.seq} at {message.time}, {message.payload.count(b'op_id')} lines, {message.headers}"
            for message in servers.messages(self.nodes[0], STREAM)
            if any(op_id.encode() in message.payload for op_id in twice)
        ]
        save_points = [self.folder / host / ".muse" / "replicas" / "t" / "s.json" for host in HOSTS]
        return "\n".join([*told, *(f"{path}: {path.read_text()}" for path in save_points), ""])


def play(folder: Path, seed: int, harms: int, *, is_cluster: bool) -> str:
    """Play one round in a folder."""
    with ExitStack() as stack:
        if is_cluster:
            nodes = stack.enter_context(servers.cluster(folder / "servers"))
        else:
            nodes = [stack.enter_context(servers.running(folder / "servers"))]
        game = Round(folder, seed, harms=harms, nodes=nodes)
        try:
            return game.run()
        finally:
            for host in list(game.writers):
                game.end(host)
