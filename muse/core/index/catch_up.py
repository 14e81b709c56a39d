"""Keeping the index in step with the log: the recovery loop, and the only place where an index is opened or given up.

`catch_up` takes in what has arrived in the log; `with_index` puts work to an index that knows all of it. The index
never decides: whatever it fails with, it is fed or made anew from the log, and the work is done again. Nothing of that
reaches the caller. A handle is always in one of three states:

    no index    before the first use, after a fork, and after an index failed; the next use opens or makes one
    on disk     `index.db` beside the log
    in memory   no index can be opened or made on disk now; tried again after `retry_seconds`
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from muse.core import options as tuning
from muse.core.errors import MuseError
from muse.core.index.evidence import fits, note_checkpoint
from muse.core.index.file import INDEX_FAULTS, LIES, is_transient, new_in_memory, open_database
from muse.core.index.guard import is_refused
from muse.core.index.rebuild import Progress, fill, replace_index
from muse.core.index.store import Index
from muse.core.options import Options
from muse.core.storage.lines import Lines
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import StaleLocationError
from muse.core.storage.redactions import finish_if_free, read_journal, state_of
from muse.core.storage.scanner import scan
from muse.core.storage.session_dir import INDEX_NAME

Answer = TypeVar("Answer")

CLOSE_WAIT_MS = 100
"""How long closing waits for another connection's transaction."""

WRITE_WAIT_MS = 500
"""How long an append waits for another connection's transaction, if many lines have waited for it already."""

READ_WAIT_MS = 2000
"""How long a read waits for another connection's transaction, before it goes on without the file."""

_BUILD_WAIT_SECONDS = 0.5
"""How long an append or a read waits for somebody else who builds the index and gives no sign of life."""

_REBUILD_WAIT_SECONDS = 5
"""How long whoever wants it made anew waits. A sign comes for every piece of the log, some ten each second."""

_CHECK_EVERY = 256  # after so many appends a writer looks if its index was swapped; reads look every time
_TOGETHER = 8  # so many appends are indexed at once while others write too: they are in each other's way less often
_ATTEMPTS = 4
_FAULTS = (*INDEX_FAULTS, StaleLocationError)

_log = logging.getLogger(__name__)


