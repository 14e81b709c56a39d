"""`ops.jsonl` as bytes: the append-only file, opened, measured, read by range, appended to.

Invariants: the file is never truncated, and only a redaction overwrites bytes of it (maintenance/redact); an append is
one `write(2)` on an `O_APPEND` descriptor and takes no lock. Nothing here knows what a line means.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from muse.core.errors import AppendError, ClosedLogError, LogReplacedError, SyncError
from muse.core.storage import durable
from muse.core.storage.descriptor import Descriptor, open_descriptor
from muse.core.storage.session_dir import SESSION_DEPTH, reject_symlink_escape

CHUNK_BYTES = 1 << 20
"""How much a scan reads at a time."""


@dataclass
class _Doubt:
    """Bytes of one file that a failed fsync may have lost, although they can still be read."""

    start: int
    end: int
    written_again: set[int] = field(default_factory=set)
    """Where lines in it begin that were written and synced once more since."""


_doubts: dict[tuple[int, int], _Doubt] = {}
"""By device and inode: of all files that this process has failed to sync. No call can tell it of other processes'."""


class LogFile:
    """One handle's view of the file. Not safe for several threads at once: its owner locks.

    Reading opens what is there; the first append creates file and folders.
    """

    def __init__(self, path: Path, *, durable_names: bool) -> None:
        """`durable_names`: the names of new file and folders must survive power loss too."""
        self.path = path
        self._path_text = os.fspath(path)
        self._durable_names = durable_names
        self._descriptor: Descriptor | None = None
        self._fd = -1
        self._appendable = False
        self._is_closed = False
        self._identity: tuple[int, int] = (0, 0)
        self._known_bytes = 0
        self._unsynced_names = 1 + SESSION_DEPTH
        self._synced_bytes = 0

    def size(self) -> int:
        """Bytes in the log, 0 if there is none yet; a `LogReplacedError` if the file is gone, another or shorter."""
        if self._fd < 0 and not self._open_for_reading():
            return 0
        try:
            now = os.stat(self._path_text)
        except FileNotFoundError:
            raise self._replaced("was deleted or moved away") from None
        if (now.st_dev, now.st_ino) != self._identity:
            raise self._replaced("was replaced by another file")
        if now.st_size < self._known_bytes:
            raise self._replaced(f"was cut from {self._known_bytes} to {now.st_size} bytes")
        self._known_bytes = now.st_size
        return now.st_size

    def append(self, data: bytes | bytearray) -> int:
        """Append `data` with one write; returns the byte offset at which it begins.

        Raises as `create` and `durable.append_bytes`; nothing is acknowledged then.
        """
        if not self._appendable:
            self.create()
        durable.append_bytes(self._fd, data, self.path)
        # With O_APPEND the position after a write is the end of one's own bytes, whoever else writes.
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        self._known_bytes = end
        return end - len(data)

    def create(self) -> None:
        """Have the file open for appending; it and its folders are created if they are missing.

        An `AppendError` if it can't be, a `SyncError` if its name may not survive power loss.
        """
        if self._appendable:
            return
        try:
            missing = durable.make_folders(self.path.parent)
            reject_symlink_escape(self.path.parent)
            self._open(os.O_RDWR | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise AppendError(
                error.errno, f"can't be opened for appending: {error.strerror}", str(self.path)
            ) from error
        self._appendable = True
        self._unsynced_names = 1 + max(SESSION_DEPTH, missing)
        if self._durable_names:
            self._sync_names()

    def _sync_names(self) -> None:
        # They may be new, made by this handle or by one that does not sync.
        durable.sync_names(self.path, self._unsynced_names)
        self._unsynced_names = 0

    def sync(self) -> None:
        """Make the log with all that has arrived by now, and the names on the way to it, survive power loss.

        It is created if it is missing. Raises as `create` and `durable.sync_file`.
        """
        if self._fd < 0:
            self.create()
        self._sync_names()
        size = os.fstat(self._fd).st_size
        try:
            durable.sync_file(self._fd, self.path)
        except SyncError:
            # What was durable before an earlier failure still is.
            doubt = _doubts.setdefault(self._identity, _Doubt(self._synced_bytes, 0))
            doubt.end = os.fstat(self._fd).st_size
            raise
        self._synced_bytes = size

    def is_synced(self, byte_offset: int) -> bool:
        """Whether a line that begins here was there at the last `sync`."""
        return byte_offset < self._synced_bytes

    def may_be_lost(self, byte_offset: int) -> bool:
        """Whether an fsync of this process has failed while a line that begins here was there.

        Then no later fsync tells if the line is on the disk (see `durable.sync_file`): it has to be written again.
        """
        doubt = _doubts.get(self._identity)
        return doubt is not None and doubt.start <= byte_offset < doubt.end and byte_offset not in doubt.written_again

    def note_written_again(self, byte_offsets: Iterable[int]) -> None:
        """The lines that begin at these places may no longer be lost: they were written once more, and synced."""
        _doubts[self._identity].written_again.update(byte_offsets)

    def check_not_lost(self, stop: int) -> None:
        """Raise `SyncError` if bytes below `stop` may be lost, which can't all be written again at their place."""
        doubt = _doubts.get(self._identity)
        if doubt is not None and doubt.start < stop:
            raise SyncError(
                errno.EIO,
                f"an fsync of this file has failed, and from byte {doubt.start} on it may not be on the disk: put a "
                "copy of it in its place and open the session anew (muse op-log help recovery)",
                str(self.path),
            )

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop), fewer if the file ends before. An EIO is not corruption: it is raised."""
        data = b""
        try:
            while start < stop and (piece := os.pread(self._fd, min(stop - start, 1 << 30), start)):
                # Nearly always all of it.
                data = data + piece if data else piece
                start += len(piece)
        except OSError as error:
            error.filename = str(self.path)
            raise
        return data

    def copy_to(self, file: IO[bytes], stop: int) -> None:
        """Write the first `stop` bytes into an empty file; if the file system can, both share them on the disk.

        A `LogReplacedError` if the log is shorter.
        """
        done = 0
        # Not on every system, file system or pair of them; what it leaves is written.
        with suppress(AttributeError, OSError):
            while done < stop and (copied := os.copy_file_range(self._fd, file.fileno(), stop - done, done, done)):
                done += copied
        file.seek(done)
        while done < stop:
            data = self.read(done, min(done + CHUNK_BYTES, stop))
            if not data:
                raise self._replaced("was cut")
            done += file.write(data)

    def close(self) -> None:
        """Close the descriptor; the next use opens it again. Everything acknowledged is in the kernel already."""
        # Forgotten first: if this is interrupted, nothing is written into a file that gets the same number.
        descriptor, self._descriptor, self._fd, self._appendable = self._descriptor, None, -1, False
        self._synced_bytes = 0
        if descriptor:
            descriptor.close()

    def close_for_good(self) -> None:
        """Close it, and refuse to open it again: another thread may have waited for its turn."""
        self._is_closed = True
        self.close()

    def _open(self, flags: int) -> None:
        if self._is_closed:
            raise ClosedLogError(f"{self.path}: the log is closed: open it anew")
        self._attach(open_descriptor(self.path, flags | os.O_NOFOLLOW))

    def _open_for_reading(self) -> bool:
        # Asked here and not only when the handle was made: the folder may have been laid since.
        reject_symlink_escape(self.path.parent)
        try:
            self._open(os.O_RDONLY)
        except FileNotFoundError:
            return False
        return True

    def _attach(self, descriptor: Descriptor) -> None:
        status = os.fstat(descriptor.fileno())
        identity = (status.st_dev, status.st_ino)
        if self._fd >= 0 and identity != self._identity:
            raise self._replaced("was replaced by another file")
        self._fd, self._descriptor, self._identity = descriptor.fileno(), descriptor, identity
        if identity in _doubts and status.st_size < _doubts[identity].end:
            # Another file, which has got the number of one that is gone.
            del _doubts[identity]

    def _replaced(self, how: str) -> LogReplacedError:
        return LogReplacedError(
            f"{self.path}: the log {how} while it was open, at byte {self._known_bytes} as last seen: nothing "
            "more is read or written through this handle; restore the file, or open the session anew"
        )


def end_of_last_line(log: LogFile, size: int) -> int:
    """The byte offset after the last newline in the first `size` bytes; 0 if there is none."""
    while size > 0:
        start = max(size - CHUNK_BYTES, 0)
        if newline := log.read(start, size).rfind(b"\n") + 1:
            return start + newline
        size = start
    return 0
