"""The system calls that make bytes durable; each function says what it promises and what it does not.

Whatever is made under a new name is written aside, flushed and renamed: it appears whole, or not at all.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from muse.core.errors import AppendError, SyncError
from muse.core.storage.descriptor import open_descriptor

# O_EXCL and O_NOFOLLOW: never write through a link that somebody laid here.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def append_bytes(fd: int, data: bytes | bytearray, path: Path) -> None:
    """Append `data` with one `write(2)` on an `O_APPEND` descriptor.

    When it returns, the bytes are in the kernel: they survive the death of this process, not of the machine. On a local
    file system they are not interleaved with another process's append; on NFS they may be. If it fails or is short,
    an `AppendError`: nothing is acknowledged.

    A short write (disk or quota full, file size limit) leaves a fragment. Writing "the rest" could put another line in
    between, so a newline makes the fragment one damaged line.
    """
    try:
        written = os.write(fd, data)
    except OSError as error:
        raise AppendError(
            error.errno, f"can't be written, nothing was acknowledged: {error.strerror}", str(path)
        ) from error
    if written == len(data):
        return
    # If there is no room even for the newline, the next append finds the torn tail and ends it.
    with suppress(OSError):
        os.write(fd, b"\n")
    raise AppendError(
        errno.ENOSPC,
        f"only {written} of {len(data)} bytes could be written (disk, quota or file size limit); "
        "nothing was acknowledged: make room and append again",
        str(path),
    )


def sync_file(fd: int, path: Path) -> None:
    """`fsync(2)`: the file's bytes and size survive power loss, as far as the disk keeps its word; or a `SyncError`.

    After it has *failed* the kernel may have dropped the dirty pages and marked them clean, so a second fsync that
    succeeds proves nothing (https://wiki.postgresql.org/wiki/Fsync_Errors): it is never retried.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncError(
            error.errno,
            f"fsync failed ({error.strerror}): whether the last entries are durable is unknown; open the "
            "session anew and append them again, entries that did arrive are not doubled",
            str(path),
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names created, renamed or removed in a folder survive power loss."""
    with open_descriptor(folder, os.O_RDONLY | os.O_DIRECTORY) as opened:
        sync_file(opened.fileno(), folder)


def sync_names(path: Path, levels: int) -> None:
    """Make the last `levels` names of `path` survive power loss, whoever made them.

    Not those in a folder that may not be read: nobody with our rights could make a name in it durable.
    """
    for folder in path.parents[:levels]:
        with suppress(PermissionError):
            sync_folder(folder)


def make_folders(folder: Path) -> int:
    """Create `folder` and its missing parents, whose names may not survive power loss yet; how many were missing."""
    if folder.is_dir():
        return 0
    missing = make_folders(folder.parent) + 1
    with suppress(FileExistsError):
        folder.mkdir()
    return missing


@contextmanager
def _rename_at_end(aside: Path, path: Path, remove: Callable[[Path], None] = os.unlink) -> Iterator[None]:
    """Give what the block makes at `aside` the name `path`, and make that durable; if it fails, `remove` what is left.

    A `FileExistsError` if a file, or a folder that is not empty, is in the way of a folder.
    """
    try:
        yield
        _rename(aside, path)
    except BaseException:
        with suppress(OSError):
            remove(aside)
        raise
    sync_folder(path.parent)


def _rename(aside: Path, path: Path) -> None:
    try:
        os.rename(aside, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        raise


def take_rights(fd: int, log_path: Path) -> None:
    """Give a file of ours the mode and the group of the log, so that private stays private; its owner may write it."""
    with suppress(FileNotFoundError):
        log = os.stat(log_path)
        mode = stat.S_IMODE(log.st_mode) & 0o666 | 0o600
        if os.fstat(fd).st_gid != log.st_gid:
            try:
                os.fchown(fd, -1, log.st_gid)
            except PermissionError:
                # Our own group has no part in the log.
                mode &= ~0o060
        os.fchmod(fd, mode)


def clear_aside(path: Path) -> Path:
    """Where `replace_file` puts what is to become `path`; what a crash left there is removed, under the same lock."""
    aside = path.with_name(f"{path.name}.tmp")
    with suppress(FileNotFoundError):
        aside.unlink()
    return aside


def replace_file(path: Path, data: bytes, log_path: Path) -> None:
    """Replace the content of `path`, under a lock that keeps other writers of it away; it gets the log's rights.

    A reader sees the old content or the new, never a mixture, and after power loss it is one of the two. The file
    aside has one fixed name, so that a crash leaves at most one, which the next call removes.
    """
    aside = clear_aside(path)
    with open_descriptor(aside, _NEW) as file, _rename_at_end(aside, path):
        take_rights(file.fileno(), log_path)
        # A failure names the file that the user knows.
        append_bytes(file.fileno(), data, path)
        sync_file(file.fileno(), path)


def overwrite(path: Path, pieces: Iterable[tuple[int, bytes]]) -> None:
    """Write bytes over others of a file, each piece where its byte offset says; when it returns they are durable.

    Who is killed meanwhile, or loses power, leaves each byte as it was or as it was to be: whoever calls it writes down
    first what he does, so that it can be done again. Raises as `sync_file`; here again is right after that, too, since
    all is written anew.
    """
    # Without O_APPEND: with it, Linux appends what pwrite(2) is given, wherever it was to go.
    with open_descriptor(path, os.O_WRONLY | os.O_NOFOLLOW) as file:
        for at, data in pieces:
            written = 0
            while written < len(data):
                written += os.pwrite(file.fileno(), memoryview(data)[written:], at + written)
        sync_file(file.fileno(), path)


def remove_file(path: Path) -> None:
    """Remove a file, so that it stays away after power loss; nothing happens if it is not there."""
    with suppress(FileNotFoundError):
        path.unlink()
        sync_folder(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that was not there; its bytes survive power loss when the block ends well, its name may not."""
    # "x" follows no link either.
    with open(path, "xb") as file:
        yield file
        file.flush()
        # Not `sync_file`, which speaks of entries: here nothing was acknowledged, so a failure loses nothing.
        os.fsync(file.fileno())


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Iterator[Path]:
    """An empty file to fill, which takes the name `path` when the block ends well; if not, nothing is left.

    A process that is killed leaves the aside file, whose name begins with a dot. Raises as `_refuse_to_replace`.
    """
    _refuse_to_replace(path, replace=replace)
    aside = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}.tmp")
    with _rename_at_end(aside, path):
        try:
            open_descriptor(aside, _NEW).close()
        except OSError as error:
            error.filename = str(path)
            raise
        yield aside
        with open(aside, "rb") as filled:
            os.fsync(filled.fileno())
        _refuse_to_replace(path, replace=replace)


