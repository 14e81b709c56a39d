"""How much of the disk the index takes."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.figure import Figure


def index_size(bench: Bench) -> Figure:
    """The index against the log. The last handle is closed, so SQLite's WAL was copied back into the file."""
    built = bench.session(bench.size.big)
    index = sum(path.stat().st_size for path in built.folder.glob("index.db*"))
    log = built.log_path.stat().st_size
    return Figure(f"index size, {built.ops:,} entries", "log size", index / log, 0.13, index, log, "bytes")