class CatchUp:
    """One handle's index of its log. Not safe for several threads: its owner locks.

    Invariant: the index knows every terminated line below `end`, in memory at least.
    """

    def __init__(
        self,
        folder: Path,
        log: LogFile,
        observe: Callable[[int], None],
        remember: Callable[[Index], None],
        options: Options | None = None,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """`observe` is told the timestamps that the index knows and that arrive; `remember` is given each new index.
        `finish` finishes a redaction that was cut off, with the log's lock held.
        """
        self._folder = folder
        self._log = log
        self._observe = observe
        self._remember = remember
        self._options = options or tuning.DEFAULT
        self._finish = finish
        self._redactions = state_of(folder)
        self._index: Index | None = None
        self._memory_until = 0.0
        self._rebuild_next = False
        self._appended = 0
        self._is_behind = False
        self.size = 0
        """How many bytes of the log were looked at."""
        self.end = 0
        """Byte offset after the last line of them."""

    # -- what has arrived ---------------------------------------------------------------------------

    @property
    def tail_is_torn(self) -> bool:
        """Whether bytes without a newline follow the last line: a writer died there, or is at work."""
        return self.size > self.end

    def catch_up(self) -> None:
        """Take in every line that has arrived by now.

        Raises:
            LogReplacedError: the log is no longer the file this handle looked at.
        """
        size = self._log.size()
        if size != self.size:
            self._attempt(lambda index: self._take_in(index, size))

    def _take_in(self, index: Index, size: int) -> None:
        for lines in scan(self._log, index.end, size):
            index.demote_duplicates(lines)
            self._observe(max(lines.lamport_ts))
            index.add(lines)
            if index.unwritten_lines >= self._options.max_unwritten_lines:
                index.write(READ_WAIT_MS)
        self.end = index.end
        # An index that others have fed may be ahead of the size that was measured before.
        self.size = max(size, index.end)

    # -- appending ------------------------------------------------------------------------------------

    def find(self, op_id: bytes) -> int | None:
        """The byte offset of the entry with this op_id, as far as has been caught up."""
        index = self._index
        if index is None:
            return self._attempt(lambda index: index.offset_of(op_id)) if self.size else None
        try:
            return index.offset_of(op_id)
        except (*INDEX_FAULTS, *LIES) as error:
            self._discard_index(error)
            return self._attempt(lambda index: index.offset_of(op_id))

    def find_all(self, op_ids: Collection[bytes]) -> dict[bytes, int]:
        """Those of some op_ids whose entries are there, as far as has been caught up, with their byte offsets."""
        return self._attempt(lambda index: index.offsets_of(op_ids)) if self.size else {}

    def index_entry(self, entry: Any, op_id: bytes, byte_offset: int, length: int, checksum: int) -> bool:
        """Take in the line of one entry that this handle has just appended; raises nothing if the index fails.

        False if it does not follow what has been caught up: somebody else wrote in between.
        """
        index = self._index
        if self.size != byte_offset or (index is not None and index.tail.end != byte_offset):
            return False
        self.end = self.size = byte_offset + length
        self._observe(entry["lamport_ts"])
        self._appended += 1
        if index is None:
            self.flush_pending()
            return True
        try:
            index.add_entry(entry, op_id, length, checksum)
            if index.database.wal_is_held or not self._appended % (_TOGETHER if self._is_behind else _CHECK_EVERY):
                self.flush_pending()
            elif not self._is_behind:
                self._is_behind = not index.write_next(entry, length, checksum)
        except (*INDEX_FAULTS, MemoryError) as error:
            self._cannot_write(error)
        return True

    def index_lines(self, lines: Lines) -> bool:
        """`index_entry` for the lines of several entries."""
        index = self._index
        if index is None or index.end != lines.start or self.size != lines.start:
            return False
        self.end = self.size = lines.end
        self._observe(max(lines.lamport_ts))
        self._appended += len(lines)
        try:
            index.add(lines)
        except MemoryError as error:
            self._discard_index(error)
        self.flush_pending()
        return True

    def flush_pending(self) -> None:
        """Try to write what is only in memory; raises nothing if the index fails.

        If another connection is writing, the lines wait for the next try: whoever gets the transaction writes all that
        is missing, so under contention one serves several appends.
        """
        try:
            self._refresh(may_build=False)
            if (index := self._index) is not None:
                are_many = index.unwritten_lines >= self._options.max_unwritten_lines
                if are_many or not index.database.wal_is_held:
                    index.write(WRITE_WAIT_MS if are_many else 0)
                index.database.maybe_wal_checkpoint(self._options.wal_checkpoint_bytes)
            self._is_behind = False
        except (*_FAULTS, OSError, MuseError, MemoryError) as error:
            self._cannot_write(error)

    def _cannot_write(self, error: Exception) -> None:
        busy = isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
        index, most = self._index, self._options.max_unwritten_lines
        if busy and index is not None and index.database.is_usable and index.unwritten_lines < most:
            self._is_behind = True
            _log.debug("%s: busy, %d lines wait to be indexed", self._folder, index.unwritten_lines)
        else:
            self._discard_index(error)

    # -- asking ---------------------------------------------------------------------------------------

    def with_index(self, work: Callable[[Index], Answer]) -> Answer:
        """Do `work` with an index that knows every line that was caught up with."""

        def patiently(index: Index) -> Answer:
            # An append before has set it to nothing, and whoever closes an index last locks it for a moment.
            index.database.wait_up_to(READ_WAIT_MS)
            return work(index)

        self._refresh()
        return self._attempt(patiently)

    def _attempt(self, work: Callable[[Index], Answer]) -> Answer:
        """The recovery loop: if the index fails, get another one and do the work again."""
        size, attempt = self.size, 0
        while True:
            try:
                index = self._index or self._open(in_memory=attempt >= _ATTEMPTS // 2)
                # Another index may know less than was looked at before.
                if index.end < self.end:
                    self._take_in(index, size)
                return work(index)
            except (*_FAULTS, *LIES) as error:
                # Of a redaction there comes an end: each takes longer than to try again.
                attempt += not self._is_redacted_since()
                if isinstance(error, MuseError) or attempt == _ATTEMPTS:
                    raise
                self._discard_index(error)

    def is_untouched(self) -> bool:
        """Whether there is neither a line nor an index: nothing was ever recorded here."""
        return self.size == 0 and not (self._folder / INDEX_NAME).exists()

    def note_checkpoint(self, byte_offset: int, record: Mapping[str, Any], *, replaces: bool = False) -> None:
        """Let the index remember a checkpoint that was made or read; raises nothing."""
        with suppress(*_FAULTS, OSError, MuseError):
            self.with_index(
                partial(note_checkpoint, self._log, byte_offset, record, replaces=replaces, wait_ms=READ_WAIT_MS)
            )

    # -- the index's life -----------------------------------------------------------------------------

    def rebuild(self, progress: Progress | None = None, workers: int = 1) -> None:
        """Make the index anew from the log and put it into place.

        Raises:
            sqlite3.Error, OSError: it could not be made; the old one is as it was.
        """
        self._close_index()
        replace_index(self._log, self._remember, _REBUILD_WAIT_SECONDS, self._options, progress, workers)
        self._memory_until = 0.0
        self._refresh()

    def close(self) -> None:
        """Close the index, after a last try to write what is only in memory; what is missing is found in the log."""
        index = self._index
        if index is not None and (index.unwritten_lines or index.database.path is None or self._has_long_tail(index)):
            try:
                if index.database.path is None:
                    self._close_index()
                    self._index = index = self._open_ours()
                if index is not None:
                    self._take_in(index, self.size)
                    index.write(CLOSE_WAIT_MS, fold_from=self._options.long_batch_lines)
            except (*_FAULTS, OSError, MuseError) as error:
                _log.info("%s: closed with an index that is behind (%s)", self._folder, error)
        self._close_index()
        self.size = self.end = 0

    def close_for_good(self) -> None:
        """Close index and log."""
        self.close()
        self._log.close_for_good()

    def _has_long_tail(self, index: Index) -> bool:
        """Whether this handle has made a tail that is worth folding: the next one to open it has less to read then."""
        return self._appended > 0 and len(index.tail) >= self._options.long_batch_lines

    def suspend(self) -> None:
        """Close the index; it is opened again when it is needed."""
        self._close_index()

    def start_over(self) -> None:
        """Look at everything anew: after an interrupt, what is in memory may be half of what it should be."""
        self.size = self.end = 0
        self._close_index()

    def leave_to_parent(self, *, in_use: bool) -> None:
        """In a forked child: open everything anew. `in_use`: the parent was using its index, which is not touched."""
        index, self._index = self._index, None
        if in_use and index is not None:
            index.database.leave_to_parent()
        # The position of a descriptor is shared with the parent, and one's place in the log is read off it.
        self._log.close()
        self.size = self.end = 0

    def _refresh(self, *, may_build: bool = True) -> None:
        """Have an index, and the one that lies beside the log now.

        If there is none, an append goes on with what it has: a file that was deleted is as good as before for whoever
        has it open.
        """
        if (index := self._index) is not None:
            retry = index.database.path is None and time.monotonic() >= self._memory_until
            is_right = index.database.is_current() and not retry
            if index.database.is_usable and (is_right or not (may_build or (self._folder / INDEX_NAME).exists())):
                return
            self._close_index()
        self._attempt(lambda _index: None)

    def finish_redaction(self, *, is_locked: bool = False) -> None:
        """Finish one that was cut off, if there is one. `is_locked`: the log's lock is held, failures are raised."""
        if read_journal(self._folder) is not None:
            self._close_index()
            (self._finish if is_locked else partial(finish_if_free, self._log, self._finish, INDEX_FAULTS))()

    def _open(self, *, in_memory: bool) -> Index:
        self.finish_redaction()
        self._redactions = state_of(self._folder)
        index = None if in_memory or time.monotonic() < self._memory_until else self._open_on_disk()
        if index is None:
            began = time.monotonic()
            index = fill(new_in_memory(), self._log, self._options)
            # Scanning a large log again and again would be worse than a late return to the disk.
            self._memory_until = time.monotonic() + max(self._options.retry_seconds, 20 * (time.monotonic() - began))
        self._observe(index.highest_lamport_ts)
        self._index = index
        if self._is_redacted_since():
            raise StaleLocationError("an operation was redacted while the index was opened or made")
        return index

    def _open_on_disk(self) -> Index | None:
        try:
            index = None if self._rebuild_next else self._open_ours()
            if index is None:
                replace_index(self._log, self._remember, _BUILD_WAIT_SECONDS, self._options)
                index = self._open_ours()
            self._rebuild_next = False
        except (*_FAULTS, OSError) as error:
            _log.warning("%s: no index on disk (%s); one in memory serves instead", self._folder, error)
            return None
        return index

    def _open_ours(self) -> Index | None:
        """The index on disk, if there is one and it is sound and this log's.

        Raises:
            sqlite3.OperationalError, OSError: it is there but can't be opened now.
        """
        database = open_database(self._folder)
        if database is None:
            return None
        try:
            database.wait_up_to(READ_WAIT_MS)
            index = Index(database, self._options)
            if fits(index, self._log):
                return index
        except INDEX_FAULTS as error:
            if isinstance(error, sqlite3.Error) and is_transient(error):
                database.close()
                raise
            _log.warning("%s: the index is not right (%s); it will be rebuilt from the log", self._folder, error)
        except BaseException:
            database.close()
            raise
        database.close()
        return None

    def _discard_index(self, error: Exception) -> None:
        """Stop using the index at hand. A bad moment is waited out in memory; a bad file is rebuilt."""
        if self._is_redacted_since():
            _log.info("%s: an operation was redacted: the index is opened anew", self._folder)
        elif isinstance(error, OSError) or (isinstance(error, sqlite3.Error) and is_transient(error)):
            self._memory_until = time.monotonic() + self._options.retry_seconds
            _log.warning("%s: the index can't be used now (%s)", self._folder, error)
        elif isinstance(error, (MemoryError, sqlite3.ProgrammingError)) or is_refused(error):
            # Memory is short, or an interrupt has closed the connection, or came while it was asked what it may do.
            _log.warning("%s: the index is opened anew (%s)", self._folder, type(error).__name__)
        else:
            self._rebuild_next = True
            _log.warning("%s: the index is not right (%s); it will be rebuilt from the log", self._folder, error)
        self._close_index()

    def _is_redacted_since(self) -> bool:  # since the index was opened: then a line is another, and rightly
        return state_of(self._folder) != self._redactions

    def _close_index(self) -> None:
        # Forgotten last: if this is interrupted, it is closed again by `start_over`.
        if self._index is not None:
            self._index.database.close()
            self._index = None
