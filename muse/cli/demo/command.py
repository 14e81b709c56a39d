"""The command `demo`: choose the edits, their speed and the folder, then run the demo."""

# ruff: noqa: PLC0415 - the engine and rich are imported only when used, so that --help is fast

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muse.cli.failures import FOUND_DAMAGE, exit_with
from muse.cli.output import pluralize, print_json
from muse.cli.repo import json_option
from muse.escaping import escape_for_terminal

if TYPE_CHECKING:
    from muse.cli.demo.trace import Edit

_SECONDS = 4.0
_MOST_ACTORS = 200


def _speed(_ctx: click.Context, _param: click.Parameter, given: str) -> float:
    """Parse --speed; "max" becomes infinity."""
    try:
        speed = math.inf if given == "max" else float(given)
    except ValueError:
        speed = math.nan
    if not speed > 0 or (math.isinf(speed) and given != "max"):
        raise click.BadParameter(f"{given!r} is neither a positive number nor max")
    return speed


@click.command(
    short_help="Record a sample session and show what the log can do.",
    epilog="\b\n"
    "Examples: record the edits that come with the demo; with three hosts; a whole trace, as fast as possible.\n"
    "  muse op-log demo\n"
    "  muse op-log demo --hosts 3\n"
    "  muse op-log demo --trace edits.jsonl.gz --speed max",
)
@click.option(
    "--trace",
    "traces",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Record the edits in this file: JSON Lines, plain or gzipped. Can be given several times.",
)
@click.option(
    "--speed",
    callback=_speed,
    default="1",
    metavar="N|max",
    help="Speed factor; 1 is 100 edits per second and actor. max records all edits as fast as possible.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True, max=3600),
    metavar="S",
    help=f"How many seconds of edits to record; default {_SECONDS:g}. Not with --speed max.",
)
@click.option(
    "--repo",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Record into this repository folder; default: a new temporary folder, which is kept.",
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
    traces: tuple[Path, ...],
    speed: float,
    seconds: float | None,
    repo: Path | None,
    session: str,
    hosts: int | None,
    *,
    as_json: bool,
) -> None:
    """Record a live session with several processes, and show what can be done with it.

    Each actor is a process. While they edit, both domains are collapsed at one cut and a checkpoint is made. Then the
    demo replays the rest, merges a second replica, deletes and rebuilds the index, and verifies the session. It ends
    with exit code 1 if any check fails.

    With --hosts each host has a repository of its own, and a server carries the edits from host to host. While they
    edit, one host is cut off, one is killed and comes back, and the server loses its disk. All end with the same.

    Each line of a trace is an object with actor_id, domain, domain_op (an object) and parents (a list of numbers of
    earlier lines, counted from 0).
    """
    if seconds is not None and math.isinf(speed):
        raise click.UsageError("--seconds can't be used with --speed max, which records all edits.")

    def tell(text: str) -> None:
        click.echo(escape_for_terminal(text, keep="\n"), err=as_json)

    from muse.cli.demo.stage import Stage
    from muse.cli.demo.story import Story

    edits, edits_apart, material = _material(traces, speed, seconds or _SECONDS)
    repo, repo_apart = _folders(repo, session)
    rate = None if math.isinf(speed) else _ticks_per_s() * speed
    if hosts is not None:
        from muse.cli.demo.hosts import Hosts

        happened = Hosts(repo, session, hosts, rate, tell).run(edits, material)
        if as_json:
            print_json(happened)
        exit_with(0 if happened["ok"] else FOUND_DAMAGE)
        return
    story = Story(
        Stage(edits, edits_apart, material, repo, repo_apart, session, rate),
        tell,
        sys.stderr if as_json else sys.stdout,
    )
    happened = story.run()
    if as_json:
        print_json(happened)
    exit_with(0 if happened["ok"] else FOUND_DAMAGE)


def _ticks_per_s() -> int:
    from muse.cli.demo.plan import TICKS_PER_S

    return TICKS_PER_S


def _folders(repo: Path | None, session: str) -> tuple[Path, Path]:
    """Create the folders of the session and of its second replica. The session must not exist yet."""
    if repo is None:
        base = Path(tempfile.mkdtemp(prefix="muse-demo-"))
        folders = base / "here", base / "apart"
        for folder in folders:
            folder.mkdir()
        return folders
    from muse.core.op_log import OpLog

    with OpLog(repo, session) as log:
        if log.exists() or log.folder.is_dir():
            raise click.UsageError(f"session {session!r} exists in {repo}: choose another with --session.")
    repo.mkdir(parents=True, exist_ok=True)
    return repo, Path(tempfile.mkdtemp(prefix="muse-demo-apart-"))


def _material(traces: Sequence[Path], speed: float, seconds: float) -> tuple[list[Edit], list[Edit], str]:
    """The edits of the session, the edits made offline, and a description of them."""
    from muse.cli.demo import drafts, music
    from muse.cli.demo.plan import until
    from muse.cli.demo.trace import one_after_another, read_trace

    piece, writings = music.round_for_four(), drafts.project_drafts()
    apart = [*music.edits(piece, apart=True), *drafts.edits(writings, apart=True)]
    if traces:
        edits = one_after_another([read_trace(path) for path in traces])
        material = f"recorded edits from {', '.join(path.name for path in traces)}"
    else:
        edits = one_after_another([music.edits(piece, apart=False), drafts.edits(writings, apart=False)])
        material = f"{piece.title}, typed note by note, and functions of this project, typed word by word"
    if not math.isinf(speed):
        ticks = max(1, round(seconds * speed * _ticks_per_s()))
        edits, apart = until(edits, ticks), apart[:ticks]
    actors = {edit.actor_id for edit in edits}
    if len(actors) > _MOST_ACTORS:
        raise click.UsageError(
            f"these edits have {pluralize(len(actors), 'actor')}, and each would be a process; "
            f"the demo starts at most {_MOST_ACTORS}."
        )
    return edits, _of_domains(apart, edits), material


def _of_domains(apart: Sequence[Edit], edits: Sequence[Edit]) -> list[Edit]:
    """The offline edits in the session's domains. If there are none, all offline edits, moved to one of its domains."""
    domains = sorted({edit.domain for edit in edits})
    fitting = [edit for edit in apart if edit.domain in domains]
    return [replace(edit, parents=()) for edit in fitting or (replace(edit, domain=domains[0]) for edit in apart)]
