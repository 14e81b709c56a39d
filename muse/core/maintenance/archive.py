"""A session as one file, and back: a gzip-compressed tar that any `tar xzf` opens (docs/format.md, "Archive").

The manifest comes first and names size and SHA-256 of each member; `ops.jsonl` holds the bytes of the log up to a cut,
verbatim. An import puts nothing in place before every digest, gzip's own included, has been held against
what was read: it appears whole, and survives power loss, or not at all.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import IO, Any, Protocol, cast

import orjson
from pydantic_core import ValidationError, core_schema

from muse.core.checkpoint.cut import Cut
from muse.core.checkpoint.record import OpLogCheckpoint, read_record, write_record
from muse.core.entry.codec import JSON_SPACES, parse_object
from muse.core.entry.validation import dict_validator
from muse.core.errors import (
    ArchiveError,
    DamagedCheckpointError,
    InvalidEntryError,
    LogReplacedError,
    MuseError,
    SessionExistsError,
)
from muse.core.storage import durable
from muse.core.storage.log_file import CHUNK_BYTES, LogFile
from muse.core.storage.session_dir import CHECKPOINT_NAME, LOG_NAME, list_sessions, session_folder

Progress = Callable[[int, int], None]

MANIFEST_NAME = "manifest.json"
ASIDE_PREFIX = ".import-"
"""How the folder begins in which an import is prepared; no session's folder begins with a dot."""

_FORMAT = "muse-op-log-archive"
_FORMAT_VERSION = 1
_MAX_SMALL_MEMBER_BYTES = 1 << 20
_GZIP_LEVEL = 6


class ExportedLog(Protocol):
    """What an export needs of an `OpLog`."""

    session_id: str
    folder: Path
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
    """By name: `ops.jsonl`, and `checkpoint.json` where the session has a checkpoint."""

    def to_dict(self) -> dict[str, Any]:
        """As a JSON-able dict, as it stands in the archive."""
        return {"format": _FORMAT, "format_version": _FORMAT_VERSION, **asdict(self)}


_size = core_schema.int_schema(ge=0, le=2**62)
_member = core_schema.typed_dict_schema(
    {
        "size_bytes": core_schema.typed_dict_field(_size),
        "sha256": core_schema.typed_dict_field(core_schema.str_schema(pattern="^[0-9a-f]{64}$")),
    },
    extra_behavior="forbid",
)
_validator = dict_validator(
    {
        "format": core_schema.literal_schema([_FORMAT]),
        "session_id": core_schema.str_schema(),
        "created_at": core_schema.str_schema(),
        "op_count": _size,
        "members": core_schema.typed_dict_schema(
            {
                LOG_NAME: core_schema.typed_dict_field(_member),
                CHECKPOINT_NAME: core_schema.typed_dict_field(_member, required=False),
            },
            extra_behavior="forbid",
        ),
    },
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
        LogReplacedError: the log was altered meanwhile; what was written is no archive.
    """
    checkpoint = _checkpoint_bytes(log)
    # After the checkpoint was read: the cut then holds all that it covers.
    cut = log.cut()
    source = LogFile(log.path, durable_names=False)
    try:
        # Measuring opens it; an empty session may have no file.
        source.size()
        working = _Counted(progress, 2 * cut.byte_offset)
        manifest = _manifest(log.session_id, cut, _LogBytes(source, cut.byte_offset, working).digest(), checkpoint)
        with _packing(file) as archive:
            _add(archive, MANIFEST_NAME, BytesIO(_manifest_bytes(manifest)))
            again = _LogBytes(source, cut.byte_offset, working)
            _add(archive, LOG_NAME, cast("IO[bytes]", again), cut.byte_offset)
            if checkpoint is not None:
                _add(archive, CHECKPOINT_NAME, BytesIO(checkpoint))
        if again.sha256.hexdigest() != manifest.members[LOG_NAME].sha256:
            raise LogReplacedError(f"{log.path}: its bytes were altered while they were exported: run verify")
    finally:
        source.close()
    return manifest


def _checkpoint_bytes(log: ExportedLog) -> bytes | None:
    """The bytes of a checkpoint record that was found to fit its log; None where there is none."""
    path = log.folder / CHECKPOINT_NAME
    while True:
        record = log.read_checkpoint()
        if record is None:
            return None
        data = durable.read_small_file(path, _MAX_SMALL_MEMBER_BYTES)
        # Between the two another process may have put a newer one there.
        with suppress(InvalidEntryError):
            if parse_object(data.strip(JSON_SPACES)) == record:
                return data


def _manifest(session_id: str, cut: Cut, log_sha256: str, checkpoint: bytes | None) -> ArchiveManifest:
    members = {LOG_NAME: ArchivedFile(cut.byte_offset, log_sha256)}
    if checkpoint is not None:
        members[CHECKPOINT_NAME] = ArchivedFile(len(checkpoint), hashlib.sha256(checkpoint).hexdigest())
    return ArchiveManifest(session_id, datetime.now(UTC).isoformat(), cut.op_count, members)


def _manifest_bytes(manifest: ArchiveManifest) -> bytes:
    return orjson.dumps(manifest.to_dict(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@contextmanager
def _packing(file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=_GZIP_LEVEL) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        yield archive


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size_bytes: int | None = None) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(cast(BytesIO, content).getbuffer()) if size_bytes is None else size_bytes
    member.mtime = int(time.time())
    archive.addfile(member, content)


class _Counted:
    """Adds up the bytes of both passes for a progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, size_bytes: int) -> None:
        self._done += size_bytes
        if self._progress:
            self._progress(self._done, self._total)


