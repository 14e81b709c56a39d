"""Limits of the format, and what can be tuned in the engine, each with its price (docs/format.md, "Limits")."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LAMPORT_TS = 2**53 - 1
"""Largest timestamp that every JSON reader (JavaScript's too) holds exactly."""

DEFAULT_MAX_LAMPORT_JUMP = 2**51
"""How far above all timestamps so far one may lie that is appended, unless `OpLog(max_lamport_jump=…)` says otherwise.

Counting never comes near it, and timestamps that are microseconds since 1970 lie below it until 2041. What lies above
is a clock gone wrong; if it were taken, it could leave no timestamps for all that comes later. After the largest jump
three quarters of the range are left."""

MAX_LINE_BYTES = 64 << 20
"""Longest line that is read as an entry, its newline included. The same for every handle, since all of
them share one index: what is an entry can't depend on who asks."""

MAX_WRITE_BYTES = 0x7FFF_F000
"""How much Linux takes in one write(2), so no batch may be longer."""

DEFAULT_MAX_APPEND_BYTES = 16 << 20
"""Longest line that is appended, unless `OpLog(max_line_bytes=…)` says otherwise."""

MAX_SNAPSHOT_ID_BYTES = 1024
"""Longest snapshot_id of a checkpoint, in UTF-8."""

MAX_NESTING = 200
"""How deep arrays and objects may nest in a line. orjson 3.13 refuses to write past 254."""

MAX_SESSION_FOLDER_BYTES = 255
"""Longest encoded session id: NAME_MAX of the usual file systems."""

MAX_WORKERS = 64
"""How many processes a rebuild may be given."""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be tuned without changing an answer or a file that others must read."""

    segment_lines: int = 2048
    """How long the tail of the index grows before it is folded. Longer: fewer segments to look at; shorter: less to
    unpack for one line, and a shorter pause of the append that folds (2,048 lines: about 2 ms)."""
    long_batch_lines: int = 512
    """How many lines, appended at once, are folded right away with the tail before them. A row costs some 3 µs more
    than a line of a segment; a segment costs some 100 µs by itself."""
    max_unwritten_lines: int = 8192
    """How many lines may wait for an index that another process has locked, before an append waits with them."""
    retry_seconds: float = 1.0
    """How long an index in memory is used, at least, before the one on disk is tried again."""
    max_cached_segments: int = 64
    """How many unpacked segments an index keeps: up to 60 kB each."""
    max_cached_summaries: int = 16_384
    """How many summaries of segments an index keeps: some kB each if a segment has many names."""
    wal_checkpoint_bytes: int = 32 << 20
    """How large SQLite's write-ahead log grows before its pages are copied into the database: the larger, the less
    often an append waits for it, and the more disk it takes."""


DEFAULT = Options()
"""What a handle is opened with."""
