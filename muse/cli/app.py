"""The command groups `muse` and `muse op-log`, with all their commands."""

from __future__ import annotations

import click

from muse.cli.append import append
from muse.cli.blaming import blame, conflicts
from muse.cli.checkpointing import checkpoint, delta, diff
from muse.cli.committing import commit, commits
from muse.cli.completion import completion
from muse.cli.demo.command import demo
from muse.cli.exchange import export_command, fork, import_command, merge
from muse.cli.failures import ReportingGroup
from muse.cli.following import tail
from muse.cli.ingesting import ingest
from muse.cli.reading import count, query, replay
from muse.cli.redacting import redact
from muse.cli.repairing import accept, help_command, repair
from muse.cli.report import report
from muse.cli.serving import mcp
from muse.cli.sessions import sessions
from muse.cli.showing import show
from muse.cli.stats import stats
from muse.cli.syncing import sync, sync_status
from muse.cli.undoing import undo
from muse.cli.upkeep import rebuild_index, verify
from muse.cli.watch.command import watch

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
