"""The command `demo`: its options, and the folder that it leaves."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from muse.cli.engine import engine
from muse.cli.options.session import Seconds, json_option
from muse.cli.output.failures import FOUND_DAMAGE, WrongUsage, exit_with, sigterm_like_ctrl_c
from muse.cli.output.printing import print_json
from muse.escaping import escape_for_terminal

_SESSION = Path(__file__).with_name("session.jsonl")
_SECONDS = 3.0
_MOST_ACTORS = 200

MARKER = "made-by-muse-demo.txt"
"""Only a folder that holds this file is ever replaced."""


@click.command(
    short_help="Record a sample session and show what the log can do.",
    epilog="\b\n"
    "Examples: record the edits that come with the demo; on three hosts; record a trace, as fast as possible.\n"
    "  muse op-log demo\n"
    "  muse op-log demo --hosts 3\n"
    "  muse op-log demo --trace edits.jsonl.gz --speed max",
)
@click.option(
    "--trace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=_SESSION,
    metavar="FILE",
    help="Record the edits in this file: JSON Lines, plain or gzipped; default: a tune and a program.",
)
@click.option(
    "--seconds",
    type=Seconds(min=0, min_open=True, max=3600),
    metavar="S",
    help=f"How many seconds the recording takes; default {_SECONDS:g}. Not with --speed max.",
)
@click.option("--speed", type=click.Choice(["max"]), help="max records as fast as possible.")
@click.option(
    "--repo",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Record into this repository folder, where nothing is replaced, and commit to the git repository that it lies "
    "in; default: one folder in the temporary folder, which the next demo replaces.",
)
@click.option("--session", default="demo", metavar="NAME", help='The session to create; default "demo".')
@click.option(
    "--hosts",
    type=click.IntRange(3, 9),
    metavar="N",
    help="Show replication instead: N hosts, of which one is cut off and one killed. nats-server is needed.",
)
@json_option("one object with the results; the story is then printed on standard error")
def demo(
    trace: Path,
    seconds: float | None,
    speed: str | None,
    repo: Path | None,
    session: str,
    hosts: int | None,
    *,
    as_json: bool,
) -> None:
    """Record a live session with several processes, and show what can be done with it.

    Each actor is a process. While they edit, all domains are committed to git at one cut; without git a checkpoint is
    made. Then the demo merges a replica that went on offline, deletes and rebuilds the index, and verifies the session.
    It ends with exit code 1 if any check fails.

    With --hosts each host has a repository of its own, and a server carries the edits from host to host. While they
    edit, one host is cut off, one is killed and comes back, and the server loses its disk. All end with the same.

    Each line of a trace is an object with actor_id, domain, domain_op (an object) and parents (a list of numbers of
    earlier lines, counted from 0).
    """
    if seconds is not None and speed:
        raise click.UsageError("--seconds can't be used with --speed max.")
    from muse.cli.commands.demo.hosts import Hosts
    from muse.cli.commands.demo.story import Story
    from muse.cli.commands.demo.trace import read_trace

    def tell(text: str) -> None:
        click.echo(escape_for_terminal(text, keep="\n"), err=as_json)

    edits = read_trace(trace)
    if len({edit["actor_id"] for edit in edits}) > _MOST_ACTORS:
        raise WrongUsage(f"{trace} has more than {_MOST_ACTORS} actors, and each would be a process")
    with sigterm_like_ctrl_c(), _own_folder() if repo is None else _folder(repo, session) as folder:
        pace = 0.0 if speed else seconds or _SECONDS
        scene: Story | Hosts = Story(edits, folder, session, pace, tell, repo is None)
        if hosts is not None:
            scene = Hosts(edits, folder, session, pace, tell, hosts)
        results = scene.run()
    is_ok = all(scene.checks.values())
    if as_json:
        print_json({"session_id": session, "edits": len(edits), **results, "checks": scene.checks, "ok": is_ok})
    exit_with(0 if is_ok else FOUND_DAMAGE)


@contextmanager
def _folder(repo: Path, session: str) -> Iterator[Path]:
    """A folder of the user's, in which the session must not exist yet."""
    from muse.cli.commands.demo.story import REPLICA

    for place in (repo, repo / REPLICA):
        with engine.OpLog(place, session) as log:
            if log.folder.is_dir():
                raise WrongUsage(f"session {session!r} exists in {place}: choose another with --session")
    repo.mkdir(parents=True, exist_ok=True)
    yield repo.absolute()


@contextmanager
def _own_folder() -> Iterator[Path]:
    """The demo's own folder, emptied, and locked so that no other demo empties it meanwhile."""
    folder = Path(tempfile.gettempdir()) / f"muse-demo-{os.getuid()}"
    marker = folder / MARKER
    # Anybody may have put something else in its place.
    if os.path.lexists(folder) and (folder.is_symlink() or folder.stat().st_uid != os.getuid() or not marker.is_file()):
        raise WrongUsage(f"{folder} was not made by the demo: remove it, or name another folder with --repo")
    folder.mkdir(mode=0o700, exist_ok=True)
    with marker.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongUsage(f"another demo is at work in {folder}: name another folder with --repo") from None
        for path in set(folder.iterdir()) - {marker}:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        file.truncate(0)
        file.write("The next `muse op-log demo` deletes what is in this folder.\n")
        file.flush()
        yield folder
