"""The end of the demo: what happened, where the files are, and what to try next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote

from muse.cli.demo.stage import Recorded, Stage
from muse.cli.output import pluralize


def print_summary(
    tell: Callable[[str], None],
    stage: Stage,
    recorded: Recorded,
    path: Path,
    failed: Sequence[str],
    elapsed_s: float,
) -> None:
    """Print a summary. `path` is the log; `failed` holds the claims that did not hold."""
    session, repo, apart = (quote(str(part)) for part in (stage.session_id, stage.repo, stage.repo_apart))
    domain = quote(next(iter(recorded.deltas)))
    processes = len({edit.actor_id for edit in recorded.plan})
    tell("")
    if failed:
        tell(f"{pluralize(len(failed), 'check')} FAILED. Please report this, with the files below:")
        for what in failed:
            tell(f"   {what}")
    else:
        tell(
            f"In {elapsed_s:.1f} seconds, every check held. What happened: "
            f"{pluralize(processes, 'process', 'processes')} appended to one\n"
            "file, each edit as it occurred. In the middle of it a commit was prepared: what had arrived by\n"
            "then became one delta per domain, and a checkpoint marks it. What arrived later is pending. A\n"
            "replica written offline was merged, and both are equal now. The index was deleted and rebuilt,\n"
            "and nothing was lost."
        )
    tell("")
    tell(f"The log:           {path}")
    tell(f"The checkpoint:    {path.with_name('checkpoint.json')}")
    tell(f"The index:         {path.with_name('index.db')}")
    tell(f"The other replica: {stage.repo_apart}")
    tell("")
    tell("Try next:")
    for command in (
        f"sessions --repo {repo}",
        f"replay {session} --repo {repo} | head",
        f"query {session} --repo {repo} --domain {domain} --limit 5 --json",
        f"delta {session} {domain} --repo {repo} | tail",
        f"checkpoint {session} snapshot-2 --repo {repo}",
        f"merge {session} {apart} --repo {repo}",
        f"verify {session} --repo {repo}",
    ):
        tell(f"  {_program()} op-log {command}")


def _program() -> str:
    """How to call `muse` so that the printed commands can be pasted, even if it is not on the PATH."""
    if shutil.which("muse"):
        return "muse"
    beside_python = Path(sys.executable).with_name("muse")
    return quote(str(beside_python)) if beside_python.exists() else f"{quote(sys.executable)} -m muse"
