"""The log and its index kept in step, whatever befalls the index.

`look` takes in what has arrived in the log since the last look; `ask` puts a question to an index
that covers everything looked at. Between the two stands the rule that the index never decides:
locked, it is fed later; damaged, foreign or behind, it is fed or rebuilt from the log; impossible to
keep on disk, it is kept in memory. All of that is logged, none of it reaches the caller.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from muse.core.clock import LamportClock
from muse.core.errors import MuseError
from muse.core.old_index.index import INDEX_FAULTS, SEGMENT_LINES, Index
from muse.core.old_index.index_evidence import see_checkpoint
from muse.core.old_index.index_file import is_transient, make_index, open_in_memory, open_index
from muse.core.old_index.index_query import folded_among, folded_at, highest_lamport_ts, tail_op_ids
from muse.core.storage.log_file import LogFile
from muse.core.storage.record import DamagedIndexError, Row, duplicate_of
from muse.core.storage.scanner import describes, scan_rows
from muse.core.storage.session_dir import INDEX_NAME

Answer = TypeVar("Answer")
Asked = TypeVar("Asked")
Progress = Callable[[int, int], None]
"""Called with (done, total) while a long piece of work goes on."""

CLOSE_WAIT_MS = 100
"""How long closing waits for another connection's transaction."""

READ_WAIT_MS = 2000
"""How long a read waits for another connection's transaction, before it goes on without the file."""

RETRY_SECONDS = 1.0
"""How long an index in memory is used, at least, before the one on disk is tried again."""

MAX_UNINDEXED = 4 * SEGMENT_LINES
"""How many lines may wait for a locked index before an append waits with them."""

_CHECK_EVERY = 256
"""After how many appends a writer looks whether its index was swapped; reads look every time."""

_ATTEMPTS = 4

_log = logging.getLogger(__name__)


class StaleIndexError(Exception):
    """A row of the index does not describe the line it points at."""


_byte_offset_of, _lamport_ts_of, _op_id_of = itemgetter(0), itemgetter(3), itemgetter(4)
_INDEX_TROUBLE = (*INDEX_FAULTS, StaleIndexError)


