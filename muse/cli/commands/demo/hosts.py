"""The demo of replication: several hosts record one session, one is cut off, one killed, and the server loses its disk.

Each host is a folder with a repository, a process for each of its actors, and one that replicates. What all have in the
end is compared by a plain reading of their logs.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muse.cli.commands.demo.actors import Actors, environment
from muse.cli.commands.demo.story import Scene, plain, total_order
from muse.cli.commands.demo.trace import Edit
from muse.cli.output.failures import SystemFailed
from muse.cli.output.printing import pluralize
from muse.core.op_log import OpLog
from muse.replicate import Replica, Settings
from muse.replicate.trial import trial_server

_SPACE = "demo"
_MOST_SECONDS = 60.0
"""How long recording, and then exchanging, may take on a busy machine."""


@dataclass
class _Host:
    """One host: its repository, what replicates it, and its actors."""

    repo: Path
    session_id: str
    url: str
    edits: Sequence[Edit]
    seconds: float
    replication: ExitStack = field(default_factory=ExitStack)
    recording: ExitStack = field(default_factory=ExitStack)

    def connect(self) -> None:
        """Replicate from now on, until `replication` is closed."""
        self.replication.enter_context(self._replicating())

    @contextmanager
    def _replicating(self) -> Iterator[None]:
        sync = ("op-log", "sync", self.session_id, self.url, "--space", _SPACE, "--repo", str(self.repo))
        with (
            (self.repo / "sync.log").open("ab") as log,
            subprocess.Popen(  # noqa: S603 - this package's own command
                [sys.executable, "-P", "-m", "muse", *sync],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                yield
            finally:
                process.kill()

    def record(self) -> None:
        """Let the actors record, until `recording` is closed. What is there already is not recorded twice."""
        self.actors = Actors(self.edits, len(self.edits), self.repo, self.session_id, self.seconds)
        self.recording.enter_context(self.actors)

    def kill(self) -> None:
        """End all of it without warning."""
        self.replication.close()
        self.recording.close()


@dataclass
class Hosts(Scene):
    """The demo on several hosts, each with a folder in the repository's."""

    count: int

    def run(self) -> dict[str, Any]:
        """Do all of it; the results."""
        repos = [self.repo / f"host-{number}" for number in range(1, self.count + 1)]
        self.tell(f"{self.count} hosts record {pluralize(len(self.edits), 'edit')}, each into a log of its own.")
        with socket.create_server(("127.0.0.1", 0)) as free:
            url = f"nats://127.0.0.1:{free.getsockname()[1]}"
        with ExitStack() as server:
            server.enter_context(trial_server(url, self.repo / "server"))
            self._play(repos, url, server)
            self._exchange(repos, url)
        self._compare(repos)
        self.tell(f"\nAll of it is in {self.repo}")
        return {"repos": list(map(str, repos))}

    def _play(self, repos: Sequence[Path], url: str, server: ExitStack) -> None:
        names = sorted({edit["actor_id"] for edit in self.edits})
        hosts = []
        with ExitStack() as stack:
            for number, repo in enumerate(repos):
                repo.mkdir(parents=True)
                mine = [edit for edit in self.edits if names.index(edit["actor_id"]) % len(repos) == number]
                hosts.append(host := _Host(repo, self.session_id, url, mine, self.seconds))
                stack.callback(host.kill)
                host.connect()
                host.record()
            cut_off, killed = hosts[1], hosts[-1]
            time.sleep(1)
            self.tell(f"   {cut_off.repo.name} is cut off; its actors go on")
            cut_off.replication.close()
            time.sleep(0.5)
            self.tell(f"   {killed.repo.name} is killed")
            killed.kill()
            time.sleep(1)
            self.tell(f"   {killed.repo.name} is back")
            killed.connect()
            killed.record()
            self.tell(f"   {cut_off.repo.name} is connected again")
            cut_off.connect()
            time.sleep(0.5)
            self.tell("   the server loses its disk")
            server.close()
            shutil.rmtree(self.repo / "server")
            server.enter_context(trial_server(url, self.repo / "server"))
            deadline = time.monotonic() + self.seconds + _MOST_SECONDS
            while any(host.actors.are_working() for host in hosts):
                if time.monotonic() > deadline:
                    raise SystemFailed(f"the edits of other hosts do not arrive: see {repos[0] / 'sync.log'}")
                time.sleep(0.05)

    def _exchange(self, repos: Sequence[Path], url: str) -> None:
        with ExitStack() as stack:
            settings = Settings((url,), space=_SPACE)
            replicas = [stack.enter_context(Replica(repo, self.session_id, settings)) for repo in repos]
            # Twice, since what the last one sends comes to the first one after it has looked.
            for replica in replicas * 2:
                replica.wait_synced(_MOST_SECONDS)

    def _compare(self, repos: Sequence[Path]) -> None:
        orders, deltas = [], []
        for repo in repos:
            with OpLog(repo, self.session_id) as log:
                entries = plain(log)
                deltas.append({domain: log.to_structured_delta(domain) for domain in log.domains()})
            self.check(f"{repo.name} has every edit, once and unchanged", self.holds_each_edit(entries))
            orders.append(sorted(entries, key=total_order))
        self.check("all have them in the same total order", all(order == orders[0] for order in orders))
        self.check("the deltas of all are equal", all(delta == deltas[0] for delta in deltas))
        for domain, delta in deltas[0].items():
            self.tell(f"   {domain}: {delta['summary']}")
