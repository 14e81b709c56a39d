"""Damage that can be noticed while lines arrive, without reading the log twice.

A stretch of the log that has as many entries as newlines is sound; only another is judged line by
line. What is below the point where the watch began is left to a full check.
"""

from __future__ import annotations

from pathlib import Path

from muse.core.checkpoint.cut import Cut
from muse.core.storage.log_file import CHUNK_BYTES, LogFile
from muse.core.storage.scanner import scan

TORN_AFTER_S = 2.0
"""How long a last line may be without its newline before it is no longer taken for one being written."""


class Damage:
    """Follows one log from cut to cut."""

    def __init__(self, path: Path, cut: Cut) -> None:
        self._file = LogFile(path, durable_names=False)
        self._cut = cut
        self._tail = (0, 0)
        self._tail_since_s = 0.0

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def lines_up_to(self, cut: Cut) -> list[str]:
        """What is wrong with the lines between the last cut and this one."""
        start, stop = self._cut.byte_offset, cut.byte_offset
        self._file.size()
        chunks = (self._file.read(at, min(at + CHUNK_BYTES, stop)) for at in range(start, stop, CHUNK_BYTES))
        is_sound = sum(chunk.count(b"\n") for chunk in chunks) == cut.op_count - self._cut.op_count
        self._cut = cut
        if is_sound:
            return []
        return [
            f"damaged line at byte {at:,}, {lines.length(lines.number_at(at)):,} bytes: {reason}"
            for lines in scan(self._file, start, stop)
            for at, (kind, reason) in lines.problems.items()
            if kind == "damaged"
        ]

    def torn_tail(self, now_s: float) -> str | None:
        """The line without a newline at the end, where nobody seems to write it any more."""
        tail = (self._cut.byte_offset, self._file.size() - self._cut.byte_offset)
        if tail != self._tail:
            self._tail, self._tail_since_s = tail, now_s
        if tail[1] <= 0 or now_s - self._tail_since_s < TORN_AFTER_S:
            return None
        return f"torn tail at byte {tail[0]:,}, {tail[1]:,} bytes: its writer died, the next append seals it"
