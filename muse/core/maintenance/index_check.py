"""What an index says, unpacked, so that two of the same log can be compared; and whether it agrees with itself."""

from __future__ import annotations

from itertools import islice
from typing import Any

from muse.core.entry.filter import Filter
from muse.core.index.blocks.links import UnresolvedLink, links_named_in, unpack_links, unpack_unresolved
from muse.core.index.blocks.op_id_runs import merged_summary
from muse.core.index.blocks.segment import DamagedIndexError, Segment, Summary, as_json, pack_lines
from muse.core.index.query import matching, units_between
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


def links_between(index: Index, start: int, stop: int) -> set[UnresolvedLink]:
    """What an index knows of the parents of the lines that begin at the bytes [start, stop)."""
    found: list[UnresolvedLink] = []
    for unit in units_between(index, start, stop):
        if isinstance(unit, Lines):
            found += links_named_in(unit)
        else:
            packed = unit.first_offset, unit.links, unit.end - unit.first_offset
            found += unpack_unresolved(*packed)
            found += [(child, _op_id_at(index, parent)) for child, parent in unpack_links(*packed)]
    return {link for link in found if start <= link[0] < stop}


def _op_id_at(index: Index, at: int) -> bytes:
    unit = index.tail if at >= index.folded_end else index.segment(index.number_at(at))
    return unit.op_id(unit.number_at(at))


def check_keys_and_summaries(index: Index) -> None:
    """Check that each op_id can be found, and that what is summed up of lines, links and segments is right.

    Raises:
        DamagedIndexError: it is not, or a block is altered.
    """
    for run in index.runs:
        keys: set[int] = set()
        summaries: list[Summary] = []
        for number in range(run.first_segment, run.end_segment):
            segment = index.segment(number)
            op_ids = b"".join(segment.op_id(line) for line in matching(segment, Filter()))
            keys.update(index.database.op_id_hash.keys(op_ids, number))
            summaries.append(segment.summary)
            if segment.summary != _summed_up(index, segment):
                raise DamagedIndexError(f"what it sums up of segment {number} is wrong")
        if run.is_filtered:
            run.filter.load()
        if keys != set(run.all_keys()):
            raise DamagedIndexError(f"op_ids of the segments from {run.first_segment} on can't be found")
        if run.summary != merged_summary(summaries):
            raise DamagedIndexError(f"what it sums up of the segments from {run.first_segment} on is wrong")


def _summed_up(index: Index, segment: Segment) -> Summary:
    packed = segment.first_offset, segment.links, segment.end - segment.first_offset
    parents = {index.number_at(parent) for _, parent in unpack_links(*packed)}
    before = index.summary(segment.number - 1) if segment.number > 1 else None
    return pack_lines(segment.lines()).summary._replace(
        entries_before=before.entries_before + before.entries if before else 0,
        parent_segments=as_json(sorted(parents)),
        unresolved_links=len(unpack_unresolved(*packed)),
    )
