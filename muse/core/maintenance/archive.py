"""A session as one file, and back: a gzip-compressed tar that any `tar xzf` opens (docs/format.md, "Archive").

The manifest comes first and names size and SHA-256 of each member; `ops.jsonl` holds the bytes of the log up to a cut,
verbatim. An import puts nothing in place before every digest, gzip's own included, has been held against
what was read: it appears whole, and survives power loss, or not at all.
"""

from __future__ import annotations

# ruff: noqa: PLC0415 - tarfile and gzip load every compressor there is, and few handles make or read an archive
import os
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import orjson
from pydantic_core import core_schema

from muse.core.checkpoint.cut import Cut
from muse.core.checkpoint.record import OpLogCheckpoint, read_record, write_record
from muse.core.entry.codec import JSON_SPACES, parse_object
from muse.core.entry.filter import END
from muse.core.entry.validation import check_dict, dict_validator
from muse.core.errors import (
    ArchiveError,
    DamagedCheckpointError,
    InvalidEntryError,
    LogReplacedError,
    MuseError,
)
from muse.core.index.file import new_temporary
from muse.core.index.query import units_between
from muse.core.index.rebuild import Progress, fill
from muse.core.maintenance.members import Member, read_members
from muse.core.storage import durable
from muse.core.storage.log_file import CHUNK_BYTES, LogFile
from muse.core.storage.redactions import MAX_REDACTED_BYTES, read_redacted, redacted_since, state_of
from muse.core.storage.session_dir import CHECKPOINT_NAME, LOG_NAME, REDACTED_NAME, new_session

if TYPE_CHECKING:
    import tarfile

MANIFEST_NAME = "manifest.json"

_FORMAT = "muse-op-log-archive"
_FORMAT_VERSION = 1
_MAX_SMALL_MEMBER_BYTES = 1 << 20
_GZIP_LEVEL = 6


class ExportedLog(Protocol):
    """What an export needs of an `OpLog`."""

    session_id: str
    path: Path

    def cut(self) -> Cut:
        """See `OpLog.cut`."""

    def read_checkpoint(self) -> OpLogCheckpoint | None:
        """See `OpLog.read_checkpoint`."""


@dataclass(frozen=True)
class ArchivedFile:
    """What the manifest says of one member."""

    size_bytes: int
    """How long it is, uncompressed."""
    sha256: str
    """In hexadecimal."""


@dataclass(frozen=True)
class ArchiveManifest:
    """What an archive holds."""

    session_id: str
    """The session that was exported."""
    created_at: str
    """When it was made, ISO 8601."""
    op_count: int
    """Entries in it."""
    members: dict[str, ArchivedFile]
    """By name: `ops.jsonl`, `checkpoint.json` if the session has a checkpoint, `redacted.json` if it was redacted."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict, as it stands in the archive."""
        return {"format": _FORMAT, "format_version": _FORMAT_VERSION, **asdict(self)}


_text = core_schema.str_schema()
_size = core_schema.int_schema(ge=0, le=2**62)
_file = {"size_bytes": core_schema.typed_dict_field(_size), "sha256": core_schema.typed_dict_field(_text)}
_validator = dict_validator(
    {
        "format": core_schema.literal_schema([_FORMAT]),
        "session_id": _text,
        "created_at": _text,
        "op_count": _size,
        "members": core_schema.dict_schema(
            core_schema.literal_schema([LOG_NAME, CHECKPOINT_NAME, REDACTED_NAME]),
            core_schema.typed_dict_schema(_file, extra_behavior="forbid"),
        ),
    }
)


# -- out ------------------------------------------------------------------------------------------------------


