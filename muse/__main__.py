"""Lets `python -m muse` do what the `muse` command does."""

from __future__ import annotations

from muse.cli import main

if __name__ == "__main__":
    main(prog_name="muse")
