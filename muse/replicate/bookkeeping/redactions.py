"""Redactions on their way to the other hosts: the line of a redacted operation is sent once more, as it is now.

It lies below `sent_to`, where nothing is sent any more, so the ledger does not know of it. What has come back from the
stream in its redacted form, whoever has sent it, is noted on disk, with the salt: after a loss all are sent again.
"""

from __future__ import annotations

import json
from contextlib import suppress

from muse.core.op_log import OpLog, decode_line, is_redacted, read_redacted, state_of, whole_file
from muse.replicate.bookkeeping.folder import ReplicaFolder, read_json
from muse.replicate.wire.messages import lines_in, op_id_of_line


class Redactions:
    """Which redactions of one session the stream has. Not safe for several threads at once."""

    def __init__(self, log: OpLog, folder: ReplicaFolder, salt: str) -> None:
        self._log = log
        self._path = folder.path.with_suffix(".redacted")
        self._salt = salt
        self._back: set[str] = set()
        self._sent: set[str] = set()
        self._missing: set[str] = set()
        self._seen: object = None
        with suppress(TypeError, LookupError):
            found = read_json(self._path)
            if found["salt"] == salt:
                self._back = set(map(str, found["op_ids"]))

    def is_news(self) -> bool:
        """Whether something may have been redacted since the last look; costs two `stat`."""
        return state_of(self._log.folder) != self._seen

    @property
    def all_are_back(self) -> bool:
        """Whether the stream has all that was redacted when that was last looked at."""
        return not self._missing

    def note_received(self, data: bytes) -> None:
        """Whole lines have come from the stream."""
        found = set()
        for line in lines_in(data) if _may_be_redacted(data) else ():
            if _may_be_redacted(line):
                with suppress(ValueError):
                    entry = decode_line(line)
                    if entry is not None and is_redacted(entry):
                        found.add(entry["op_id"])
        self._missing -= found
        if found - self._back:
            self._back |= found
            with suppress(OSError), whole_file(self._path, replace=True) as path:
                path.write_text(json.dumps({"salt": self._salt, "op_ids": sorted(self._back)}), encoding="utf-8")

    def to_send(self, sent_to: int, read_to: int) -> list[bytes]:
        """The lines below the byte offset `sent_to` that were redacted and have to be sent once more; each comes once.

        From there up to `read_to` they may be on their way as they were: then these are looked at again.
        """
        state, is_on_its_way = state_of(self._log.folder), False
        lines = []
        for op_id in read_redacted(self._log.folder).keys() - self._back - self._sent:
            place = self._log.locate(op_id)
            # What lies above is sent as it is, as all that is new.
            if place is None or place[0] >= read_to:
                continue
            if place[0] >= sent_to:
                is_on_its_way = True
                continue
            placed, _ = self._log.lines_after(place[0])
            if placed and op_id_of_line(placed[0][2]).hex() == op_id.replace("-", ""):
                lines.append(placed[0][2])
                self._sent.add(op_id)
                self._missing.add(op_id)
        self._seen = None if is_on_its_way else state
        return lines


def _may_be_redacted(data: bytes) -> bool:
    # Hardly any line is, and none is looked into that can't be.
    return b"redacted" in data or b'"domain_op":{ ' in data
