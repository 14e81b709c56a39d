"""The `muse` command.

A help text imports only click. Each command imports the engine and rich when it runs.
"""

from __future__ import annotations

from muse.cli.app import main

__all__ = ["main"]