def _refuse_to_replace(path: Path, *, replace: bool) -> None:
    """Raise `FileExistsError` if something at `path` must stay: anything, or with `replace` all but regular files."""
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if not stat.S_ISREG(mode):
            raise FileExistsError(errno.EEXIST, "exists and is not a regular file", str(path))


@contextmanager
def new_folder(folder: Path, prefix: str, levels: int) -> Iterator[Path]:
    """A folder to fill by `new_file`, which takes the name `folder` when the block ends well; if not, nothing is left.

    Not even the parents that were missing. A process that is killed leaves the aside folder, whose name begins with
    `prefix`. When the block has ended well, at least the last `levels` names of `folder` survive power loss. A
    `FileExistsError` if there is something at `folder` other than an empty folder.
    """
    from shutil import rmtree  # noqa: PLC0415 - loads every compressor there is

    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        make_folders(folder.parent)
        sync_names(folder.parent, max(levels - 1, len(made)))
        aside = folder.with_name(prefix + os.urandom(8).hex())
        with _rename_at_end(aside, folder, partial(rmtree, ignore_errors=True)):
            aside.mkdir()
            yield aside
            sync_folder(aside)
    except BaseException:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        raise


def read_small_file(path: Path, limit_bytes: int) -> bytes:
    """The content of `path`, at most `limit_bytes` of it; not through a symbolic link."""
    with open_descriptor(path, os.O_RDONLY | os.O_NOFOLLOW) as file:
        try:
            return os.read(file.fileno(), limit_bytes)
        except OSError as error:
            error.filename = str(path)
            raise
