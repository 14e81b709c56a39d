"""The kill loop: writers and committers are killed all the time; each operation gets into exactly one commit.

    python -m tests.commit.kill_loop --seconds 600 [--committers 4] [--writers 2] [--seed S] [--recipe old]

Processes are killed at any moment, alone or with their group, which takes git with them; committers also at each of
`PLACES`, and git before and after it moves the ref. In the end the commits are held against what the writers were
acknowledged, the log, and `git fsck`. `--recipe old` commits as one would without the protocol (cut, delta, commit,
checkpoint): it shows that the loop finds operations in two commits.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muse.commit import CommitBatch, CommitMovedError, Committed, GitError, GitTarget, commit
from muse.commit.testing import assert_whole
from muse.core.op_log import CheckpointBackwardsError, Cut, OpLog
from tests import children, plain_scan
from tests.commit.targets import git, new_repository

SESSION = "friday"
PLACES = (
    "latest asked",
    "before the commit",
    "git before the ref",
    "git after the ref",
    "after the commit",
    "before the checkpoint",
    "after the checkpoint",
)
_STALE_LOCK_SECONDS = 0.3
_HOOK = """#!/bin/sh
# Kills the git that is about to move a ref, or has moved it; and its committer, if the process is given.
[ "$1" = "$KILL_GIT_AT" ] || exit 0
case "$(cat)" in
*refs/muse/*) echo "[\\"git, $1\\"]" >> "$SAID"; kill -9 $PPID $KILL_TOO ;;
esac
"""


class Fate:
    """Kills this process at one place, in some of its lives."""

    def __init__(self, folder: Path, chance: float) -> None:
        self._folder = folder
        self.place = random.choice(PLACES) if random.random() < chance else ""
        self._left = random.randrange(3)
        when = {"git before the ref": "prepared", "git after the ref": "committed"}.get(self.place, "")
        os.environ["KILL_GIT_AT"] = when
        os.environ["SAID"] = str(folder / "places")
        os.environ["KILL_TOO"] = random.choice(("", str(os.getpid())))

    def at(self, place: str) -> None:
        """Die, if it is here."""
        if place != self.place:
            return
        if self._left:
            self._left -= 1
            return
        say(self._folder / "places", [place])
        if random.random() < 0.5:
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


class DoomedTarget(GitTarget):
    """A target that dies where its fate is."""

    def __init__(self, repository: Path, fate: Fate) -> None:
        super().__init__(repository, stale_lock_seconds=_STALE_LOCK_SECONDS)
        self._fate = fate

    def latest(self, session_id: str) -> Committed | None:
        """Ask, and die."""
        newest = super().latest(session_id)
        self._fate.at("latest asked")
        return newest

    def commit(self, batch: CommitBatch) -> Committed:
        """Die, commit, and die."""
        self._fate.at("before the commit")
        made = super().commit(batch)
        self._fate.at("after the commit")
        return made


class DoomedLog(OpLog):
    """A log whose checkpoint dies with its process."""

    fate: Fate

    def follow_commit(self, *arguments: Any, **options: Any) -> bool:
        """Die, let the checkpoint follow, and die."""
        self.fate.at("before the checkpoint")
        done = super().follow_commit(*arguments, **options)
        self.fate.at("after the checkpoint")
        return done


def say(path: Path, value: object) -> None:
    """Write a line that a kill can't take back."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, json.dumps(value).encode() + b"\n")
    os.close(fd)


def write(folder: Path) -> None:
    """Record operations, and say which were acknowledged. Each carries a mark by which it is found in a delta."""
    with OpLog(folder, SESSION) as log:
        while True:
            mark = f"{random.getrandbits(64):016x}"
            log.record(f"actor {os.getpid() % 5}", random.choice(("music", "code")), {"op": "insert", "address": mark})
            say(folder / "acknowledged", mark)
            time.sleep(random.uniform(0, 0.004))


def commit_with_protocol(folder: Path) -> None:
    """Commit all the time."""
    fate = Fate(folder, 0.8)
    with DoomedLog(folder, SESSION) as log:
        log.fate = fate
        target = DoomedTarget(folder, fate)
        while True:
            with suppress(GitError):  # its git was killed
                commit(log, target)
            time.sleep(random.uniform(0, 0.03))


def commit_with_old_recipe(folder: Path) -> None:
    """Commit all the time, as one would without the protocol."""
    target = DoomedTarget(folder, Fate(folder, 0.5))
    with OpLog(folder, SESSION) as log:
        while True:
            cut = log.cut()
            deltas = [log.to_structured_delta(domain, upto=cut) for domain in sorted(log.domains())]
            with suppress(GitError, CheckpointBackwardsError):
                if any(delta["ops"] for delta in deltas):
                    log.checkpoint(made_anyhow(target, cut, deltas), upto=cut)
            time.sleep(random.uniform(0, 0.03))


def made_anyhow(target: GitTarget, cut: Cut, deltas: list[Any]) -> str:
    """Add a commit to whatever is the newest one."""
    while True:
        newest = target.latest(SESSION)
        start = newest.cut.byte_offset if newest else 0
        begin, end = Cut(SESSION, start, 0), Cut(SESSION, max(cut.byte_offset, start + 1), cut.op_count)
        with suppress(CommitMovedError):
            return target.commit(
                CommitBatch(SESSION, newest, begin, end, "0" * 64, deltas, {}, b"", None, "")
            ).commit_id


@dataclass
class Report:
    """What a loop has seen."""

    seconds: float
    kills: int = 0
    places: Counter[str] = field(default_factory=Counter)
    commits: int = 0
    acknowledged: int = 0
    ops: int = 0
    committed_twice: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)


def run(
    folder: Path, seconds: float, committers: int, writers: int, recipe: str, pack_every: float = math.inf
) -> Report:
    """Kill for some seconds, then look at what is left."""
    new_repository(folder)
    # Not by those who are killed, or it would never be done: if it is asked to, this loop packs while all are at work.
    git(folder, "config", "gc.auto", "0")
    pack_at, packing = time.monotonic() + pack_every, None
    hook = folder / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(_HOOK)
    hook.chmod(0o755)
    with OpLog(folder, SESSION) as log:
        log.record("ada", "music", {"op": "insert", "address": "first"})
    report = Report(seconds)
    role = commit_with_protocol if recipe == "new" else commit_with_old_recipe
    alive = {start(role, folder): role for _ in range(committers)}
    alive |= {start(write, folder): write for _ in range(writers)}
    stop_at = time.monotonic() + seconds
    while time.monotonic() < stop_at:
        time.sleep(random.uniform(0, 0.06))
        if random.random() < 0.6:
            victim = random.choice(list(alive))
            (os.killpg if random.random() < 0.5 else os.kill)(victim, signal.SIGKILL)
            report.kills += 1
        if time.monotonic() > pack_at and (packing is None or packing.poll() is not None):
            packing = children.start(["git", "-C", folder, "gc", "-q"], stderr=subprocess.DEVNULL)
            pack_at = time.monotonic() + pack_every
        for pid in ended(alive):
            again = alive.pop(pid)
            alive[start(again, folder)] = again
    for pid in alive:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if packing is not None:
        packing.wait(children.DEADLINE_S)
    # A git whose committer was killed goes on alone. It has inherited the lock that tells that it is alive.
    with (folder / ".git" / "muse-committers").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
    examine(folder, recipe, report)
    return report


def start(role: Callable[[Path], None], folder: Path) -> int:
    """Fork a process that plays a role in a group of its own; its number."""
    seed = random.random()
    pid = os.fork()
    if pid:
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
        return pid
    try:
        os.setpgid(0, 0)
        random.seed(seed)
        role(folder)
    except BaseException:  # noqa: BLE001 - nothing may leave a forked process
        say(folder / "problems", traceback.format_exc())
    finally:
        os._exit(1)


def ended(alive: Mapping[int, object]) -> list[int]:
    """Which processes have ended."""
    return [pid for pid in alive if os.waitpid(pid, os.WNOHANG)[0]]


def examine(folder: Path, recipe: str, report: Report) -> None:
    """Hold the commits against what was acknowledged, the log, and what git says of itself."""
    os.environ["KILL_GIT_AT"] = ""
    target = GitTarget(folder, stale_lock_seconds=0)
    with OpLog(folder, SESSION) as log:
        pending_before = found_in_commits(folder)
        if recipe == "new":
            commit(log, target)
            try:
                assert_whole(target, log)
            except AssertionError as error:
                report.problems.append(str(error))
        scanned = {entry["domain_op"]["address"] for entry in plain_scan.scan_file(log.path).entries}
    found = found_in_commits(folder)
    acknowledged = set(lines_of(folder / "acknowledged")) | {"first"}
    report.places = Counter(place for (place,) in lines_of(folder / "places"))
    report.commits = len(target.commits(SESSION))
    report.acknowledged, report.ops = len(acknowledged), len(scanned)
    report.committed_twice = sum(number > 1 for number in found.values())
    report.lost = len(acknowledged - scanned)
    if recipe == "new":
        report.lost += len(scanned ^ set(found))
        assert set(pending_before) <= scanned
    report.problems += lines_of(folder / "problems")
    if faults := git(folder, "fsck", "--strict", "--no-dangling").strip():
        report.problems.append(faults)


def found_in_commits(folder: Path) -> Counter[str]:
    """How often the mark of each operation stands in the deltas of all commits, as git shows them."""
    found: Counter[str] = Counter()
    for commit_id in git(folder, "rev-list", "--glob=refs/muse/*").split():
        names = git(folder, "ls-tree", "--name-only", commit_id, "deltas/").split()
        for name in names:
            delta = json.loads(git(folder, "show", f"{commit_id}:{name}"))
            found.update(op["address"] for op in delta["ops"])
    return found


def lines_of(path: Path) -> list[Any]:
    """What was said in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    """Run the loop, print what it saw; 1 if an operation is not in exactly one commit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--committers", type=int, default=4)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--recipe", choices=("new", "old"), default="new")
    parser.add_argument(
        "--pack-every", type=float, default=math.inf, help="seconds between two `git gc`; default: none"
    )
    parser.add_argument("--folder", type=Path, help="where to do it and to leave all; else nothing is left")
    given = parser.parse_args()
    random.seed(given.seed)
    logging.disable(logging.CRITICAL)
    kept = nullcontext(given.folder) if given.folder else None
    with kept or tempfile.TemporaryDirectory(prefix="muse-kill-") as folder:
        report = run(
            Path(folder) / "repo", given.seconds, given.committers, given.writers, given.recipe, given.pack_every
        )
    print(json.dumps({"seed": given.seed, **vars(report)}))
    return int(bool(report.committed_twice or report.lost or report.problems))


if __name__ == "__main__":
    sys.exit(main())
