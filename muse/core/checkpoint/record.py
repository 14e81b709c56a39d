"""Cuts, and the record that says up to which cut a session has been committed.

`checkpoint.json` holds the most recent record; it is replaced atomically and never moves backwards.
It is never guessed: where it can't be read or does not fit its log, every call that depends on it
fails, since taking it for "no checkpoint" would commit operations twice.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NotRequired, cast

import orjson
from pydantic_core import ValidationError, core_schema
from typing_extensions import TypedDict

from muse.core.entry.codec import JSON_SPACES, parse_object
from muse.core.entry.validation import checker_of
from muse.core.errors import DamagedCheckpointError, InvalidCutError, InvalidEntryError
from muse.core.old_index.index import Index
from muse.core.old_index.index_evidence import checkpoint_seen
from muse.core.old_index.index_query import count, end_of_entry, highest_lamport_ts, last_op_id
from muse.core.old_index.index_question import Filter
from muse.core.old_index.sidecar import Sidecar
from muse.core.options import MAX_LAMPORT_TS
from muse.core.storage import durable
from muse.core.storage.log_file import CHUNK_BYTES, LogFile

_MAX_RECORD_BYTES = 1 << 20


@dataclass(frozen=True)
class Cut:
    """A consistent cut of one session's log: exactly the entries that had arrived at one moment.

    It is plain data and may be stored with the commit, so that a checkpoint can still be made at it after
    a crash: `log.checkpoint(snapshot_id, upto=Cut(session_id, byte_offset, op_count))`.
    """

    session_id: str
    """The session it was taken from."""
    byte_offset: int
    """Byte offset after the last line that lies below the cut."""
    op_count: int
    """How many entries lie below the cut, in arrival order."""


def cut_at(sidecar: Sidecar, session_id: str, byte_offset: int) -> Cut:
    """The cut at the end of a line that has been looked at."""
    if byte_offset == 0:
        return Cut(session_id, 0, 0)
    below = Filter(stop=byte_offset)
    return Cut(session_id, byte_offset, sidecar.ask(lambda index: count(index, below)))


def check_cut(argument: str, cut: Cut, sidecar: Sidecar, log: LogFile, session_id: str) -> Cut:
    """Make sure that `cut` is one of this log.

    Raises:
        InvalidCutError: it is not.
    """
    if not isinstance(cut, Cut):
        raise InvalidCutError(f"{argument}: must be a Cut as `cut()` returns it, not {cut!r}")
    if cut.session_id != session_id:
        raise InvalidCutError(f"the cut is of session {cut.session_id!r}, this log is of {session_id!r}")
    sidecar.look()
    end = cut.byte_offset
    within = 0 <= end <= sidecar.end and (end == 0 or log.read(end - 1, end) == b"\n")
    if not within or cut != cut_at(sidecar, session_id, end):
        raise InvalidCutError(
            f"{log.path}: no cut of this log: it has {sidecar.end} bytes and not {cut.op_count} entries "
            f"below byte {cut.byte_offset}; take a cut from this log"
        )
    return cut


class OpLogCheckpoint(TypedDict):
    """The record in `checkpoint.json` (docs/format.md). The last four fields come together or not at all."""

    session_id: str
    """The session, as it was passed in."""
    snapshot_id: str
    """What the covered operations were crystallised into."""
    lamport_ts: int
    """The highest timestamp covered; 0 where nothing is."""
    op_count: int
    """Entries covered, in arrival order."""
    created_at: str
    """ISO 8601 wall-clock time."""
    byte_offset: NotRequired[int]
    """Bytes of the log covered."""
    last_op_id: NotRequired[str]
    """op_id of the last entry covered, "" where there is none."""
    log_digest: NotRequired[str]
    """Digest of the bytes covered, see `chain_digest`."""
    record_digest: NotRequired[str]
    """SHA-256 of this record without this field, so that no flipped bit goes unnoticed."""


_EXTENSION = ("byte_offset", "last_op_id", "log_digest", "record_digest")
_text = core_schema.str_schema()
_count = core_schema.int_schema(ge=0, le=2**62)
_validate = checker_of(
    {
        "session_id": _text,
        "snapshot_id": _text,
        "lamport_ts": core_schema.int_schema(ge=0, le=MAX_LAMPORT_TS),
        "op_count": _count,
        "created_at": _text,
    },
    optional={"byte_offset": _count, "last_op_id": _text, "log_digest": _text, "record_digest": _text},
)

EMPTY_DIGEST = "0" * 64
"""The digest of no lines at all."""


def chain_digest(log: LogFile, start: int, stop: int, digest: str) -> str:
    """Carry the digest of the lines below `start` on over those in [start, stop).

    Each line's digest is SHA-256 over the previous one (32 bytes) and the line with its newline, so
    a new checkpoint reads only the lines it adds, and a changed bit anywhere below changes the end.
    """
    chained = hashlib.sha256(bytes.fromhex(digest))
    link = bytes.fromhex(digest)
    while start < stop:
        chunk = log.read(start, min(start + CHUNK_BYTES, stop))
        if not chunk:
            break
        start += len(chunk)
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            chained.update(line + b"\n")
            link = chained.digest()
            chained = hashlib.sha256(link)
        chained.update(rest)
    return link.hex()


def make_record(
    session_id: str, snapshot_id: str, *, cut: Cut, lamport_ts: int, last_op_id: str, log_digest: str
) -> OpLogCheckpoint:
    """A complete record for `cut`."""
    record: OpLogCheckpoint = {
        "session_id": session_id,
        "snapshot_id": snapshot_id,
        "lamport_ts": lamport_ts,
        "op_count": cut.op_count,
        "created_at": datetime.now(UTC).isoformat(),
        "byte_offset": cut.byte_offset,
        "last_op_id": last_op_id,
        "log_digest": log_digest,
    }
    record["record_digest"] = _digest_of(record)
    return record


def _digest_of(record: OpLogCheckpoint) -> str:
    bare = {name: value for name, value in record.items() if name != "record_digest"}
    return hashlib.sha256(orjson.dumps(bare, option=orjson.OPT_SORT_KEYS)).hexdigest()


def renamed_record(record: OpLogCheckpoint, session_id: str) -> bytes:
    """The content of a `checkpoint.json` that says of session `session_id` what `record` says of another."""
    renamed: OpLogCheckpoint = {**record, "session_id": session_id}
    if "record_digest" in renamed:
        renamed["record_digest"] = _digest_of(renamed)
    return _content(renamed)


def write_record(path: Path, record: OpLogCheckpoint) -> None:
    """Replace the record; when this returns the new one survives power loss."""
    durable.replace_file(path, _content(record))


def _content(record: OpLogCheckpoint) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_record(path: Path, session_id: str) -> OpLogCheckpoint | None:
    """The record at `path`; None where there is no such file.

    Raises:
        DamagedCheckpointError: it is there, but not a record of this session.
        OSError: it could not be read.
    """
    try:
        data = durable.read_small_file(path, _MAX_RECORD_BYTES)
    except FileNotFoundError:
        return None
    if not data.strip(JSON_SPACES):
        raise damaged(path, "is empty")
    try:
        record = parse_object(data.strip(JSON_SPACES))
        _validate(record)
    except InvalidEntryError as error:
        raise damaged(path, str(error)) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise damaged(path, f"field {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    _check(path, record, session_id)
    return cast(OpLogCheckpoint, record)


def _check(path: Path, record: dict[str, Any], session_id: str) -> None:
    present = [name for name in _EXTENSION if name in record]
    unknown = record.keys() - OpLogCheckpoint.__annotations__.keys()
    if unknown or (present and len(present) < len(_EXTENSION)):
        raise damaged(path, f"its fields are not a record's: {', '.join(sorted(record))[:200]}")
    if present and record["record_digest"] != _digest_of(cast(OpLogCheckpoint, record)):
        raise damaged(path, "its content does not match its record_digest: it was altered")
    if record["session_id"] != session_id:
        raise damaged(path, f"belongs to session {record['session_id'][:100]!r}, not {session_id!r}")


def damaged(path: Path, what: str) -> DamagedCheckpointError:
    """The error for a record that must not be used, with the way out."""
    return DamagedCheckpointError(
        f'{path}: {what}. It is not taken for "no checkpoint", which would commit operations twice: restore the '
        "file from a backup, or write the record of the last snapshot that was committed (docs/recovery.md)"
    )


def current_checkpoint(
    sidecar: Sidecar, log: LogFile, path: Path, session_id: str
) -> tuple[OpLogCheckpoint | None, Cut]:
    """The record at `path` and the cut it stands for; (None, the empty cut) where none was ever made.

    Raises:
        DamagedCheckpointError: there is a record but it can't be used, or there was one.
    """
    while True:
        record = read_record(path, session_id)
        # After the record was read: the log then holds all that a sound record can cover.
        sidecar.look()
        try:
            if sidecar.is_untouched():
                return record, fit_without_log(path, session_id, record)
            end = sidecar.end
            return record, sidecar.ask(partial(fit, log=log, end=end, path=path, session_id=session_id, record=record))
        except DamagedCheckpointError:
            # Another process may have put a newer one there in between; then that one is asked.
            if read_record(path, session_id) == record:
                raise


def fit_without_log(path: Path, session_id: str, record: OpLogCheckpoint | None) -> Cut:
    """`fit` for a session whose log is empty or not there."""
    if record is not None and record["op_count"] > 0:
        raise damaged(path, f"covers {record['op_count']} entries, but the log is empty or gone")
    return Cut(session_id, 0, 0)


def fit(index: Index, *, log: LogFile, end: int, path: Path, session_id: str, record: OpLogCheckpoint | None) -> Cut:
    """The cut that a record stands for, in a log whose lines end at byte `end`.

    Raises:
        DamagedCheckpointError: it does not fit the log, or is not the last one that was made.
    """
    refuse_missing_or_older(index, path, record)
    if record is None:
        return Cut(session_id, 0, 0)
    return _cut_of(index, log, end, path, record)


def refuse_missing_or_older(index: Index, path: Path, record: OpLogCheckpoint | None) -> None:
    """Hold a record against the last one that the index has seen being made.

    Raises:
        DamagedCheckpointError: that one was newer.
    """
    seen = checkpoint_seen(index)
    if seen is None:
        return
    byte_offset, snapshot_id = seen
    if record is None:
        raise damaged(path, f"is missing, but a checkpoint of snapshot {snapshot_id!r} was made")
    if record.get("byte_offset", byte_offset) < byte_offset:
        raise damaged(path, f"is older than the checkpoint of snapshot {snapshot_id!r}, which was made after it")


def _cut_of(index: Index, log: LogFile, end: int, path: Path, record: OpLogCheckpoint) -> Cut:
    op_count = record["op_count"]
    byte_offset = record.get("byte_offset")
    if byte_offset is None:
        found = end_of_entry(index, op_count)
        if found is None:
            raise damaged(path, f"covers {op_count} entries, more than the log holds: the log was cut or replaced")
        return Cut(record["session_id"], found, op_count)
    if byte_offset > end:
        raise damaged(path, f"covers {byte_offset} bytes, the log has {end}: the log was cut or replaced")
    if byte_offset and log.read(byte_offset - 1, byte_offset) != b"\n":
        raise damaged(path, f"covers {byte_offset} bytes, but no line of the log ends there: the log was replaced")
    # A covered line may have been damaged since; that costs this line and not the whole replay. Where
    # neither last entry nor number is right, what lies below is not what was covered.
    if _last_op_id(index, byte_offset) != record["last_op_id"]:
        below = count(index, Filter(stop=byte_offset))
        if below != op_count:
            raise damaged(
                path,
                f"covers {op_count} entries, but {below} others lie below byte {byte_offset}: the log was replaced",
            )
    return Cut(record["session_id"], byte_offset, op_count)


def _last_op_id(index: Index, byte_offset: int) -> str:
    op_id = last_op_id(index, byte_offset)
    return "" if op_id is None else str(uuid.UUID(bytes=op_id))


def extend_record(
    index: Index, log: LogFile, previous: OpLogCheckpoint | None, covered: Cut, cut: Cut, snapshot_id: str
) -> OpLogCheckpoint:
    """The record for `cut`; only the lines between `covered` and `cut` are read."""
    start, digest = covered.byte_offset, EMPTY_DIGEST
    if previous is not None and "log_digest" in previous:
        digest = previous["log_digest"]
    else:
        start = 0
    return make_record(
        cut.session_id,
        snapshot_id,
        cut=cut,
        lamport_ts=highest_lamport_ts(index, cut.byte_offset),
        last_op_id=_last_op_id(index, cut.byte_offset),
        log_digest=chain_digest(log, start, cut.byte_offset, digest),
    )
