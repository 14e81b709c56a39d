"""The groups `muse` and `muse op-log`: which commands there are."""

from __future__ import annotations

import click

from muse.cli.append import append
from muse.cli.checkpointing import checkpoint, delta
from muse.cli.completion import completion
from muse.cli.demo.command import demo
from muse.cli.exchange import export_command, import_command, merge
from muse.cli.failures import ReportingGroup
from muse.cli.following import tail
from muse.cli.reading import count, query, replay
from muse.cli.report import report
from muse.cli.sessions import sessions
from muse.cli.showing import show
from muse.cli.stats import stats
from muse.cli.upkeep import rebuild_index, verify
from muse.cli.watch.command import watch

_CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(cls=ReportingGroup, context_settings=_CONTEXT)
@click.version_option(package_name="muse-op-log", prog_name="muse")
def main() -> None:
    """Version control for any domain."""


@main.group(
    "op-log",
    short_help="Record, read and look after op logs.",
    epilog="\b\n"
    "Exit codes:\n"
    "  0  fine\n"
    "  1  damage or bad data found\n"
    "  2  wrong usage, a session that does not exist too\n"
    "  3  input/output error\n"
    "\n"
    "\b\n"
    "Example: see it all at work, then look at what it made.\n"
    "  muse op-log demo",
)
def op_log() -> None:
    """Record, read and look after the op logs of live edit sessions.

    A session's log is DIR/.muse/op_log/SESSION/ops.jsonl, where DIR is --repo, else the nearest
    folder upwards that has .muse/, else the current one.
    """


for _command in (
    demo,
    append,
    replay,
    show,
    query,
    count,
    tail,
    stats,
    watch,
    report,
    delta,
    checkpoint,
    sessions,
    verify,
    rebuild_index,
    merge,
    export_command,
    import_command,
    completion,
):
    op_log.add_command(_command)
