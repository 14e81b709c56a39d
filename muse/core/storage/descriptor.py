"""A file descriptor as an object that owns it: whatever interrupts the program, none stays open that nobody uses."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from pathlib import Path
from typing import Any

# Objects of C that close what they own when they are dropped and ask nothing of it; io.FileIO takes no folder.
if sys.platform == "linux":
    _own = select.epoll.fromfd
else:
    _own = select.kqueue.fromfd


class Descriptor:
    """An open folder or file. It is closed when it is dropped."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def fileno(self) -> int:
        """The descriptor; -1 when it is closed."""
        return -1 if self._owner.closed else int(self._owner.fileno())

    def close(self) -> None:
        """Close it; a second time does nothing."""
        self._owner.close()

    def __enter__(self) -> Descriptor:
        return self

    def __exit__(self, _kind: object, _error: object, _trace: object) -> None:
        self.close()


def open_descriptor(path: Path, flags: int) -> Descriptor:
    """Open a folder or a file. What could make a reader wait, such as a FIFO in a file's place, is not waited for.

    Raises:
        OSError: it can't be opened, or is a FIFO.
    """
    flags |= os.O_CLOEXEC | os.O_NONBLOCK
    # `map` calls one from the other. Between two calls from Python a signal handler may raise, and the number of what
    # was opened would be lost.
    descriptor = Descriptor(next(map(_own, map(os.open, [path], [flags], [0o666]))))
    if stat.S_ISFIFO(os.fstat(descriptor.fileno()).st_mode):
        raise OSError(errno.EINVAL, "is a FIFO, not a regular file: remove it", str(path))
    return descriptor
