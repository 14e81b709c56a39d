"""Which replica of a session commits, and handing that over.

A cut is a place in one log, so only one replica may commit. The stream says which, in the newest message of a subject
of its own, that is replaced by compare-and-set; each replica keeps a note of it, which `OpLog.checkpoint` and
`muse.commit` obey. The first host that has something recorded claims it. A host that is offline may not have heard
of another committer: that is why the target of the commits takes only one after each parent.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from muse.core.op_log import encode_session_id, whole_file
from muse.replicate.errors import ReplicationUnavailableError
from muse.replicate.messages import STREAM_HEADER, subject_of
from muse.replicate.settings import Settings

if TYPE_CHECKING:
    from muse.replicate.link import Link
    from muse.replicate.stream import Stream

WRONG_LAST = (10071, 10164)
"""A compare-and-set was refused; the second by clusters."""
_ATTEMPTS = 10


class Committer(NamedTuple):
    """Who commits."""

    term: int
    """One more with each time that it was handed over: after a loss of the server the highest counts."""
    name: str
    seq: int = 0
    """The message that says so; 0 if it is only noted here."""


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
        return self.repo_root / ".muse" / "replicas" / f"{encode_session_id(self.session_id)}.committer"

    def read(self) -> Committer | None:
        """What is noted; None if nothing is that can be read."""
        try:
            value = json.loads(self.path.read_bytes())
            return Committer(int(value["term"]), str(value["committer"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, committer: Committer) -> None:
        """Note who commits."""
        noted = {
            "committer": committer.name,
            "term": committer.term,
            "is_here": committer.name == self.name,
            # A copy of the repository is another replica.
            "folder": os.path.realpath(self.repo_root),
        }
        try:
            if json.loads(self.path.read_bytes()) == noted:
                return
        except (OSError, ValueError):
            pass
        with whole_file(self.path, replace=True) as path:
            path.write_text(json.dumps(noted), encoding="utf-8")


async def follow(stream: Stream, link: Link, note: Note, *, has_recorded: bool) -> None:
    """Bring stream and note together: the higher term counts; where there is none, whoever has recorded claims it.

    A higher term in the note means that the server has lost the newer message, or that the session is in two spaces,
    whose hosts have to agree. Of two with one term, the greater name counts, so that all choose the same.
    """
    for _ in range(_ATTEMPTS):
        there, noted = await _read(stream, note), note.read()
        wanted = noted or (Committer(1, note.name) if has_recorded else None)
        if there is not None and (noted is None or noted[:2] <= there[:2]):
            note.write(there)
            return
        if wanted is None:
            return
        if await _replace(stream, link, note, there, wanted):
            note.write(wanted)
            return


async def take_over(stream: Stream, link: Link, note: Note) -> None:
    """Become the committer, whoever was; a `ReplicationUnavailableError` if others do so all the time."""
    for _ in range(_ATTEMPTS):
        there, noted = await _read(stream, note), note.read()
        if there is not None and there.name == note.name and (noted is None or noted[:2] <= there[:2]):
            note.write(there)
            return
        wanted = Committer(max(there.term if there else 0, noted.term if noted else 0) + 1, note.name)
        if await _replace(stream, link, note, there, wanted):
            note.write(wanted)
            return
    raise ReplicationUnavailableError(f"{link.url}: others became the committer {_ATTEMPTS} times meanwhile: try again")


async def _read(stream: Stream, note: Note) -> Committer | None:
    found = await stream.message({"last_by_subj": _subject(stream, note)})
    if found is None:
        return None
    seq, _, _, payload = found
    try:
        value: Any = json.loads(payload)
        return Committer(int(value["term"]), str(value["committer"]), seq)
    except (ValueError, KeyError, TypeError):
        return Committer(0, "a message that can't be read", seq)


async def _replace(stream: Stream, link: Link, note: Note, there: Committer | None, wanted: Committer) -> bool:
    from muse.replicate.link import ApiError  # noqa: PLC0415 - this module is of use without `nats`

    headers = {"Nats-Expected-Last-Subject-Sequence": str(there.seq if there else 0), STREAM_HEADER: stream.name}
    payload = json.dumps({"committer": wanted.name, "term": wanted.term}).encode()
    try:
        await link.request(_subject(stream, note), payload, headers)
    except ApiError as error:
        if error.number in WRONG_LAST:
            return False
        raise
    return True


def _subject(stream: Stream, note: Note) -> str:
    return subject_of(stream.name.removeprefix("MUSE_"), "committer", note.session_id)