def export_session(log: ExportedLog, file: IO[bytes], *, progress: Progress | None = None) -> ArchiveManifest:
    """Write the session, up to what has arrived by now, into `file`; writers may go on meanwhile.

    Args:
        log: the session; it is only read.
        file: where to write; need not be seekable. It is not closed and not synced.
        progress: called with (bytes read, bytes in all); the log is read twice.

    Returns:
        What the archive holds.

    Raises:
        DamagedCheckpointError: `checkpoint.json` can't be used, so the session would not be whole.
        LogReplacedError: the log was altered meanwhile; what was written is not an archive.
    """
    import gzip
    import hashlib
    import tarfile

    before = state_of(log.path.parent)
    small = {CHECKPOINT_NAME: _checkpoint_bytes(log), REDACTED_NAME: _redacted_bytes(log)}
    # After the checkpoint was read: the cut then holds all that it covers.
    cut = log.cut()
    with closing(LogFile(log.path, durable_names=False)) as source:
        # Measuring opens it; an empty session may have no file.
        source.size()
        first, again = (_LogBytes(source, cut.byte_offset, before, progress) for before in (0, cut.byte_offset))
        while first.read(CHUNK_BYTES):
            pass
        members = {LOG_NAME: ArchivedFile(cut.byte_offset, first.sha256.hexdigest())}
        found = {name: data for name, data in small.items() if data is not None}
        members |= {name: ArchivedFile(len(data), hashlib.sha256(data).hexdigest()) for name, data in found.items()}
        manifest = ArchiveManifest(log.session_id, datetime.now(UTC).isoformat(), cut.op_count, members)
        described = orjson.dumps(manifest.to_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        with (
            gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_GZIP_LEVEL) as zipped,
            tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as archive,
        ):
            _add(archive, MANIFEST_NAME, BytesIO(described), len(described))
            _add(archive, LOG_NAME, cast("IO[bytes]", again), cut.byte_offset)
            for name, data in found.items():
                _add(archive, name, BytesIO(data), len(data))
        if redacted_since(log.path.parent, before):
            raise LogReplacedError(f"{log.path}: operations were redacted while it was exported: export it again")
        if again.sha256.digest() != first.sha256.digest():
            raise LogReplacedError(f"{log.path}: its bytes were altered while they were exported: run verify")
    return manifest


def _checkpoint_bytes(log: ExportedLog) -> bytes | None:
    """The bytes of a checkpoint record that was found to fit its log; None if there is none."""
    path = log.path.with_name(CHECKPOINT_NAME)
    while True:
        record = log.read_checkpoint()
        if record is None:
            return None
        data = durable.read_small_file(path, _MAX_SMALL_MEMBER_BYTES)
        # Between the two another process may have put a newer one there.
        with suppress(InvalidEntryError):
            if parse_object(data.strip(JSON_SPACES)) == record:
                return data


def _redacted_bytes(log: ExportedLog) -> bytes | None:
    path = log.path.with_name(REDACTED_NAME)
    return durable.read_small_file(path, MAX_REDACTED_BYTES) if read_redacted(path.parent) else None


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size_bytes: int) -> None:
    member = archive.tarinfo(name)
    member.size = size_bytes
    member.mtime = int(time.time())
    archive.addfile(member, content)


@dataclass
class _LogBytes:
    """The bytes of a log below `stop`, to be read once; knows the digest of what was read."""

    log: LogFile
    stop: int
    done_before: int
    progress: Progress | None

    def __post_init__(self) -> None:
        import hashlib

        self.at = 0
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        start, self.at = self.at, min(self.at + size, self.stop)
        data = self.log.read(start, self.at)
        if len(data) < self.at - start:
            raise LogReplacedError(f"{self.log.path}: it was cut while it was exported")
        self.sha256.update(data)
        if self.progress:
            self.progress(self.done_before + self.at, 2 * self.stop)
        return data


# -- in -------------------------------------------------------------------------------------------------------


def import_session(
    repo_root: str | os.PathLike[str],
    file: IO[bytes],
    *,
    session_id: str | None = None,
    progress: Progress | None = None,
) -> ArchiveManifest:
    """Make a session out of an archive; when this returns it survives power loss.

    Args:
        repo_root: the folder that holds `.muse/`.
        file: the archive; need not be seekable.
        session_id: the id to give it; None for the one it had. A checkpoint's record gets the new one too.
        progress: called with (bytes written, bytes in all).

    Returns:
        What the archive holds.

    Raises:
        ArchiveError: the file is not an archive, or damaged; nothing was made.
        SessionExistsError: a session of this id exists; it is never overwritten.
        InvalidSessionIdError: the id can't be a folder.
        OSError, sqlite3.Error: it could not be read, written or checked; nothing was made.
    """
    import gzip
    import tarfile

    root = Path(repo_root).absolute()
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unzipped:
            members = read_members(unzipped)
            manifest = _read_manifest(next(members, None))
            name = manifest.session_id if session_id is None else session_id
            with new_session(root, name) as aside:
                _take_members(members, manifest, aside, progress)
                _check_against_log(aside, manifest)
                if session_id is not None:
                    _rename_checkpoint(aside, manifest.session_id, session_id)
            return manifest
    except MuseError:
        raise
    # All that gzip, zlib and tarfile raise for a damaged file.
    except (EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile, ValueError, OverflowError) as error:
        raise ArchiveError(
            f"not a whole archive of a session, nothing was imported: {error}: get the file once more from where it "
            "came from"
        ) from error


