"""The demo of replication: several hosts record one session, one is cut off, one killed, and the server loses its disk.

Each host is a process with a repository of its own. What they recorded is compared by a plain reading of their logs.
"""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import muse
from muse.cli.demo import host
from muse.cli.demo.checks import Checks, as_planned, in_total_order, plain_entries
from muse.cli.demo.plan import PlannedEdit, planned, write_plan
from muse.cli.demo.trace import Edit
from muse.cli.failures import SystemFailed
from muse.cli.output import pluralize
from muse.cli.trial_server import trial_server

_CUT_FROM_S, _CUT_UNTIL_S = 1.0, 3.0
_KILL_AT_S, _RESTART_AT_S, _WIPE_AT_S = 1.5, 2.5, 3.5
_MOST_S = 60.0
"""How long recording, and then exchanging, may take on a busy machine."""


class _Process:
    """One host at work."""

    def __init__(self, repo: Path, arguments: Sequence[str]) -> None:
        paths = [str(Path(muse.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._errors = (repo / "host.log").open("ab")
        self._process = subprocess.Popen(  # noqa: S603 - this package's own script
            [sys.executable, "-P", host.__file__, str(repo), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.is_done = False
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self.is_done = self._process.stdout.readline() == b"done\n"

    def has_failed(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it without warning."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        self._process.stdout.close()
        self._errors.close()


class Hosts:
    """Plays the demo in a folder, and tells of it."""

    def __init__(self, base: Path, session: str, count: int, rate: float | None, tell: Callable[[str], None]) -> None:
        self._base = base
        self._session = session
        self._rate = "max" if rate is None else str(rate)
        self._tell = tell
        self._repos = [base / f"host-{number}" for number in range(1, count + 1)]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._url = f"nats://127.0.0.1:{probe.getsockname()[1]}"
        self._store = base / "server"
        self._processes: dict[Path, _Process] = {}

    def run(self, edits: Sequence[Edit], material: str) -> dict[str, Any]:
        """Record, harm, exchange and compare."""
        plan = planned(edits)
        parts = self._parts(plan)
        self._tell(f"{len(self._repos)} hosts record {pluralize(len(plan), 'edit')} into session {self._session!r}:")
        self._tell(f"   {material}; repositories and server in {self._base}")
        with ExitStack() as server:
            server.enter_context(trial_server(self._url, self._store))
            try:
                self._play(parts, server)
            finally:
                for process in self._processes.values():
                    process.kill()
            self._exchange()
        return self._compare(plan)

    def _parts(self, plan: Sequence[PlannedEdit]) -> dict[Path, Path]:
        """The plan of each host: the edits of some of the actors, in the order in which they are due."""
        actors = sorted({edit.actor_id for edit in plan})
        host_of = {actor: self._repos[number % len(self._repos)] for number, actor in enumerate(actors)}
        parts = {}
        for repo in self._repos:
            repo.mkdir(parents=True)
            parts[repo] = repo / "plan.jsonl"
            mine = [edit for edit in plan if host_of[edit.actor_id] == repo]
            write_plan(sorted(mine, key=lambda edit: edit.due_tick), parts[repo])
        return parts

    def _start(self, repo: Path, plan: Path, *, is_cut_off: bool) -> None:
        cut = (_CUT_FROM_S, _CUT_UNTIL_S) if is_cut_off else (-1.0, -1.0)
        self._processes[repo] = _Process(repo, [self._session, str(plan), self._rate, self._url, *map(str, cut)])

    def _play(self, parts: dict[Path, Path], server: ExitStack) -> None:
        cut_off, killed = self._repos[1], self._repos[-1]
        began = time.monotonic()
        for repo, plan in parts.items():
            self._start(repo, plan, is_cut_off=repo == cut_off)
        self._tell(f"   {cut_off.name} is cut off for {_CUT_UNTIL_S - _CUT_FROM_S:g} seconds, and records on")
        _sleep_until(began + _KILL_AT_S)
        self._processes.pop(killed).kill()
        self._tell(f"   {killed.name} is killed")
        _sleep_until(began + _RESTART_AT_S)
        self._start(killed, parts[killed], is_cut_off=False)
        self._tell(f"   {killed.name} is back")
        _sleep_until(began + _WIPE_AT_S)
        server.close()
        shutil.rmtree(self._store)
        server.enter_context(trial_server(self._url, self._store))
        self._tell("   the server has lost its disk, and is back with an empty one")
        while not all(process.is_done for process in self._processes.values()):
            for repo, process in self._processes.items():
                if process.has_failed() or time.monotonic() > began + _MOST_S:
                    raise SystemFailed(f"{repo.name} did not record its part: see {repo / 'host.log'}")
            time.sleep(0.02)

    def _exchange(self) -> None:
        from muse.replicate import Replica, Settings

        settings = Settings((self._url,), space="demo")
        with ExitStack() as stack:
            replicas = [stack.enter_context(Replica(repo, self._session, settings)) for repo in self._repos]
            # Twice, since what the last one sends comes to the first one after it has looked.
            for replica in replicas * 2:
                replica.wait_synced(_MOST_S)

    def _compare(self, plan: Sequence[PlannedEdit]) -> dict[str, Any]:
        from muse.core.op_log import OpLog

        checks = Checks(self._tell)
        with ExitStack() as stack:
            logs = [stack.enter_context(OpLog(repo, self._session)) for repo in self._repos]
            entries = [plain_entries(log.path) for log in logs]
            ordered = [in_total_order(each) for each in entries]
            domains = sorted({edit.domain for edit in plan})
            deltas = [{domain: log.to_structured_delta(domain) for domain in domains} for log in logs]
        for repo, each in zip(self._repos, entries, strict=True):
            checks.claim(f"{repo.name} has every edit, once and unchanged", holds=as_planned(each, plan))
        checks.claim("all hosts have the same total order", holds=all(one == two for one, two in pairwise(ordered)))
        checks.claim("the deltas of all hosts are equal", holds=all(one == two for one, two in pairwise(deltas)))
        for domain in domains:
            self._tell(f"   {domain}: {deltas[0][domain]['summary']}")
        return {
            "session": self._session,
            "repos": list(map(str, self._repos)),
            "entries": len(plan),
            "deltas": {domain: delta["summary"] for domain, delta in deltas[0].items()},
            "checks": dict(checks.found),
            "failed": checks.failed,
            "ok": not checks.failed,
        }


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
