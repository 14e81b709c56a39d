"""What a host remembers of who commits a session. `OpLog.checkpoint` and `muse.commit` obey it, offline too."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from muse.core.op_log import encode_session_id, name_beside, read_small_file, whole_file
from muse.replicate.settings import Settings

_MOST_TERMS = 2**53
"""More than anybody hands over; the engine, which reads the note too, takes no number without end."""
_MOST_BYTES = 1 << 20


class Committer(NamedTuple):
    """Who commits."""

    term: int
    """One more with each time that it was handed over: after a loss of the server the highest counts."""
    name: str
    seq: int = 0
    """The message that says so; 0 if it is only noted here."""

    @classmethod
    def from_json(cls, data: bytes, seq: int = 0) -> Committer | None:
        """What a message or a note says; None if it makes no sense."""
        try:
            value = orjson.loads(data)
            found = cls(int(value["term"]), str(value["committer"]), seq)
        except (ValueError, KeyError, TypeError, OverflowError):
            return None
        return found if 0 <= found.term <= _MOST_TERMS else None


@dataclass(frozen=True)
class Note:
    """What one replica of a session knows about who commits."""

    repo_root: Path
    session_id: str
    name: str
    """What this replica is called."""

    @classmethod
    def of(cls, repo_root: Path, session_id: str, settings: Settings) -> Note:
        """The note of a session; a replica without a name is called after host and folder."""
        folder = os.path.realpath(repo_root)
        return cls(repo_root, session_id, settings.name or f"{socket.gethostname()}:{folder}")

    @property
    def path(self) -> Path:
        """The file that the engine reads too."""
        return self.repo_root / ".muse" / "replicas" / f"{name_beside(encode_session_id(self.session_id))}.committer"

    def read(self) -> Committer | None:
        """What is noted; None if nothing is that can be read."""
        try:
            return Committer.from_json(self._content())
        except OSError:
            return None

    def _content(self) -> bytes:
        return read_small_file(self.path, _MOST_BYTES)

    def write(self, committer: Committer) -> None:
        """Note who commits."""
        noted = {
            "committer": committer.name,
            "term": committer.term,
            "is_here": committer.name == self.name,
            # A copy of the repository is another replica.
            "folder": os.path.realpath(self.repo_root),
        }
        with suppress(OSError, ValueError):
            if orjson.loads(self._content()) == noted:
                return
        with whole_file(self.path, replace=True) as path:
            path.write_text(json.dumps(noted), encoding="utf-8")
