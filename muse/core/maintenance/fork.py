"""Forks: a session that shares its past with another one, and which past two logs share when they are merged.

A fork's log begins with the bytes of its source up to a cut, so both have the same lines at the same places for ever.
`fork.json` (docs/format.md) says how far. It is only a hint: before a merge leaves the shared past out, the two indexes
are compared line by line, and whatever differs there by now, damage or a line that was altered, makes it read all.
"""

from __future__ import annotations

from array import array
from pathlib import Path

import orjson

from muse.core.checkpoint.cut import Checkpoints, Cut
from muse.core.checkpoint.record import write_record
from muse.core.entry.filter import END, Filter
from muse.core.errors import LogReplacedError
from muse.core.paging import Pager
from muse.core.storage import durable
from muse.core.storage.accepted import copy_accepted
from muse.core.storage.log_file import LogFile
from muse.core.storage.redactions import add_redacted, read_redacted, redacted_since, state_of
from muse.core.storage.session_dir import CHECKPOINT_NAME, FORK_NAME, LOG_NAME, new_session

_MAX_BYTES = 1 << 20


def fork(repo_root: Path, log: LogFile, checkpoints: Checkpoints, cut: Cut, new: str) -> None:
    """Make a session of what lies below a cut of a log, as `fork_session` says."""
    folder = log.path.parent
    before = state_of(folder)
    # Before the bytes are copied: they then hold all that it covers.
    record = checkpoints.current_below(cut)
    past = [
        {"session_id": session_id, "byte_offset": min(end, cut.byte_offset)}
        for session_id, end in {**_past(folder), cut.session_id: END}.items()
    ]
    with new_session(repo_root, new) as aside:
        # What was made private stays private, and what was made read-only can be written by who forks it.
        aside.chmod(folder.stat().st_mode & 0o777 | 0o700)
        with durable.new_file(aside / LOG_NAME) as file:
            durable.take_rights(file.fileno(), log.path)
            log.copy_to(file, cut.byte_offset)
        with durable.new_file(aside / FORK_NAME) as file:
            durable.take_rights(file.fileno(), log.path)
            file.write(orjson.dumps({"past": past}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        if record is not None:
            write_record(aside / CHECKPOINT_NAME, {**record, "session_id": new})
        if redacted := read_redacted(folder):
            add_redacted(aside, redacted)
        copy_accepted(folder, aside)
        if redacted_since(folder, before):
            raise LogReplacedError(f"{log.path}: operations were redacted while it was forked: fork it again")


def _past(folder: Path) -> dict[str, int]:
    """By session, the byte offset up to which the session in a folder is the same; nothing if it is not a fork."""
    try:
        found = orjson.loads(durable.read_small_file(folder / FORK_NAME, _MAX_BYTES))["past"]
        return {str(each["session_id"]): int(each["byte_offset"]) for each in found}
    except (OSError, KeyError, TypeError, ValueError):
        return {}


def end_of_shared_past(ours: Pager, our_id: str, theirs: Pager, their_id: str) -> int:
    """The byte offset up to which two logs are the same: one is a fork of the other, or both are of a third. Or 0."""
    pasts: list[dict[str, int]] = [
        {**_past(pager.log.path.parent), session_id: END} for pager, session_id in ((ours, our_id), (theirs, their_id))
    ]
    end = max((min(pasts[0][each], pasts[1][each]) for each in pasts[0].keys() & pasts[1].keys()), default=0)
    # Replicas of one session have its id in common, and nothing that says how far they are the same.
    if not 0 < end < END or min(ours.end(), theirs.end()) < end:
        return 0
    return end if _digest(ours, end) == _digest(theirs, end) else 0


def _digest(pager: Pager, end: int) -> bytes:
    """The digest of the checksums of all entries below a byte offset, as the index has them; the log is not read."""
    import hashlib  # noqa: PLC0415 - loads OpenSSL, which takes a tenth as long as all of the engine

    digest = hashlib.sha256()
    for checksums in pager.pages(Filter(stop=end), lambda _log, places: places.checksums):
        digest.update(array("I", checksums).tobytes())
    return digest.digest()
