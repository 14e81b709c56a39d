"""The `muse` command.

The rooms, from the command line down; each imports only what stands below it:

    app         the groups `muse` and `muse op-log`, with all their commands
    commands/   the commands: record, read, watch, commit, exchange, upkeep, demo
    options/    what they share on the command line: the session, filters, moments, guards, consent
    input/      the lines that they read
    output/     tables, JSON and notes; progress, streams, failures and exit codes
    engine      the engine, imported when it is used

A help text imports only click. Each command is imported when it is asked for, the engine and rich when it runs.
"""

from __future__ import annotations

from muse.cli.app import main

__all__ = ["main"]
