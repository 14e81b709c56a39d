"""The command groups `muse` and `muse op-log`, with all their commands."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any

import click

from muse.cli.output.failures import ReportingGroup

_CONTEXT = {"help_option_names": ["-h", "--help"]}

_MODULES = {
    "commit": ("checkpoint", "commit", "commits", "delta", "diff"),
    "demo.command": ("demo",),
    "exchange.archive": ("export", "import"),
    "exchange.mcp": ("mcp",),
    "exchange.merge": ("fork", "merge"),
    "exchange.sync": ("sync", "sync-status"),
    "help": ("completion", "help"),
    "read.blame": ("blame", "conflicts"),
    "read.entries": ("count", "query", "replay", "tail"),
    "read.report": ("report",),
    "read.sessions": ("sessions",),
    "read.show": ("show",),
    "read.stats": ("stats",),
    "record.append": ("append",),
    "record.ingest": ("ingest",),
    "record.undo": ("undo",),
    "upkeep.redact": ("redact",),
    "upkeep.repair": ("repair",),
    "upkeep.verify": ("accept", "rebuild-index", "verify"),
    "watch.command": ("watch",),
}
"""Where the commands are, below `muse.cli.commands`."""


class _Commands(UserDict[str, Any]):
    """The commands by name. Each is imported when it is asked for."""

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"muse.cli.commands.{super().__getitem__(name)}")
        return next(each for each in vars(module).values() if isinstance(each, click.Command) and each.name == name)


@click.group(cls=ReportingGroup, context_settings=_CONTEXT)
@click.version_option(package_name="muse-op-log", prog_name="muse")
def main() -> None:
    """Version control for any domain."""


@main.group(
    "op-log",
    commands=_Commands({name: module for module, names in _MODULES.items() for name in names}),
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
