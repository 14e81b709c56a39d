"""The index of one log: what `index.db` holds, and the newest lines in memory.

The index is fed lines and never opens the log, so it can't become a second truth. Its invariants:

1. Segments tile the bytes [0, n) of the log, runs tile the segments, and the tail goes on at n without a gap.
2. Each row and each block has a checksum, which covers where it belongs as well. It is checked when it is first read.
   A run knows the checksums of its segments' rows, so that an old row in a new one's place is noticed too. The
   checksums of runs and their pages cover the factor by which op_ids are hashed in this index, and in no other.
3. Segments and runs are immutable: what was read of them is kept, and never has to be read again.
4. Each op_id is in the tail or in exactly one run.
5. A fold reads n again inside its transaction; if another process has folded, it starts from there.
6. The index never decides. If it fails, it is fed, or made anew from the log (catch_up).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from muse.core import options as tuning
from muse.core.index.blocks.links import FoundEntry, pack_links
from muse.core.index.blocks.op_id_runs import Lookup, Run
from muse.core.index.blocks.segment import DamagedIndexError, Segment, Summary, checked, location, row_checksum
from muse.core.index.file import Database
from muse.core.index.fold import (
    RUN_COLUMNS,
    SEGMENT_COLUMNS,
    SUMMARY_WIDTH,
    end_of_segment,
    page_checksum,
    write_segment,
)
from muse.core.index.tail import COVERED, delete_rows, insert_next, insert_rows, read_tail
from muse.core.options import Options
from muse.core.storage.lines import Lines, Location, duplicate_of

Answer = TypeVar("Answer")

_ROWS_AT_ONCE = 64
_FEW = 4  # up to so many op_ids are looked up one by one, which takes less time then
_BLOCKS = ("columns", "op_ids", "links")


class Index:
    """What one handle knows of an index, and the connection through which it learns the rest.

    Not safe for several threads at once: its owner locks. Several processes may each have one on the same file.
    Methods let `sqlite3.Error` and `DamagedIndexError` through; the owner decides what they mean.
    """

    def __init__(self, database: Database, options: Options | None = None) -> None:
        """Read what leads to everything else: the runs and the tail."""
        self.database = database
        self._options = options or tuning.DEFAULT
        self.connection = database.connection
        self._segments: OrderedDict[int, Segment] = OrderedDict()
        self._rows: dict[int, tuple[Summary, tuple[int, ...]]] = {}
        self.runs: list[Run] = []
        self.tail = Lines(0)
        self.tail_op_ids: dict[bytes, int] = {}
        """The byte offsets of the tail's entries."""
        self.written_end = 0
        """How far `index.db` is known to reach; the lines of the tail from there on are only in memory."""
        self.refresh()

    def refresh(self) -> None:
        """Read the runs and the tail anew."""
        with self.database.snapshot():
            self._read_runs()
            self._use_tail(read_tail(self.connection, self.folded_end))
        self.written_end = self.tail.end

    def _use_tail(self, tail: Lines) -> None:
        self.tail = tail
        self.tail_op_ids = {op_id: at for op_id, at in zip(tail.op_ids, tail.offsets, strict=True) if op_id}

    # -- what it covers -------------------------------------------------------------------------------

    @property
    def end(self) -> int:
        """n, if it knows the bytes [0, n) of the log, on disk or in memory."""
        return self.tail.end

    @property
    def folded_end(self) -> int:
        """The byte offset at which the tail begins."""
        return self.runs[-1].summary.end_offset if self.runs else 0

    @property
    def entries(self) -> int:
        """How many entries it knows."""
        return sum(run.summary.entries for run in self.runs) + len(self.tail) - len(self.tail.problems)

    @property
    def highest_lamport_ts(self) -> int:
        """The highest timestamp it knows; 0 if there is none."""
        return max(max(self.tail.lamport_ts, default=0), *(run.summary.highest_lamport_ts or 0 for run in self.runs), 0)

    # -- runs and segments ----------------------------------------------------------------------------

    def _read_runs(self) -> None:
        rows = self.connection.execute(f"SELECT {RUN_COLUMNS}, row_checksum, directory FROM run ORDER BY first_segment")
        runs: list[Run] = []
        segments, end, entries = 1, 0, 0
        known = {(run.first_segment, run.segments): run for run in self.runs}
        for *row, found, directory in rows:
            if row_checksum((*row, self.database.op_id_hash.digits)) != found:
                raise DamagedIndexError(f"the run from segment {segments} on is altered")
            summary = Summary(*row[1 : 1 + SUMMARY_WIDTH])
            checked(directory, row[-2], f"the directory of the run from segment {segments} on")
            run = self.new_run(row[0], summary, directory, row[-1])
            if (run.first_segment, summary.first_offset, summary.entries_before) != (segments, end, entries):
                raise DamagedIndexError(f"the run from segment {segments} on is missing")
            segments, end = run.end_segment, summary.end_offset
            entries += summary.entries
            runs.append(known.get((run.first_segment, run.segments), run))
        self._use_runs(runs)

    def _use_runs(self, runs: list[Run]) -> None:
        self.runs = runs
        self._lookup = Lookup(runs)

    def new_run(self, first_segment: int, summary: Summary, directory: bytes, block: bytes | int) -> Run:
        """A run of this index: with its block or, if that is not loaded yet, with the block's checksum."""
        load = partial(self._load_block, block) if isinstance(block, int) else lambda _run: block
        return Run(first_segment, summary, directory, load, self._load_page)

    def _load_block(self, expected: int, run: Run) -> bytes:
        found = self.connection.execute(
            "SELECT block FROM run WHERE first_segment = ?", (run.first_segment,)
        ).fetchone()
        return checked(found and found[0], expected, f"the block of the run from segment {run.first_segment} on")

    def _load_page(self, run: Run, page: int) -> bytes:
        key = (run.first_segment, run.end_segment, page)
        found = self.connection.execute(
            "SELECT row_checksum, content FROM run_page WHERE first_segment = ? AND end_segment = ? AND page = ?", key
        ).fetchone()
        factor = self.database.op_id_hash.digits
        if found is None or type(found[1]) is not bytes or page_checksum(key, factor, found[1]) != found[0]:
            raise DamagedIndexError(f"page {page} of the run from segment {run.first_segment} on is missing or altered")
        return found[1]

    def run_of(self, number: int) -> Run:
        """The run that covers segment `number`."""
        return self.runs[bisect_right(self.runs, number, key=lambda run: run.first_segment) - 1]

    def number_at(self, byte_offset: int) -> int:
        """The number of the segment in which a byte below the tail lies."""
        at = bisect_right(self.runs, byte_offset, key=lambda run: run.summary.first_offset) - 1
        return self.runs[at].segment_at(byte_offset)

    def segment_numbers(self) -> range:
        """The numbers of all segments."""
        return range(1, self.runs[-1].end_segment if self.runs else 1)

    def segment(self, number: int) -> Segment:
        """Segment `number`."""
        if segment := self._segments.get(number):
            self._segments.move_to_end(number)
            return segment
        summary, checksums = self._row(number, range(number, number + 1))
        load = partial(self._load_segment_block, number, dict(zip(_BLOCKS, checksums, strict=True)))
        segment = Segment(number, summary, load)
        self._segments[number] = segment
        if len(self._segments) > self._options.max_cached_segments:
            self._segments.popitem(last=False)
        return segment

    def _load_segment_block(self, number: int, expected: dict[str, int], name: str) -> bytes:
        found = self.connection.execute(f"SELECT {name} FROM segment WHERE number = ?", (number,)).fetchone()
        return checked(found and found[0], expected[name], f"the {name} of segment {number}")

    def summary(self, number: int) -> Summary:
        """The summary of segment `number`; its neighbours' are read at once."""
        run = self.run_of(number)
        # A run lists fewer names than a segment may have.
        if run.segments == 1 and run.summary.lists_all():
            return run.summary
        low = number - (number - 1) % _ROWS_AT_ONCE
        return self._row(number, range(low, min(low + _ROWS_AT_ONCE, self.runs[-1].end_segment)))[0]

    def summaries(self, numbers: range) -> Iterator[tuple[int, Summary]]:
        """Number and summary of some segments that follow each other, from front to back or from the end."""
        for at, number in enumerate(numbers):
            # Few at first: perhaps no more are asked for.
            yield number, self._row(number, numbers[at : at + min(at + 2, _ROWS_AT_ONCE)])[0]

    def _row(self, number: int, at_once: range) -> tuple[Summary, tuple[int, ...]]:
        """The summary of a segment and the checksums of its blocks. If it has to be read, so are others at once."""
        if number not in self._rows:
            if len(self._rows) >= self._options.max_cached_summaries:
                self._rows.clear()
            for row in self._segment_rows(min(at_once), max(at_once) + 1):
                self._rows[row[0]] = Summary(*row[1 : 1 + SUMMARY_WIDTH]), row[1 + SUMMARY_WIDTH : -1]
        return self._rows[number]

    def _segment_rows(self, low: int, high: int) -> list[tuple[Any, ...]]:
        """The rows of the segments [low, high) without their blocks, checked; the row's checksum comes last."""
        rows = self.connection.execute(
            f"SELECT {SEGMENT_COLUMNS}, row_checksum FROM segment WHERE number >= ? AND number < ? LIMIT ?",
            (low, high, high - low + 1),
        ).fetchall()
        if len(rows) != high - low:
            raise DamagedIndexError(f"of the segments {low} to {high - 1} it has {len(rows)}")
        for number, row in enumerate(rows, start=low):
            run = self.run_of(number)
            if row[-1] != run.segment_checksums[number - run.first_segment] or row_checksum(row[:-1]) != row[-1]:
                raise DamagedIndexError(f"segment {number} is altered, or an old one in its place")
        return rows

    def offset_of(self, op_id: bytes) -> int | None:
        """The byte offset of the entry with this op_id; None if there is none."""
        at = self.tail_op_ids.get(op_id)
        if at is None and self.runs:
            hashed = self.database.op_id_hash.of(op_id)
            found = self._ask_runs(lambda: self._find(op_id, hashed, self._lookup.runs_with(hashed)))
            return found and found[1]
        return at

    def offsets_of(self, op_ids: Collection[bytes]) -> dict[bytes, int]:
        """Those of some op_ids whose entries are there, with their byte offsets."""
        if len(op_ids) <= _FEW:
            return {op_id: at for op_id in op_ids if (at := self.offset_of(op_id)) is not None}
        found = {op_id: self.tail_op_ids[op_id] for op_id in self.tail_op_ids.keys() & op_ids}
        if self.runs:
            wanted = [op_id for op_id in op_ids if op_id not in found] if found else list(op_ids)
            found |= self._ask_runs(partial(self._look_up_all, wanted))
        return found

    def find_folded(self, op_id: bytes) -> FoundEntry | None:
        """(number of its segment, byte offset) of the entry with this op_id, unless it is in the tail."""
        hashed = self.database.op_id_hash.of(op_id)
        # Mostly it is in one of the last, so a lookup need not be loaded.
        return self._ask_runs(lambda: self._find(op_id, hashed, self.runs[::-1]))

    def _look_up_all(self, op_ids: Sequence[bytes]) -> dict[bytes, int]:
        hashes = self.database.op_id_hash.of_all(b"".join(op_ids))
        runs = self._lookup.runs_with_any(set(hashes))
        found: dict[bytes, int] = {}
        guess: tuple[int, ...] = ()
        for op_id, hashed in zip(op_ids, hashes, strict=True):
            if hashed in runs and (at := self._find(op_id, hashed, runs[hashed], guess)):
                # What was written together is mostly asked for together.
                guess, found[op_id] = at[:1], at[1]
        return found

    def _find(self, op_id: bytes, hashed: int, runs: Sequence[Run], guess: Sequence[int] = ()) -> FoundEntry | None:
        if not runs:
            return None
        for segment in map(self.segment, chain(guess, chain.from_iterable(run.segments_with(hashed) for run in runs))):
            if (line := segment.find(op_id)) is not None:
                return segment.number, segment.first_offset + segment.offsets[line]
        return None

    def _ask_runs(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except DamagedIndexError:
            # Another process may have merged these runs.
            self.adopt_folds_of_others()
            return ask()

    def adopt_folds_of_others(self) -> None:
        """Take over what other processes have folded and merged since the runs were read."""
        with self.database.snapshot():
            self._read_runs()
        start = self.folded_end
        if start > self.tail.start:
            inside = self.tail.number_at(start)
            self._use_tail(self.tail.part(inside, len(self.tail)) if start < self.tail.end else Lines(start))

    def location_of(self, op_id: bytes) -> Location | None:
        """Where the entry with this op_id lies; None if there is none."""
        if (at := self.offset_of(op_id)) is None:
            return None
        unit = self.tail if at >= self.folded_end else self.segment(self.number_at(at))
        return location(unit, unit.number_at(at))

    def demote_duplicates(self, lines: Lines) -> None:
        """Of several lines with one op_id only the first stays an entry; `lines` are not in the index yet."""
        op_ids = dict.fromkeys(filter(None, lines.op_ids))
        there = self.offsets_of(op_ids)
        if not there and len(op_ids) == len(lines) - len(lines.problems):
            return
        for number, op_id in enumerate(lines.op_ids):
            first = there.setdefault(op_id, lines.offsets[number])
            if op_id and first != lines.offsets[number]:
                lines.demote(number, duplicate_of(op_id, first))

    # -- feeding --------------------------------------------------------------------------------------

    def add_entry(self, entry: Any, op_id: bytes, length: int, checksum: int) -> None:
        """Take in the line of one entry, which follows the last: in memory, until `write_next` or `write`."""
        self.tail_op_ids[op_id] = self.tail.end
        self.tail.add_entry(entry, op_id, length, checksum)

    def add(self, lines: Lines) -> None:
        """Take in lines that follow the last: in memory, until `write`."""
        if lines.start < self.tail.end:
            # Since they were read, it was found that another process has folded some of them.
            if lines.end <= self.tail.end:
                return
            lines = lines.part(lines.number_at(self.tail.end), len(lines))
        self.tail_op_ids.update(zip(lines.op_ids, lines.offsets, strict=True))
        self.tail_op_ids.pop(b"", None)
        self.tail.extend(lines)

    def replace_runs(self, runs: list[Run]) -> None:
        """Take over what somebody has written into an index without a tail."""
        self._use_runs(runs)
        self._use_tail(Lines(self.folded_end))
        self.written_end = self.folded_end

    def write_rows(self) -> None:
        """Write the lines that are only in memory as rows of the tail. Call inside a transaction."""
        insert_rows(self.connection, self._unwritten())
        self.written_end = self.tail.end

    def _unwritten(self) -> Lines:
        return self.tail.part(self.tail.number_at(self.written_end), len(self.tail))

    @property
    def unwritten_lines(self) -> int:
        """How many lines are only in memory."""
        return len(self.tail) - self.tail.number_at(self.written_end)

    def write_next(self, entry: Any, length: int, checksum: int) -> bool:
        """Write the row of the entry that was added last, the usual case; False if it takes more than that."""
        offsets, byte_offset = self.tail.offsets, self.tail.end - length
        if len(offsets) >= self._options.segment_lines:
            return False
        # Other handles' lines may stand before it: mostly these have written the rows themselves. A line that is alone
        # in the tail stands for its own predecessor, which has no row, so `write` finds out what others have done.
        previous_offset = None if self.written_end == byte_offset else offsets[-2:][0]
        database = self.database
        if database.wait_ms:
            database.wait_up_to(0)
        if not insert_next(self.connection, byte_offset, length, checksum, entry, previous_offset):
            return False
        self.written_end = byte_offset + length
        return True

    def write(self, wait_ms: int, fold_from: int | None = None) -> None:
        """Write the lines that are only in memory: as rows of the tail or, if it gets long, as segments.

        Args:
            wait_ms: how long to wait while another connection is writing.
            fold_from: how many lines of the tail are folded; `segment_lines` if it is not given.

        Raises:
            sqlite3.OperationalError: another connection is writing, for longer than `wait_ms`.
            DamagedIndexError: the index was made anew or set back by somebody.
        """
        fold_from = fold_from or self._options.segment_lines
        if self.written_end >= self.tail.end and len(self.tail) < fold_from:
            return
        self.database.wait_up_to(wait_ms)
        with self.database.transaction():
            self._look_at_others()
            pending = self._unwritten()
            if len(self.tail) >= fold_from or len(pending) >= self._options.long_batch_lines:
                self._fold()
            else:
                insert_rows(self.connection, pending)
        self.written_end = max(self.written_end, self.tail.end)

    def _look_at_others(self) -> None:
        """Find out, inside the transaction, how far other processes have written and folded."""
        covered, folded_end = self.connection.execute(
            f"SELECT {COVERED}, coalesce((SELECT end_offset FROM run ORDER BY first_segment DESC LIMIT 1), 0)"
        ).fetchone()
        if type(covered) is not int or type(folded_end) is not int:
            raise DamagedIndexError(f"its end is not a number: {str(covered)[:60]}, {str(folded_end)[:60]}")
        if covered < self.written_end or folded_end < self.folded_end:
            raise DamagedIndexError(f"it went back from byte {self.written_end} to {covered}: somebody made it anew")
        at = self.tail.number_at(covered)
        if covered < self.tail.end and self.tail.offsets[at : at + 1] != [covered]:
            raise DamagedIndexError(f"it ends at byte {covered}, inside a line of the log")
        if folded_end > self.folded_end:
            self.adopt_folds_of_others()
        self.written_end = covered

    def _fold(self) -> None:
        """Make segments of the tail, all but a short rest. Call inside the transaction."""
        tail, low = self.tail, 0
        while (high := end_of_segment(tail, low, self._options)) > low:
            part = tail.part(low, high)
            number = self.runs[-1].end_segment if self.runs else 1
            links = pack_links(part, number, self.find_folded)
            self._use_runs(write_segment(self.database, self.runs, self.new_run, part, links))
            low = high
        rest = tail.part(low, len(tail))
        delete_rows(self.connection, rest.start if self.written_end > rest.start else None)
        insert_rows(self.connection, rest.part(rest.number_at(self.written_end), len(rest)))
        self._use_tail(rest)