class _LogBytes(RawIOBase):
    """The bytes of a log below a cut, to be read once; knows the digest of what was read."""

    def __init__(self, log: LogFile, stop: int, working: _Counted) -> None:
        self._log = log
        self._at = 0
        self._stop = stop
        self._working = working
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        left = self._stop - self._at
        wanted = left if size < 0 else min(size, left)
        data = self._log.read(self._at, self._at + wanted)
        if len(data) < wanted:
            raise LogReplacedError(f"{self._log.path}: it was cut while it was exported")
        self._at += len(data)
        self.sha256.update(data)
        self._working.add(len(data))
        return data

    def digest(self) -> str:
        """SHA-256 of all of it."""
        while self.read(CHUNK_BYTES):
            pass
        return self.sha256.hexdigest()


# -- in -------------------------------------------------------------------------------------------------------


def import_session(
    repo_root: str | os.PathLike[str],
    file: IO[bytes],
    *,
    session_id: str | None = None,
    progress: Progress | None = None,
) -> ArchiveManifest:
    """Make a session of an archive; when this returns it survives power loss.

    Args:
        repo_root: the folder that holds `.muse/`.
        file: the archive; need not be seekable.
        session_id: the id to give it; None for the one it had. A checkpoint's record is changed accordingly.
        progress: called with (bytes written, bytes in all).

    Returns:
        What the archive holds.

    Raises:
        ArchiveError: the file is no archive, or damaged; nothing was made.
        SessionExistsError: there is a session of this id, which is never overwritten.
        InvalidSessionIdError: the id can't be a folder.
        OSError: it could not be read or written; nothing was made.
    """
    root = Path(repo_root).absolute()
    with _damage_told(), _unpacking(file) as members:
        manifest = _read_manifest(*next(members, (None, None)))
        name = manifest.session_id if session_id is None else session_id
        folder = session_folder(root, name)
        if name in list_sessions(root):
            raise _exists(name)
        with _folder_to_be(folder) as aside:
            _take_members(members, manifest, aside, progress)
            _fit_checkpoint(aside, manifest, name)
    return manifest


def _exists(session_id: str) -> SessionExistsError:
    return SessionExistsError(f"session {session_id!r} exists already: import under another id, or merge the two")


@contextmanager
def _damage_told() -> Iterator[None]:
    """Whatever gzip, zlib and tarfile say about a damaged file, as one error."""
    try:
        yield
    except MuseError:
        raise
    except (EOFError, zlib.error, tarfile.TarError, gzip.BadGzipFile, ValueError, OverflowError) as error:
        raise ArchiveError(
            f"not a whole archive of a session, nothing was imported: {error}: get the file once more from where it "
            "came from"
        ) from error


@contextmanager
def _unpacking(file: IO[bytes]) -> Iterator[Iterator[tuple[tarfile.TarInfo, IO[bytes]]]]:
    with gzip.GzipFile(fileobj=file, mode="rb") as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as archive:
        yield _members(archive, unzipped)


