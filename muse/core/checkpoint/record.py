"""The record in `checkpoint.json`: which cut of a session has been committed, and into which snapshot.

It is replaced atomically and never moves backwards. If it can't be read or does not fit its log, every call that
depends on it fails.
"""

import os
from pathlib import Path
from typing import NamedTuple, NotRequired, Protocol, cast, get_type_hints

import orjson
from pydantic_core import core_schema
from typing_extensions import TypedDict

from muse.core.entry.codec import JSON_SPACES, parse_object
from muse.core.entry.validation import check_dict, dict_validator
from muse.core.errors import DamagedCheckpointError, InvalidEntryError, NotCommitterError
from muse.core.options import MAX_LAMPORT_TS
from muse.core.storage import durable
from muse.core.storage.log_file import CHUNK_BYTES
from muse.core.storage.session_dir import LOG_NAME, name_beside

_MAX_RECORD_BYTES = 1 << 20


class OpLogCheckpoint(TypedDict):
    """The record in `checkpoint.json` (docs/format.md). The last four fields come together or not at all."""

    session_id: str
    """The session, as it was passed in."""
    snapshot_id: str
    """What the covered operations were crystallised into."""
    lamport_ts: int
    """The highest timestamp covered; 0 if nothing is."""
    op_count: int
    """Entries covered, in arrival order."""
    created_at: str
    """ISO 8601 wall-clock time."""
    byte_offset: NotRequired[int]
    """Bytes of the log covered."""
    last_op_id: NotRequired[str]
    """op_id of the last entry covered, "" if there is none."""
    log_digest: NotRequired[str]
    """Digest of the bytes covered, see `chain_digest`."""
    record_digest: NotRequired[str]
    """SHA-256 of this record without this field, so that no flipped bit goes unnoticed."""


class RestoredCheckpoint(NamedTuple):
    """What was written to checkpoint.json again."""

    snapshot_id: str
    kept_as: str | None
    """The name that the file has now that was there, if there was one."""
    byte_offset: int
    """Up to where it covers the log."""
    is_set_back: bool
    """Whether that is less than it was."""


_rules = {str: core_schema.str_schema(), int: core_schema.int_schema(ge=0, le=MAX_LAMPORT_TS)}
_fields = {name: _rules[kind] for name, kind in get_type_hints(OpLogCheckpoint).items()}
_optional = {name: _fields.pop(name) for name in ("byte_offset", "last_op_id", "log_digest", "record_digest")}
_validator = dict_validator(_fields, _optional)

EMPTY_DIGEST = "0" * 64
"""The digest of no lines at all."""


class Bytes(Protocol):
    """What is digested: a log."""

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop)."""


def chain_digest(log: Bytes, start: int, stop: int, digest: str) -> str:
    """Carry the digest of the lines below `start` on over those in [start, stop).

    Each line's digest is SHA-256 over the previous one (32 bytes) and the line with its newline. So a new checkpoint
    reads only the lines it adds, and a changed bit anywhere below changes the end.
    """
    import hashlib  # noqa: PLC0415 - loads OpenSSL, which takes a tenth as long as all of the engine

    link = bytes.fromhex(digest)
    chained = hashlib.sha256(link)
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


def write_record(path: Path, record: OpLogCheckpoint) -> OpLogCheckpoint:
    """Replace the record, its digest made anew; when this returns the new one survives power loss."""
    if "log_digest" in record:
        record = {**record, "record_digest": _digest_of(record)}
    data = orjson.dumps(record, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    durable.replace_file(path, data, path.with_name(LOG_NAME))
    return record


def _digest_of(record: OpLogCheckpoint) -> str:
    import hashlib  # noqa: PLC0415 - loads OpenSSL, which takes a tenth as long as all of the engine

    bare = {name: value for name, value in record.items() if name != "record_digest"}
    return hashlib.sha256(orjson.dumps(bare, option=orjson.OPT_SORT_KEYS)).hexdigest()


def read_record(path: Path, session_id: str) -> OpLogCheckpoint | None:
    """The record at `path`, None if there is no such file; a `DamagedCheckpointError` if it is not this session's."""
    try:
        data = durable.read_small_file(path, _MAX_RECORD_BYTES).strip(JSON_SPACES)
    except FileNotFoundError:
        return None
    try:
        record = cast(OpLogCheckpoint, parse_object(data))
        check_dict(_validator, record)
    except InvalidEntryError as error:
        raise damaged(path, str(error)) from None
    if record.keys() - _fields.keys() not in (set(), _optional.keys()):
        raise damaged(path, f"its fields are not a record's: {', '.join(sorted(record))[:200]}")
    if "record_digest" in record and record["record_digest"] != _digest_of(record):
        raise damaged(path, "its content does not match its record_digest: it was altered")
    if record["session_id"] != session_id:
        raise damaged(path, f"belongs to session {record['session_id'][:100]!r}, not {session_id!r}")
    return record


def check_is_committer(log_path: Path) -> None:
    """Raise `NotCommitterError` if another replica of the session makes its commits, as `muse.replicate` has noted.

    A cut is a place in one log, so commits that are made from two would hold operations twice. A copy of the repository
    in another folder is another replica.
    """
    folder = log_path.parent
    repo_root = folder.parents[2]
    path = repo_root / ".muse" / "replicas" / f"{name_beside(folder.name)}.committer"
    try:
        noted = parse_object(durable.read_small_file(path, _MAX_RECORD_BYTES).strip(JSON_SPACES))
    except FileNotFoundError:
        return
    except InvalidEntryError as error:
        raise NotCommitterError(f"{path}: {error}: muse op-log sync makes it anew") from None
    if noted.get("is_here") is not True or noted.get("folder") != os.path.realpath(repo_root):
        raise NotCommitterError(
            f"{log_path}: commits of this session are made by {noted.get('committer')!s:.300}: make them there, or "
            "take that over with muse op-log sync --become-committer"
        )


def damaged(path: Path, what: str) -> DamagedCheckpointError:
    """The error for a record that must not be used, with the way out."""
    return DamagedCheckpointError(
        f'{path}: {what}. It is not taken for "no checkpoint", which would commit operations twice: muse op-log '
        "repair restores what the index has seen of it; muse op-log help recovery says what else can be done"
    )
