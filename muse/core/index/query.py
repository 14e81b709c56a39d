"""Questions to the index: which entries match, how many, by whom. Long answers come page by page.

A unit is a segment or the tail. A question goes through the runs, the segments of those in which something may match,
and the lines of those; at each step the summaries tell what can be passed over.
"""

from __future__ import annotations

import heapq
import uuid
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from muse.core.entry.filter import END, Filter
from muse.core.entry.model import split_op_ids
from muse.core.index.blocks.links import Link, UnresolvedLink, links_named_in, unpack_links, unpack_unresolved
from muse.core.index.blocks.op_id_runs import Run
from muse.core.index.blocks.segment import DamagedIndexError, Segment, Summary, location, places
from muse.core.index.store import Index
from muse.core.storage.lines import Lines, Places, Problem

Unit = Segment | Lines

_UNITS_OF_A_PAGE = 64
"""How many units are looked at for one page, so that a handle is not locked for long while nothing is found."""


class Page(NamedTuple):
    """Where entries lie, in arrival order, and the byte offset at which to go on; None at the end."""

    places: Places
    resume_at: int | None


class _Plan:
    """A filter, ready to be held against summaries."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        # What a summary counts: the entries with some names of one role.
        self.is_counted = wanted.takes_every_timestamp and len(wanted.names) == 1

    def may_match(self, summary: Summary) -> bool:
        """Whether one of the entries summed up may match."""
        wanted = self.wanted
        return wanted.takes_every_entry or summary.may_match(wanted.names, wanted.min_lamport_ts, wanted.max_lamport_ts)

    def counted(self, summary: Summary) -> int | None:
        """How many entries match, if the summary tells."""
        wanted = self.wanted
        if not self.is_counted or summary.first_offset < wanted.start or summary.end_offset > wanted.stop:
            return None
        ((role, names),) = wanted.names.items()
        return summary.counted(role, names)


def matching(unit: Unit, wanted: Filter) -> Sequence[int]:
    """The numbers of the lines of a unit that match, ascending; entries only."""
    low = 0 if wanted.start <= unit.start else unit.number_at(wanted.start)
    high = len(unit) if wanted.stop >= unit.end else unit.number_at(wanted.stop)
    found: Sequence[int] = range(low, high)
    if wanted.names:
        numbers = [unit.with_names(role, names) for role, names in wanted.names.items()]
        found = numbers[0] if len(numbers) == 1 else sorted(set(numbers[0]).intersection(*numbers[1:]))
        if found and (found[0] < low or found[-1] >= high):
            found = [number for number in found if low <= number < high]
    elif unit.problems:
        problems = set(unit.numbers_with_problems())
        found = [number for number in found if number not in problems]
    if wanted.takes_every_timestamp:
        return found
    timestamps, lowest, highest = unit.lamport_ts, wanted.min_lamport_ts, wanted.max_lamport_ts
    return [number for number in found if lowest <= timestamps[number] <= highest]


def _runs(index: Index, plan: _Plan) -> list[Run]:
    start, stop = plan.wanted.start, plan.wanted.stop
    return [run for run in index.runs if run.summary.first_offset < stop and run.summary.end_offset > start]


def _segments(run: Run, plan: _Plan) -> range:
    """The numbers of the segments of a run that reach into the range of the log asked for."""
    start, stop = plan.wanted.start, plan.wanted.stop
    first = run.first_segment if start <= run.summary.first_offset else run.segment_at(start)
    return range(first, run.segment_at(min(stop, run.summary.end_offset) - 1) + 1)


def _units(index: Index, plan: _Plan, *, reverse: bool = False) -> Iterator[Unit]:
    """The units in which something may match, in arrival order or from the end."""
    step = -1 if reverse else 1
    # Taken before anything is given: what is folded meanwhile is in here once.
    runs, tail = _runs(index, plan), index.tail
    if reverse:
        yield tail
    for run in runs[::step]:
        if plan.may_match(run.summary):
            for number, summary in index.summaries(_segments(run, plan)[::step]):
                if plan.may_match(summary):
                    yield index.segment(number)
    if not reverse:
        yield tail


def units_between(index: Index, start: int, stop: int) -> Iterator[Unit]:
    """The units that reach into the bytes [start, stop) of the log, in arrival order."""
    return _units(index, _Plan(Filter(start=start, stop=stop)))


def unit_at(index: Index, at: int) -> Unit:
    """The unit in which byte `at` of the log lies."""
    return index.tail if at >= index.folded_end else index.segment(index.number_at(at))


def op_id_at(index: Index, at: int) -> bytes:
    """The op_id of the line that begins at byte `at`."""
    unit = unit_at(index, at)
    return unit.op_id(unit.number_at(at))


def links_in(unit: Unit) -> tuple[list[Link], list[UnresolvedLink]]:
    """The links of the entries in a unit, and those whose parents are known by their op_ids alone."""
    if isinstance(unit, Lines):
        return [], links_named_in(unit)
    packed = unit.first_offset, unit.links, unit.end - unit.first_offset
    return unpack_links(*packed), unpack_unresolved(*packed)


def begins_a_line(index: Index, at: int) -> bool:
    """Whether a line begins at this byte of the log, or will."""
    if at == index.end:
        return True
    unit = unit_at(index, at)
    number = unit.number_at(at)
    return number < len(unit) and unit.first_offset + unit.offsets[number] == at


def places_at(index: Index, offsets: Sequence[int]) -> Places:
    """Where the entries at these byte offsets, given in arrival order, lie.

    That the right lines are found is told by their checksums when they are read.

    Raises:
        DamagedIndexError: no line begins at one of them.
    """
    found: list[Places] = []
    low = 0
    while low < len(offsets):
        is_folded = offsets[low] < index.tail.start
        unit: Unit = index.segment(index.number_at(offsets[low])) if is_folded else index.tail
        high = bisect_left(offsets, unit.end, low) if is_folded else len(offsets)
        here = list(offsets[low:high])
        first, last = unit.number_at(here[0]), unit.number_at(here[-1])
        are_all = last - first == high - low - 1
        numbers = range(first, last + 1) if are_all else [unit.number_at(at) for at in here]
        if last == len(unit) or list(map(unit.offsets.__getitem__, numbers)) != [at - unit.first_offset for at in here]:
            raise DamagedIndexError(f"the index knows of no line that begins at each of some bytes from {here[0]} on")
        found.append(places(unit, numbers))
        low = high
    return Places.joined(found)


def damaged_lines(index: Index, start: int, stop: int) -> list[tuple[int, int, str]]:
    """Byte offset, length and what is wrong, of each damaged line that begins at the bytes [start, stop)."""
    others = lines_without_entry(index, start, stop)
    return [(at, length, reason) for at, length, (kind, reason) in others if kind == "damaged"]


def lines_without_entry(index: Index, start: int, stop: int) -> Iterator[tuple[int, int, Problem]]:
    """Byte offset, length and problem of each line that begins at the bytes [start, stop) and is no entry."""
    for unit in _units_with_problems(index, _Plan(Filter(start=start, stop=stop))):
        for at, problem in unit.problems.items():
            if start <= at < stop:
                yield at, unit.length(unit.number_at(at)), problem


def _units_with_problems(index: Index, plan: _Plan) -> Iterator[Unit]:
    """The units in which lines are not entries; few are looked at, since a healthy log has none."""
    for run in _runs(index, plan):
        if run.summary.entries < run.summary.lines:
            for number, summary in index.summaries(_segments(run, plan)):
                if summary.entries < summary.lines:
                    yield index.segment(number)
    yield index.tail


# -- pages ----------------------------------------------------------------------------------------------------


def find_page(index: Index, wanted: Filter, limit: int, size_bytes: int, *, reverse: bool = False) -> Page:
    """The first entries that match, or the last if `reverse`: at most `limit`, and `size_bytes` (but one at least).

    The byte offset given with them is where the next page begins or, if `reverse`, has to stop.
    """
    found: list[Places] = []
    left, left_bytes = limit, size_bytes
    resume_at: int | None = None
    # By itself each statement would take and give back SQLite's lock.
    with index.database.snapshot():
        for count, unit in enumerate(_units(index, _Plan(wanted), reverse=reverse), start=1):
            numbers = matching(unit, wanted)
            numbers = numbers[-left:] if reverse else numbers[:left]
            here = places(unit, numbers)
            if is_full := here.size_bytes > left_bytes:
                here = places(unit, _fitting(unit, numbers, left_bytes, reverse=reverse, at_least=0 if found else 1))
            if here.lines:
                found.append(here)
            left -= here.lines
            left_bytes -= here.size_bytes
            # An answer of consecutive lines is put together from two units only if it would be short otherwise.
            is_enough = wanted.takes_every_entry and not reverse and left < limit // 2
            if is_full or left == 0:
                resume_at = found[-1].starts[0] if reverse else found[-1].ends[-1]
            elif is_enough or count == _UNITS_OF_A_PAGE:
                resume_at = unit.start if reverse else unit.end
            if resume_at is not None:
                break
    page = Places.joined(found[::-1] if reverse else found)
    return Page(page, resume_at if resume_at is not None and wanted.start < resume_at < wanted.stop else None)


def _fitting(unit: Unit, numbers: Sequence[int], size_bytes: int, *, reverse: bool, at_least: int) -> Sequence[int]:
    """The first of some lines, or the last if `reverse`, as many as fit."""
    ends = [*unit.offsets[1:], unit.end - unit.first_offset]
    sizes = list(accumulate(ends[number] - unit.offsets[number] for number in (numbers[::-1] if reverse else numbers)))
    fitting = max(bisect_right(sizes, size_bytes), at_least)
    return numbers[len(numbers) - fitting :] if reverse else numbers[:fitting]


# -- numbers --------------------------------------------------------------------------------------------------


def count(index: Index, wanted: Filter) -> int:
    """How many entries match. Summaries are added up if they tell."""
    if wanted.takes_every_entry:
        return max(_entries_below(index, wanted.stop) - _entries_below(index, wanted.start), 0)
    plan = _Plan(wanted)
    found = len(matching(index.tail, wanted))
    for run in _runs(index, plan):
        if not plan.may_match(run.summary):
            continue
        counted = plan.counted(run.summary)
        if counted is None:
            counted = sum(_count_in_segment(index, number, plan) for number in _segments(run, plan))
        found += counted
    return found


def _entries_below(index: Index, stop: int) -> int:
    """How many entries begin before byte `stop`: each summary tells how many lie before its segment."""
    if stop >= index.end:
        return index.entries
    unit = unit_at(index, stop)
    folded = index.entries - len(index.tail) + len(index.tail.problems)
    before = folded if isinstance(unit, Lines) else unit.summary.entries_before
    return before + len(matching(unit, Filter(stop=stop)))


def _count_in_segment(index: Index, number: int, plan: _Plan) -> int:
    summary = index.summary(number)
    if not plan.may_match(summary):
        return 0
    counted = plan.counted(summary)
    return len(matching(index.segment(number), plan.wanted)) if counted is None else counted


def totals(index: Index, role: str) -> dict[str, int]:
    """Name and number of entries of every actor or domain, most first, then by name."""
    found: Counter[str] = Counter(getattr(index.tail, role))
    del found[""]
    for run in index.runs:
        listed = run.summary.names(role)
        if listed is not None:
            found.update(listed)
        else:
            for number in range(run.first_segment, run.end_segment):
                found.update(index.summary(number).names(role) or {})
    return dict(sorted(found.items(), key=lambda total: (-total[1], total[0])))


def highest_lamport_ts(index: Index, stop: int = END) -> int:
    """The highest timestamp of the entries before byte `stop`; 0 if there is none."""
    tail = index.tail
    highest = max(tail.lamport_ts[: tail.number_at(stop)], default=0)
    for run in index.runs:
        if run.summary.end_offset <= stop:
            highest = max(highest, run.summary.highest_lamport_ts or 0)
        elif run.summary.first_offset < stop:
            last = run.segment_at(stop - 1)
            for number in range(run.first_segment, last):
                highest = max(highest, index.summary(number).highest_lamport_ts or 0)
            segment = index.segment(last)
            highest = max(highest, *(segment.lamport_ts[number] for number in matching(segment, Filter(stop=stop))), 0)
    return highest


def end_of_entry_line(index: Index, number: int) -> int | None:
    """The byte offset after the `number`-th line (from 1) that is an entry or repeats one; None if there are fewer."""
    if number == 0:
        return 0
    for at, summary in index.summaries(index.segment_numbers()):
        if summary.entries == summary.lines < number:
            number -= summary.lines
        elif (found := _entry_lines(segment := index.segment(at)))[number - 1 :]:
            return location(segment, found[number - 1]).end
        else:
            number -= len(found)
    found = _entry_lines(index.tail)
    return location(index.tail, found[number - 1]).end if len(found) >= number else None


def _entry_lines(unit: Unit) -> list[int]:
    others = {unit.number_at(at) for at, (kind, _) in unit.problems.items() if kind != "duplicate"}
    return [number for number in range(len(unit)) if number not in others]


def last_op_id(index: Index, stop: int = END) -> str:
    """The op_id of the last entry that begins before byte `stop`; "" if there is none."""
    wanted = Filter(stop=stop)
    for unit in _units(index, _Plan(wanted), reverse=True):
        if numbers := matching(unit, wanted):
            return str(uuid.UUID(bytes=unit.op_id(numbers[-1])))
    return ""


def op_ids_beginning(index: Index, digits: str, limit: int) -> list[str]:
    """At most `limit` op_ids that begin with these hexadecimal digits (without dashes), sorted.

    All op_ids are walked, about 30 ms for each million: they are sorted by another order than their text's.
    """
    blocks = chain(
        (b"".join(index.tail.op_ids),),
        (entry_op_ids(index.segment(number)) for number in index.segment_numbers()),
    )
    found = (op_id for block in blocks for op_id in _beginning(block, digits))
    return [str(uuid.UUID(bytes=op_id)) for op_id in heapq.nsmallest(limit, found)]


def entry_op_ids(segment: Segment) -> bytes:
    """The 16 bytes of the op_id of each entry in a segment."""
    if not segment.problems:
        return segment.op_ids
    return b"".join(segment.op_id(number) for number in matching(segment, Filter()))


def _beginning(block: bytes, digits: str) -> list[bytes]:
    # Few op_ids begin with the right byte, so that only few have to be looked at one by one.
    low, high = (int(digits[:2].ljust(2, filler), 16) for filler in "0f")
    firsts = block[::16]
    if not any(first in firsts for first in range(low, high + 1)):
        return []
    return [op_id for op_id in split_op_ids(block) if low <= op_id[0] <= high and op_id.hex().startswith(digits)]
