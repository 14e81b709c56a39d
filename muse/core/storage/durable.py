"""The system calls that make bytes durable, and what each does and does not promise.

`append_bytes`   one `write(2)` on an `O_APPEND` descriptor. When it returns, the bytes are in the
                 kernel: they survive the death of this process, not of the machine. On a local file
                 system they are not interleaved with another process's append; on NFS they may be.
`sync_file`      `fsync(2)`. When it returns, the file's bytes and size survive power loss, as far as
                 the disk keeps its word. After it has *failed* the kernel may have dropped the dirty
                 pages and marked them clean, so a second fsync that succeeds proves nothing
                 (https://wiki.postgresql.org/wiki/Fsync_Errors): it is never retried.
`sync_folder`    makes a created, renamed or removed name in that folder survive power loss.
`replace_file`   a reader sees the old content or the new, never a mixture, and after power loss it is
                 one of the two. Write aside, fsync, rename, fsync the folder.
`new_file`       a file that was not there; its bytes survive power loss when the block ends, its name does not.
`whole_file`     a file that appears under its name when all of it is written and survives power loss.
`new_folder`     the same of a folder with the files in it: it appears whole, or not at all.
`exclusive_lock` an advisory lock on the session's folder (whoever opens or swaps the index) or on
                 its log (whoever makes a checkpoint), so that no lock file has to lie about. Nobody
                 takes the log's while holding the folder's. Appending never takes either.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from muse.core.errors import AppendError, SyncError

# O_EXCL and O_NOFOLLOW: never write through a link that somebody laid here.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def append_bytes(fd: int, data: bytes | bytearray, path: Path) -> None:
    """Append `data` with one `write(2)`; all of it is in the kernel when this returns.

    A short write (disk or quota full, file size limit) leaves a fragment. Writing "the rest" could
    put another process's line in between, so the fragment is closed with a newline, which makes it
    one damaged line, and the whole write is reported as failed.

    Raises:
        AppendError: the write failed or was short; nothing of `data` is acknowledged.
    """
    try:
        written = os.write(fd, data)
    except OSError as error:
        raise AppendError(
            error.errno, f"append failed, nothing was acknowledged: {error.strerror}", str(path)
        ) from error
    if written == len(data):
        return
    # Where there is no room even for the newline, the next append finds the torn tail and seals it.
    with suppress(OSError):
        os.write(fd, b"\n")
    raise AppendError(
        errno.ENOSPC,
        f"only {written} of {len(data)} bytes could be written (disk, quota or file size limit); "
        "nothing was acknowledged: make room and append again",
        str(path),
    )


def sync_file(fd: int, path: Path) -> None:
    """Flush the file's bytes to stable storage.

    Raises:
        SyncError: durability of everything written since the last good sync is unknown.
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
    """Flush the folder's names, so that files created in or renamed into it survive power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_file(fd, folder)
    finally:
        os.close(fd)


def make_folders(folder: Path, *, durable: bool) -> None:
    """Create `folder` and its missing parents; with `durable`, each new name survives power loss."""
    missing = []
    step = folder
    while not step.is_dir():
        missing.append(step)
        step = step.parent
    for new in reversed(missing):
        with suppress(FileExistsError):
            new.mkdir()
        if durable:
            sync_folder(new.parent)


def replace_file(path: Path, data: bytes) -> None:
    """Atomically replace the content of `path`; when this returns it survives power loss.

    The caller holds a lock that keeps other writers of `path` away: the aside file has one fixed
    name, so that a crash leaves at most one, which the next call removes.
    """
    aside = path.with_name(f"{path.name}.tmp")
    with suppress(FileNotFoundError):
        aside.unlink()
    fd = os.open(aside, _NEW, 0o666)
    try:
        try:
            append_bytes(fd, data, aside)
            sync_file(fd, aside)
        finally:
            os.close(fd)
        os.rename(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that was not there; its bytes survive power loss when the block ends well."""
    with open(os.open(path, _NEW, 0o666), "wb") as file:
        yield file
        file.flush()
        # Not `sync_file`, which speaks of entries: here nothing was acknowledged, so a failure loses nothing.
        os.fsync(file.fileno())


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """A file to write that takes the name `path` when the block ends well, and then survives power loss.

    Where the block fails nothing is left. A process that is killed leaves its aside file, whose name begins
    with a dot.

    Raises:
        FileExistsError: there is something at `path`, and not `replace`, or it is no plain file.
    """
    refuse_to_replace(path, replace=replace)
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with new_file(aside) as file:
            yield file
        refuse_to_replace(path, replace=replace)
        os.rename(aside, path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    sync_folder(path.parent)


def refuse_to_replace(path: Path, *, replace: bool) -> None:
    """Raise `FileExistsError` where something at `path` must stay: anything, or with `replace` all but plain files."""
    with suppress(FileNotFoundError):
        if not replace:
            os.lstat(path)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "is there and no plain file", str(path))


@contextmanager
def new_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """A folder to fill with files by `new_file`, which takes the name `folder` when the block ends well.

    Its names and its own then survive power loss. Where the block fails nothing is left. A process that is killed
    leaves the aside folder, whose name begins with `prefix`.

    Raises:
        FileExistsError: there is something at `folder` other than an empty folder.
    """
    make_folders(folder.parent, durable=True)
    aside = folder.with_name(prefix + secrets.token_hex(8))
    aside.mkdir()
    try:
        yield aside
        sync_folder(aside)
        try:
            os.rename(aside, folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder)) from None
            raise
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def read_small_file(path: Path, limit_bytes: int) -> bytes:
    """The content of `path`, at most `limit_bytes` of it; not through a symbolic link."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(fd, limit_bytes)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(fd)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the exclusive advisory lock (`flock(2)`) on a folder or file that exists; waits for it.

    Each call opens its own descriptor, so the lock also excludes other threads of this process.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


@contextmanager
def try_exclusive_lock(path: Path) -> Iterator[bool]:
    """Like `exclusive_lock`, but yields False at once where somebody else holds it."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