def _members(archive: tarfile.TarFile, unzipped: gzip.GzipFile) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    for member in archive:
        # Nothing is ever extracted by its name or type: what is no plain file is no member of ours.
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
            raise ArchiveError(f"member {member.name[:100]!r} is no plain file: the archive is not one of a session")
        content = archive.extractfile(member)
        if content is not None:
            yield member, content
    # Only at its very end gzip compares its own checksum.
    while unzipped.read(CHUNK_BYTES):
        pass


def _read_manifest(member: tarfile.TarInfo | None, content: IO[bytes] | None) -> ArchiveManifest:
    if member is None or content is None or member.name != MANIFEST_NAME:
        raise ArchiveError(f"does not begin with {MANIFEST_NAME}: the file is no archive of a session")
    if member.size > _MAX_SMALL_MEMBER_BYTES:
        raise ArchiveError(f"{MANIFEST_NAME}: {member.size} bytes are too many: the file is no archive of a session")
    try:
        found = parse_object(content.read().strip(JSON_SPACES))
        if found.get("format") == _FORMAT and found.get("format_version") != _FORMAT_VERSION:
            raise ArchiveError(
                f"{MANIFEST_NAME}: format version {found.get('format_version')!r}, this program knows "
                f"{_FORMAT_VERSION}: update it"
            )
        _validator.validate_python(found)
    except InvalidEntryError as error:
        raise ArchiveError(f"{MANIFEST_NAME}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ArchiveError(f"{MANIFEST_NAME}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    members = {name: ArchivedFile(**described) for name, described in found["members"].items()}
    return ArchiveManifest(found["session_id"], found["created_at"], found["op_count"], members)


@contextmanager
def _folder_to_be(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder`; where that fails nothing is left, op_log/ and .muse/ included."""
    made = [parent for parent in (folder.parent, folder.parent.parent) if not parent.exists()]
    try:
        with durable.new_folder(folder, ASIDE_PREFIX) as aside:
            yield aside
    except BaseException as error:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, FileExistsError):
            raise SessionExistsError(f"{folder} exists already: import under another id") from None
        raise


def _take_members(
    members: Iterator[tuple[tarfile.TarInfo, IO[bytes]]],
    manifest: ArchiveManifest,
    aside: Path,
    progress: Progress | None,
) -> None:
    working = _Counted(progress, sum(described.size_bytes for described in manifest.members.values()))
    awaited = dict(manifest.members)
    for member, content in members:
        described = awaited.pop(member.name, None)
        if described is None:
            raise ArchiveError(f"member {member.name[:100]!r} is not in its manifest, or there twice")
        if member.size != described.size_bytes:
            raise ArchiveError(f"{member.name}: {member.size} bytes, its manifest says {described.size_bytes}")
        with durable.new_file(aside / member.name) as out:
            digest = _copy(content, out, working)
        if digest != described.sha256:
            raise ArchiveError(f"{member.name}: its SHA-256 is not the one in the manifest: its bytes were altered")
    if awaited:
        raise ArchiveError(f"{min(awaited)} is missing: the archive is not whole")


def _copy(content: IO[bytes], out: IO[bytes], working: _Counted) -> str:
    sha256 = hashlib.sha256()
    while data := content.read(CHUNK_BYTES):
        sha256.update(data)
        out.write(data)
        working.add(len(data))
    return sha256.hexdigest()


def _fit_checkpoint(aside: Path, manifest: ArchiveManifest, session_id: str) -> None:
    """Make sure that the checkpoint is one of this session, and give it the session's new id if it has one."""
    path = aside / CHECKPOINT_NAME
    try:
        record = read_record(path, manifest.session_id)
    except DamagedCheckpointError as error:
        raise ArchiveError(f"{CHECKPOINT_NAME} is no record of session {manifest.session_id!r}") from error
    if record is None:
        return
    size_bytes = manifest.members[LOG_NAME].size_bytes
    if record.get("byte_offset", 0) > size_bytes or record["op_count"] > manifest.op_count:
        raise ArchiveError(f"{CHECKPOINT_NAME} covers more than the {manifest.op_count} entries of the archive")
    if session_id != manifest.session_id:
        write_record(path, {**record, "session_id": session_id})