class Sidecar:
    """One handle's knowledge of its log, and its index. Not safe for several threads: its owner locks.

    Invariants: every terminated line below `end` has been looked at; each entry below `end` is in
    `_op_ids` or in the folded part of the index; each row below `end` is in `_unindexed` or has been
    in the index.
    """

    def __init__(self, folder: Path, log: LogFile, clock: LamportClock) -> None:
        self._folder = folder
        self._log = log
        self._clock = clock
        self._index: Index | None = None
        self._memory_until = 0.0
        self._rebuild_next = False
        self._settled = 0
        self._reset()

    def _reset(self) -> None:
        self.end = 0
        self.size = 0
        self._op_ids: dict[bytes, int] = {}
        self._unindexed: list[Row] = []

    # -- what has arrived ---------------------------------------------------------------------------

    @property
    def tail_is_torn(self) -> bool:
        """Whether bytes without a newline follow the last line: a writer died there, or is at work."""
        return self.size > self.end

    def look(self) -> None:
        """Take in every line that has arrived by now.

        Raises:
            LogReplacedError: the log is no longer the file this handle looked at.
        """
        size = self._log.size()
        if size != self.size:
            self._attempt(self._look_up_to, size)

    def find(self, op_id: bytes) -> int | None:
        """The byte offset of the entry with this op_id, as far as has been looked."""
        if self.size == 0:
            return None
        return self._attempt(self._find, op_id)

    def find_all(self, op_ids: Collection[bytes]) -> dict[bytes, int]:
        """Those of some op_ids whose entries are there, as far as has been looked, with their byte offsets."""
        if self.size == 0:
            return {}
        return self._attempt(self._find_all, op_ids)

    def wrote(self, rows: Sequence[Row]) -> bool:
        """Take in rows that this handle has just appended itself, without reading them back.

        False where they do not follow what has been looked at: somebody else wrote in between, and
        the bytes have to be looked at instead.
        """
        if self.size > self.end or rows[0].byte_offset != self.end:
            return False
        self._op_ids.update(zip(map(_op_id_of, rows), map(_byte_offset_of, rows), strict=True))
        self._clock.observe(max(map(_lamport_ts_of, rows)))
        self._unindexed.extend(rows)
        self.end = self.size = rows[-1].end
        return True

    def settle(self) -> None:
        """Try to index what is not indexed yet; raises nothing, whatever befalls the index.

        Where another connection is writing, the rows wait for the next try: whoever gets the
        transaction feeds all that is missing, so under contention one serves several appends.
        """
        self._settled += 1
        try:
            if self._index is None or self._settled % _CHECK_EVERY == 0:
                self._refresh()
            if self._index is not None:
                self._feed(self._index, READ_WAIT_MS if len(self._unindexed) >= MAX_UNINDEXED else 0)
        except sqlite3.Error as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if busy and len(self._unindexed) < MAX_UNINDEXED:
                _log.debug("%s: busy, %d lines wait to be indexed", self._folder, len(self._unindexed))
            else:
                self._give_up(error)
        except (*_INDEX_TROUBLE, OSError, MuseError) as error:
            self._give_up(error)

    def _look_up_to(self, index: Index, size: int) -> None:
        rows = scan_rows(self._log, self.end, size)
        while piece := list(islice(rows, SEGMENT_LINES)):
            there = self._find_all(index, {row.op_id for row in piece if row.op_id is not None})
            for row in piece:
                if row.op_id is not None:
                    first = there.get(row.op_id, self._op_ids.get(row.op_id))
                    # Another process may have indexed this very line already.
                    if first is not None and first != row.byte_offset:
                        row = Row(*row[:3], problem=duplicate_of(row.op_id, first))  # noqa: PLW2901
                    else:
                        self._know(row)
                self._unindexed.append(row)
                self.end = row.end
            if len(self._unindexed) >= MAX_UNINDEXED:
                self._feed(index, READ_WAIT_MS)
        # An index that others have fed further may be ahead of the size that was measured before.
        self.size = max(size, self.end)

    def _know(self, row: Row) -> None:
        if row.op_id is not None and row.lamport_ts is not None:
            self._op_ids[row.op_id] = row.byte_offset
            self._clock.observe(row.lamport_ts)

    def _find(self, index: Index, op_id: bytes) -> int | None:
        found = self._op_ids.get(op_id)
        return folded_at(index, op_id) if found is None else found

    def _find_all(self, index: Index, op_ids: Collection[bytes]) -> dict[bytes, int]:
        if len(op_ids) == 1:
            (op_id,) = op_ids
            byte_offset = self._find(index, op_id)
            return {} if byte_offset is None else {op_id: byte_offset}
        found = {op_id: self._op_ids[op_id] for op_id in self._op_ids.keys() & op_ids}
        return found | folded_among(index, [op_id for op_id in op_ids if op_id not in found])

    # -- asking ---------------------------------------------------------------------------------------

    def ask(self, question: Callable[[Index], Answer]) -> Answer:
        """Put a question to an index that covers every line looked at."""
        self._refresh()

        return self._attempt(self._covering, question)

    def _covering(self, index: Index, question: Callable[[Index], Answer]) -> Answer:
        self._feed(index, READ_WAIT_MS)
        return question(index)

    def _attempt(self, work: Callable[[Index, Asked], Answer], asked: Asked) -> Answer:
        """Do `work` with an index; where the index fails, get another and do it again."""
        if self._index is not None:
            try:
                return work(self._index, asked)
            except _INDEX_TROUBLE as error:
                self._give_up(error)
        size = max(self.size, self.end)
        for attempt in range(_ATTEMPTS):
            try:
                index = self._index or self._open(in_memory=attempt >= _ATTEMPTS // 2)
                # A fresh index may cover less than was looked at before.
                if self.size < size:
                    self._look_up_to(index, size)
                return work(index, asked)
            except _INDEX_TROUBLE as error:
                if attempt == _ATTEMPTS - 1:
                    raise
                self._give_up(error)
        raise AssertionError("unreachable")

    def _feed(self, index: Index, wait_ms: int) -> None:
        rows = self._unindexed
        if not rows:
            return
        index.wait_up_to(wait_ms)
        if not index.extend(rows):
            # It ends before what it had: made anew or set back by somebody.
            size = self.size
            self._adopt(index)
            self._look_up_to(index, size)
            if self._unindexed and not index.extend(self._unindexed):
                raise DamagedIndexError(f"the index went back to byte {index.covered()} twice")
        self._unindexed.clear()
        if len(self._op_ids) > MAX_UNINDEXED:
            self._op_ids = tail_op_ids(index)

    def is_untouched(self) -> bool:
        """Whether there is neither a line nor an index: nothing was ever recorded here."""
        return self.size == 0 and not (self._folder / INDEX_NAME).exists()

    def witness(self, byte_offset: int, snapshot_id: str) -> None:
        """Let the index remember a checkpoint that was made; raises nothing."""
        try:
            self.ask(lambda index: see_checkpoint(index, byte_offset, snapshot_id))
        except (*_INDEX_TROUBLE, OSError, MuseError) as error:
            _log.warning("%s: the index could not note the checkpoint (%s)", self._folder, error)

    # -- the index's life -----------------------------------------------------------------------------

    def rebuild(self, progress: Progress | None = None) -> None:
        """Make the index anew from the log and swap it in.

        Raises:
            sqlite3.Error, OSError: it could not be made; the old one is as it was.
        """
        self._close_index()
        try:
            index = self._open_ours()
        except (*INDEX_FAULTS, OSError):
            index = None
        if index is not None:
            index.close()
        make_index(self._folder, self._scan(progress), same_log=index is not None)
        self._memory_until = 0.0
        self._refresh()

    def close(self) -> None:
        """Close the index, after a last try to feed it; what it lacks then will be found in the log."""
        behind = self._index is not None and (self._unindexed or self._index.path is None)
        self._close_index()
        if behind:
            try:
                self._feed_before_closing()
            except (*_INDEX_TROUBLE, OSError, MuseError) as error:
                _log.info("%s: closed with an index that is behind (%s)", self._folder, error)
            self._close_index()
        self._reset()

    def _feed_before_closing(self) -> None:
        self._index = self._open_ours()
        if self._index is not None:
            size = self.size
            self._adopt(self._index)
            self._look_up_to(self._index, size)
            self._feed(self._index, CLOSE_WAIT_MS)

    def suspend(self) -> None:
        """Close the index; it is opened again when it is needed."""
        self._close_index()

    def _refresh(self) -> None:
        """Have an index, and the one that lies beside the log now."""
        if self._index is not None:
            retry = self._index.path is None and time.monotonic() >= self._memory_until
            if self._index.is_current() and not retry:
                return
            self._close_index()
        self._attempt(lambda _index, _nothing: None, None)

    def _open(self, *, in_memory: bool) -> Index:
        index = None
        if not in_memory and time.monotonic() >= self._memory_until:
            index = self._open_on_disk()
        if index is None:
            began = time.monotonic()
            index = open_in_memory(self._scan())
            # Scanning a large log again and again would be worse than a late return to the disk.
            now = time.monotonic()
            self._memory_until = now + max(RETRY_SECONDS, 20 * (now - began))
        try:
            self._adopt(index)
        except BaseException:
            index.close()
            raise
        self._index = index
        return index

    def _open_on_disk(self) -> Index | None:
        try:
            index = self._open_ours()
            if self._rebuild_next or index is None:
                if index is not None:
                    index.close()
                make_index(self._folder, self._scan(), same_log=index is not None)
                index = open_index(self._folder)
            self._rebuild_next = False
        except (*INDEX_FAULTS, OSError) as error:
            _log.warning("%s: no index on disk (%s); one in memory serves instead", self._folder, error)
            return None
        return index

    def _open_ours(self) -> Index | None:
        """The index on disk, where there is one and it is this log's."""
        index = open_index(self._folder)
        if index is None:
            return None
        try:
            ours = fits(index, self._log)
        except BaseException:
            index.close()
            raise
        if not ours:
            index.close()
        return index if ours else None

    def _adopt(self, index: Index) -> None:
        """Start from what `index` covers."""
        index.wait_up_to(READ_WAIT_MS)
        # In this order: what others add or fold in between is then in the tail or in the folded part.
        self.end = self.size = index.covered()
        self._op_ids = tail_op_ids(index)
        self._unindexed = []
        self._clock.observe(highest_lamport_ts(index))

    def _give_up(self, error: Exception) -> None:
        """Stop using the index at hand. A bad moment is waited out in memory; a bad file is rebuilt."""
        if isinstance(error, OSError) or (isinstance(error, sqlite3.Error) and is_transient(error)):
            self._memory_until = time.monotonic() + RETRY_SECONDS
            _log.warning("%s: the index can't be used now (%s)", self._folder, error)
        else:
            self._rebuild_next = True
            _log.warning("%s: the index is not right (%s); it will be rebuilt from the log", self._folder, error)
        self._close_index()

    def _close_index(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def _scan(self, progress: Progress | None = None) -> Iterator[Row]:
        size = self._log.size()
        for number, row in enumerate(scan_rows(self._log, 0, size)):
            if progress and number % SEGMENT_LINES == 0:
                progress(row.byte_offset, size)
            yield row
        if progress:
            progress(size, size)


def fits(index: Index, log: LogFile) -> bool:
    """Whether the index is this log's: its first lines and its last ones lie where it says.

    Of two neighbours one is enough: a flipped bit in the other must not look like another log,
    or what the index knows of that line would be forgotten with it.
    """
    for rows in index.boundary_rows():
        # Asked after the rows were read: others may append and index in between.
        size = log.size()
        if rows and (rows[0].end > size or not any(_is_there(row, log) for row in rows) or _lost_its_end(rows[0], log)):
            _log.warning(
                "%s: the index is of another log, or the log was cut: its line at byte %d is not there; the "
                "index will be rebuilt from the log",
                log.path.parent,
                rows[0].byte_offset,
            )
            return False
    return True


def _lost_its_end(row: Row, log: LogFile) -> bool:
    """Whether the row's line has no newline, and an index that knows it is ahead of its log."""
    return log.read(row.end - 1, row.end) != b"\n"


def _is_there(row: Row, log: LogFile) -> bool:
    return describes(row, log.read(max(row.byte_offset - 1, 0), row.end))
