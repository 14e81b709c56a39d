"""Summaries that were made before: nothing of a session is opened while none of its files has changed.

One file for a repository, `.muse/op_log/.summaries.json`: derived, disposable, and no part of any session. A summary
counts only while inode, size and both times of the log, the checkpoint and the index are what they were. It is not
kept if one of them changed so shortly before that the next change might bear the same time.
"""

from __future__ import annotations

import logging
import os
import time
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from muse.core.storage import durable
from muse.core.storage.session_dir import CHECKPOINT_NAME, INDEX_NAME, LOG_NAME

_NAME = ".summaries.json"
_FORMAT = 2
_MAX_BYTES = 64 << 20
_SETTLED_NS = 100_000_000
"""How long ago the last change must be; file systems tell times in steps of some milliseconds."""

_log = logging.getLogger(__name__)

Stamp = list[list[int] | None]
"""(inode, size, mtime, ctime) of the log, the checkpoint and the index; None for a file that is not there."""


def stamp_of(folder: Path) -> Stamp:
    """What the files of a session are now, by one `stat` each."""
    found: Stamp = [None, None, None]
    for number, name in enumerate((LOG_NAME, CHECKPOINT_NAME, INDEX_NAME)):
        with suppress(FileNotFoundError):
            status = os.stat(f"{folder}/{name}", follow_symlinks=False)
            found[number] = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    return found


class SummaryCache:
    """The summaries of one repository, as dicts, by the names of the sessions' folders."""

    def __init__(self, root: Path) -> None:
        """`root` is the folder that holds every session."""
        self._path = root / _NAME
        self._began_ns = time.time_ns()
        self._known = self._read()
        self._kept: dict[str, Any] = {}

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, TypeError):
            body, _, checksum = durable.read_small_file(self._path, _MAX_BYTES).rpartition(b"\n")
            if zlib.crc32(body) == int(checksum, 16):
                format_version, known = orjson.loads(body)
                return known if format_version == _FORMAT else {}
        return {}

    def get(self, name: str, stamp: Stamp) -> Any:
        """The summary of a session whose files are as they were; None if there is none."""
        known = self._known.get(name)
        if known is None or known[0] != stamp:
            return None
        self._kept[name] = known
        return known[1]

    def keep(self, name: str, stamp: Stamp, summary: dict[str, Any]) -> None:
        """Remember a summary that was made while the files were as `stamp` tells, before and after."""
        if all(each is None or each[3] < self._began_ns - _SETTLED_NS for each in stamp):
            self._kept[name] = (stamp, summary)

    def save(self) -> None:
        """Write what is new; does nothing if the folder can't be written to."""
        if self._kept == self._known:
            return
        body = orjson.dumps((_FORMAT, self._kept))
        aside = self._path.with_name(f"{_NAME}.{os.urandom(8).hex()}.tmp")
        try:
            # For nobody else: a session may be private.
            with open(aside, "xb", opener=partial(os.open, mode=0o600)) as file:
                file.write(body + b"\n%08x" % zlib.crc32(body))
            os.rename(aside, self._path)
        except BaseException as error:
            with suppress(OSError):
                aside.unlink()
            if not isinstance(error, OSError):
                raise
            _log.debug("%s: not written (%s)", self._path, error)
