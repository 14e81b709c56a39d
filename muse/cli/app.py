"""The command groups `muse` and `muse op-log`, with all their commands."""

from __future__ import annotations

import click

from muse.cli.commands.commit.checkpoint import checkpoint, delta, diff
from muse.cli.commands.commit.commit import commit, commits
from muse.cli.commands.completion import completion
from muse.cli.commands.demo.command import demo
from muse.cli.commands.exchange.archive import export_command, import_command
from muse.cli.commands.exchange.mcp import mcp
from muse.cli.commands.exchange.merge import fork, merge
from muse.cli.commands.exchange.sync import sync, sync_status
from muse.cli.commands.help import help_command
from muse.cli.commands.read.blame import blame, conflicts
from muse.cli.commands.read.entries import count, query, replay
from muse.cli.commands.read.report import report
from muse.cli.commands.read.sessions import sessions
from muse.cli.commands.read.show import show
from muse.cli.commands.read.stats import stats
from muse.cli.commands.read.tail import tail
from muse.cli.commands.record.append import append
from muse.cli.commands.record.ingest import ingest
from muse.cli.commands.record.undo import undo
from muse.cli.commands.upkeep.accept import accept
from muse.cli.commands.upkeep.redact import redact
from muse.cli.commands.upkeep.repair import repair
from muse.cli.commands.upkeep.verify import rebuild_index, verify
from muse.cli.commands.watch.command import watch
from muse.cli.output.failures import ReportingGroup

_CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(cls=ReportingGroup, context_settings=_CONTEXT)
@click.version_option(package_name="muse-op-log", prog_name="muse")
def main() -> None:
    """Version control for any domain."""


@main.group(
    "op-log",
    short_help="Record, read and maintain op logs.",
    epilog="\b\n"
    "Exit codes:\n"
    "  0  fine\n"
    "  1  damage or bad data found\n"
    "  2  wrong usage, or no such session\n"
    "  3  input/output error\n"
    "\n"
    "\b\n"
    "Example: record a sample session and see what can be done with it.\n"
    "  muse op-log demo",
)
def op_log() -> None:
    """Record, read and maintain the op logs of live edit sessions.

    A session's log is DIR/.muse/op_log/SESSION/ops.jsonl. DIR is the folder given with --repo, else the nearest
    folder upwards that contains .muse/, else the top of the git repository, else the current folder.
    """


for _command in (
    demo,
    append,
    ingest,
    replay,
    show,
    blame,
    conflicts,
    query,
    count,
    tail,
    mcp,
    stats,
    watch,
    report,
    delta,
    diff,
    checkpoint,
    commit,
    commits,
    sessions,
    verify,
    repair,
    accept,
    redact,
    rebuild_index,
    undo,
    fork,
    merge,
    sync,
    sync_status,
    export_command,
    import_command,
    help_command,
    completion,
):
    op_log.add_command(_command)
