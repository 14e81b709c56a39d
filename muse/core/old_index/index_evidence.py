"""What the index has seen and a rebuild from the log alone would forget.

That a checkpoint was made, and the first checksum of each line that has changed since: evidence, never an answer.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from muse.core.old_index.index import ALL_LINES, Index
from muse.core.storage.record import DamagedIndexError


def checkpoint_seen(index: Index, schema: str = "main") -> tuple[int, str] | None:
    """(byte offset, snapshot id) of the last checkpoint made: evidence, never an answer."""
    found = index.connection.execute(
        f"SELECT byte_offset, snapshot_id, digest FROM {schema}.checkpoint_seen"
    ).fetchone()
    if found is None:
        return None
    byte_offset, snapshot_id, digest = found
    if digest != _seen_digest(byte_offset, snapshot_id):
        raise DamagedIndexError("what it has seen of a checkpoint is altered")
    return byte_offset, snapshot_id


def see_checkpoint(index: Index, byte_offset: int, snapshot_id: str) -> None:
    """Remember that a checkpoint was made, so that its file can't vanish unnoticed."""
    index.connection.execute(
        "INSERT OR REPLACE INTO checkpoint_seen VALUES (1, ?, ?, ?)",
        (byte_offset, snapshot_id, _seen_digest(byte_offset, snapshot_id)),
    )


def inherit_evidence(index: Index, old: Path, *, same_log: bool) -> None:
    """Take over what the index at `old` has seen: the checkpoint and, if it is of the same log,
    the first checksum of each line that has changed since.
    """
    index.connection.execute("ATTACH ? AS old", (str(old),))
    try:
        _inherit_evidence(index, same_log=same_log)
    finally:
        index.connection.execute("DETACH old")


def _inherit_evidence(index: Index, *, same_log: bool) -> None:
    seen = checkpoint_seen(index, "old")
    known = checkpoint_seen(index)
    if seen is not None and (known is None or known < seen):
        see_checkpoint(index, *seen)
    if same_log:
        index.connection.execute("INSERT OR IGNORE INTO altered SELECT * FROM old.altered")
        index.connection.execute(
            f"""
            INSERT OR IGNORE INTO altered SELECT was.byte_offset, was.checksum
            FROM {ALL_LINES.format(schema="old")} AS was JOIN main.line AS now USING (byte_offset)
            WHERE was.length = now.length AND was.checksum != now.checksum
            """
        )


def _seen_digest(byte_offset: int, snapshot_id: str) -> int:
    return zlib.crc32(f"{byte_offset} {snapshot_id}".encode())
