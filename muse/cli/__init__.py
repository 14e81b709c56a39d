"""The `muse` command.

Only click is imported to show a help text: each command imports the engine, and rich, when it runs.
"""

from __future__ import annotations

from muse.cli.app import main

__all__ = ["main"]
