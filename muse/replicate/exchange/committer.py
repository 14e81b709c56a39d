"""Which replica of a session commits, and handing that over.

A cut is a place in one log, so only one replica may commit. The stream says which, in the newest message of a subject
of its own, that is replaced by compare-and-set; each replica keeps a note of it, which `OpLog.checkpoint` and
`muse.commit` obey. The first host that has something recorded claims it. A host that is offline may not have heard
of another committer: that is why the target of the commits takes only one after each parent.
"""

from __future__ import annotations

import json

from muse.replicate.bookkeeping.note import Committer, Note
from muse.replicate.errors import ReplicationUnavailableError
from muse.replicate.wire.link import ApiError
from muse.replicate.wire.messages import STREAM_HEADER
from muse.replicate.wire.stream import Stream

WRONG_LAST = (10071, 10164)
"""A compare-and-set was refused; the second by clusters."""
_ATTEMPTS = 10


async def follow(stream: Stream, note: Note, *, has_recorded: bool) -> None:
    """Bring stream and note together: the higher term counts; where there is none, whoever has recorded claims it.

    A higher term in the note means that the server has lost the newer message, or that the session is in two spaces,
    whose hosts have to agree. Of two with one term, the greater name counts, so that all choose the same.
    """
    for _ in range(_ATTEMPTS):
        there, noted = await _read(stream), note.read()
        wanted = noted or (Committer(1, note.name) if has_recorded else None)
        if there is not None and (noted is None or noted[:2] <= there[:2]):
            note.write(there)
            return
        if wanted is None:
            return
        if await _replace(stream, there, wanted):
            note.write(wanted)
            return


async def take_over(stream: Stream, note: Note) -> None:
    """Become the committer, whoever was; a `ReplicationUnavailableError` if others do so all the time."""
    for _ in range(_ATTEMPTS):
        there, noted = await _read(stream), note.read()
        if there is not None and there.name == note.name and (noted is None or noted[:2] <= there[:2]):
            note.write(there)
            return
        wanted = Committer(max(there.term if there else 0, noted.term if noted else 0) + 1, note.name)
        if await _replace(stream, there, wanted):
            note.write(wanted)
            return
    raise ReplicationUnavailableError(
        f"{stream.link.url}: others became the committer {_ATTEMPTS} times meanwhile: try again"
    )


async def _read(stream: Stream) -> Committer | None:
    found = await stream.message({"last_by_subj": stream.committer_subject})
    if found is None:
        return None
    seq, _, _, payload = found
    return Committer.from_json(payload, seq) or Committer(0, "a message that can't be read", seq)


async def _replace(stream: Stream, there: Committer | None, wanted: Committer) -> bool:
    headers = {"Nats-Expected-Last-Subject-Sequence": str(there.seq if there else 0), STREAM_HEADER: stream.name}
    payload = json.dumps({"committer": wanted.name, "term": wanted.term}).encode()
    try:
        await stream.link.request(stream.committer_subject, payload, headers)
    except ApiError as error:
        if error.number in WRONG_LAST:
            return False
        raise
    return True
