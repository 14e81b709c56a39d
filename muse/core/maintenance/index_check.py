"""What an index says, unpacked, so that two of the same log can be compared; and whether it agrees with itself."""

from __future__ import annotations

from array import array
from itertools import islice
from typing import Any

from muse.core.index.blocks.links import Link, UnresolvedLink
from muse.core.index.blocks.op_id_runs import merged_keys, merged_summary
from muse.core.index.blocks.segment import DamagedIndexError, Segment, Summary, as_json, pack_lines
from muse.core.index.query import entry_op_ids, links_in, op_id_at, units_between
from muse.core.index.store import Index
from muse.core.storage.lines import ROLES, Lines

_Row = tuple[Any, ...]
"""What an index knows of a line: length, checksum, and what is in it."""


def rows_between(index: Index, start: int, stop: int) -> dict[int, _Row]:
    """What an index knows of the lines that begin at the bytes [start, stop), by byte offset."""
    found: dict[int, _Row] = {}
    for unit in units_between(index, start, stop):
        lines = unit if isinstance(unit, Lines) else unit.lines()
        lengths = map(lines.length, range(len(lines)))
        names = [getattr(lines, role) for role in ROLES]
        columns = zip(lines.offsets, lengths, lines.checksums, lines.lamport_ts, lines.op_ids, *names, strict=True)
        rows = islice(columns, lines.number_at(start), lines.number_at(stop))
        found.update((at, (*row, at in lines.problems)) for at, *row in rows)
    return found


def link_alike(one: Index, other: Index, start: int, stop: int) -> bool:
    """Whether two indexes link the same entries to those whose lines begin at the bytes [start, stop)."""
    # Mostly they have found the same parents: then no op_id has to be looked up.
    mine, theirs = _links_between(one, start, stop), _links_between(other, start, stop)
    return mine == theirs or _all_named(one, *mine) == _all_named(other, *theirs)


def _links_between(index: Index, start: int, stop: int) -> tuple[list[Link], list[UnresolvedLink]]:
    links: list[Link] = []
    named: list[UnresolvedLink] = []
    for unit in units_between(index, start, stop):
        here, named_here = links_in(unit)
        links += [link for link in here if start <= link[0] < stop]
        named += [link for link in named_here if start <= link[0] < stop]
    return links, named


def _all_named(index: Index, links: list[Link], named: list[UnresolvedLink]) -> set[UnresolvedLink]:
    return {*named, *((child, op_id_at(index, parent)) for child, parent in links)}


def check_keys_and_summaries(index: Index) -> None:
    """Check that each op_id can be found, and that what is summed up of lines, links and segments is right.

    Raises:
        DamagedIndexError: it is not, or a block is altered.
    """
    for run in index.runs:
        keys: list[array[int]] = []
        summaries: list[Summary] = []
        for number in range(run.first_segment, run.end_segment):
            segment = index.segment(number)
            keys.append(index.database.op_id_hash.keys(entry_op_ids(segment), number))
            summaries.append(segment.summary)
            if segment.summary != _summed_up(index, segment):
                raise DamagedIndexError(f"what it sums up of segment {number} is wrong")
        if run.is_filtered:
            run.filter.load()
        if merged_keys(keys) != run.all_keys():
            raise DamagedIndexError(f"op_ids of the segments from {run.first_segment} on can't be found")
        if run.summary != merged_summary(summaries):
            raise DamagedIndexError(f"what it sums up of the segments from {run.first_segment} on is wrong")


def _summed_up(index: Index, segment: Segment) -> Summary:
    links, named = links_in(segment)
    parents = {segment.number if parent >= segment.first_offset else index.number_at(parent) for _, parent in links}
    before = index.summary(segment.number - 1) if segment.number > 1 else None
    return pack_lines(segment.lines()).summary._replace(
        entries_before=before.entries_before + before.entries if before else 0,
        parent_segments=as_json(sorted(parents)),
        unresolved_links=len(named),
    )