def _read_manifest(leading: Member | None) -> ArchiveManifest:
    if leading is None or leading.name != MANIFEST_NAME:
        raise ArchiveError(f"does not begin with {MANIFEST_NAME}: the file is not an archive of a session")
    _check_small(leading)
    try:
        found = parse_object(leading.read(leading.size_bytes).strip(JSON_SPACES))
        if found.get("format") == _FORMAT and found.get("format_version") != _FORMAT_VERSION:
            raise ArchiveError(
                f"{MANIFEST_NAME}: format version {found.get('format_version')!r}, this program knows "
                f"{_FORMAT_VERSION}: update it"
            )
        check_dict(_validator, found)
    except InvalidEntryError as error:
        raise ArchiveError(f"{MANIFEST_NAME}: {error}") from None
    if LOG_NAME not in found["members"]:
        raise ArchiveError(f"{MANIFEST_NAME}: members: {LOG_NAME} is missing")
    members = {name: ArchivedFile(**described) for name, described in found["members"].items()}
    return ArchiveManifest(found["session_id"], found["created_at"], found["op_count"], members)


def _check_small(member: Member) -> None:
    if member.size_bytes > (MAX_REDACTED_BYTES if member.name == REDACTED_NAME else _MAX_SMALL_MEMBER_BYTES):
        raise ArchiveError(
            f"{member.name}: {member.size_bytes} bytes are too many: the file is not an archive of a session"
        )


def _take_members(members: Iterator[Member], manifest: ArchiveManifest, aside: Path, progress: Progress | None) -> None:
    import hashlib

    done, total = 0, sum(described.size_bytes for described in manifest.members.values())
    awaited = dict(manifest.members)
    for member in members:
        described = awaited.pop(member.name, None)
        if described is None:
            raise ArchiveError(f"member {member.name[:100]!r} is not in its manifest, or there twice")
        if member.size_bytes != described.size_bytes:
            raise ArchiveError(f"{member.name}: {member.size_bytes} bytes, its manifest says {described.size_bytes}")
        if member.name != LOG_NAME:
            _check_small(member)
        sha256 = hashlib.sha256()
        with durable.new_file(aside / member.name) as out:
            while data := member.read(CHUNK_BYTES):
                sha256.update(data)
                out.write(data)
                done += len(data)
                if progress:
                    progress(done, total)
        if sha256.hexdigest() != described.sha256:
            raise ArchiveError(f"{member.name}: its SHA-256 is not the one in the manifest: its bytes were altered")
    if awaited:
        raise ArchiveError(f"{min(awaited)} is missing: the archive is not whole")


def _check_against_log(aside: Path, manifest: ArchiveManifest) -> None:
    """Hold the number of entries, and where the checkpoint ends, against the log."""
    try:
        record = read_record(aside / CHECKPOINT_NAME, manifest.session_id)
    except DamagedCheckpointError as error:
        raise ArchiveError(f"{CHECKPOINT_NAME} is not a record of session {manifest.session_id!r}") from error
    if REDACTED_NAME in manifest.members and not read_redacted(aside):
        raise ArchiveError(f"{REDACTED_NAME} is not what a redaction writes")
    with closing(LogFile(aside / LOG_NAME, durable_names=False)) as log:
        size_bytes = log.size()
        covered = size_bytes if record is None else record.get("byte_offset", size_bytes)
        if any(end > size_bytes or log.read(end - 1, end) != b"\n" for end in (covered, size_bytes) if end):
            raise ArchiveError(f"{LOG_NAME} or what {CHECKPOINT_NAME} covers of it does not end with a line")
        with closing(new_temporary()) as database:
            index = fill(database, log)
            kinds = Counter(kind for unit in units_between(index, 0, END) for kind, _ in unit.problems.values())
    # A line that was an entry when it was indexed may have been damaged since.
    if not index.entries <= manifest.op_count <= index.entries + kinds["damaged"]:
        raise ArchiveError(f"{LOG_NAME} has {index.entries} entries, its manifest says {manifest.op_count}")
    if record is not None and record["op_count"] > manifest.op_count:
        raise ArchiveError(f"{CHECKPOINT_NAME} covers more than the {manifest.op_count} entries of the archive")


def _rename_checkpoint(aside: Path, old: str, new: str) -> None:
    path = aside / CHECKPOINT_NAME
    if record := read_record(path, old):
        write_record(path, {**record, "session_id": new})
