"""Questions to the index: which lines match, how many, by whom. All answers come page by page.

A page is at most one segment, so no read transaction stays open while the caller looks at entries,
and no answer, however long, is held in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from muse.core.old_index.index import Index
from muse.core.old_index.index_check import (
    check_names,
    check_op_refs,
    check_row,
    check_segment,
    check_segments,
)
from muse.core.old_index.index_question import END, Filter, Question
from muse.core.storage.record import DamagedIndexError, Place, integer, op_id_of, op_numbers, places_of


@dataclass(frozen=True)
class Span:
    """Consecutive lines, each of them an entry; the sum of their checksums tells whether they still are."""

    start: int
    stop: int
    lines: int
    checksums: int


class Page(NamedTuple):
    """Where entries lie, in arrival order, and the byte offset at which to go on; None at the end."""

    places: list[Place]
    resume_at: int | None


def next_span(index: Index, wanted: Filter, lines: int, size_bytes: int) -> tuple[Span, int | None] | None:
    """The lines from `wanted.start` up to `wanted.stop` (the end of a line) in one segment, and where to go on.

    None where they are not all wanted and all entries, or more than `lines` or `size_bytes`: look at each row then.

    Raises:
        DamagedIndexError: some are missing from the index.
    """
    if not wanted.every_line or wanted.start >= wanted.stop:
        return None
    with index.snapshot():
        segment = index.connection.execute(
            "SELECT end_offset FROM segment WHERE first_offset <= ? ORDER BY first_offset DESC LIMIT 1", (wanted.start,)
        ).fetchone()
        table, high = "tail", wanted.stop
        if segment and wanted.start < integer(segment):
            table, high = "line", min(segment[0], wanted.stop)
        found, entries, size, checksums = index.connection.execute(
            "SELECT count(*), count(op_high), sum(length), sum(checksum) "
            f"FROM {table} WHERE byte_offset >= ? AND byte_offset < ?",
            (wanted.start, high),
        ).fetchone()
    if not found or found > lines or found != entries or type(size) is not int or size > size_bytes:
        return None
    # Lines that fill the range can't have lost one.
    if size != high - wanted.start:
        raise DamagedIndexError(f"it lacks lines between the bytes {wanted.start} and {high}")
    return Span(wanted.start, high, found, checksums), high if high < wanted.stop else None


# The whole segment is walked, on the way on which it was checked, and the rows wanted are picked from it
# (the + keeps SQLite from seeking them): a seek goes by keys that no digest covers.
_ROWS_CHECKED = "byte_offset >= :first AND byte_offset < :end AND +byte_offset >= :low AND +byte_offset < :high"


def next_page(index: Index, wanted: Filter, limit: int, size_bytes: int) -> Page:
    """The first rows that match: at most `limit`, and `size_bytes` (but one row at least); entries only.

    Raises:
        DamagedIndexError: all lines were asked for, or all with a name, and some are missing from the index.
    """
    if not wanted.every_line:
        check_names(index, wanted.names())
    question = Question.of(index, wanted)
    if question is None or wanted.start >= wanted.stop:
        return Page([], None)
    # One snapshot: between "no further segment" and "the tail" another process may fold.
    with index.snapshot():
        page = _page_by_name(index, question, wanted, limit) if question.summarised and question.roles else None
        return _cut_to(size_bytes, page or _page_of_segment(index, question, wanted, limit))


def _page_by_name(index: Index, question: Question, wanted: Filter, limit: int) -> Page | None:
    """The entries with one name, from as many segments as make a page; None where the first one makes more.

    They are all there: each segment gives as many as were counted when it was made, and none twice.
    """
    found = index.connection.execute(question.rows_by_name(), {**question.values, "limit": limit + 1}).fetchall()
    values = {**question.values}
    resume_at = None
    if len(found) > limit:
        # The last segment is not complete, and only a whole one can be checked.
        resume_at = values["stop"] = found[-1][4]
        found = [row for row in found if row[4] < resume_at]
        if not found:
            return None
    # A row whose key in the index by domain is altered may lie anywhere.
    counted = Counter(row[4] for row in found if row[4] <= row[0] < row[5])
    for first, _, entries in index.connection.execute(question.segments(), values):
        if counted[first] != entries:
            raise DamagedIndexError(f"of {entries} entries with a name from byte {first} on it knows {counted[first]}")
    places = [place for place in places_of([row[:4] for row in found]) if wanted.start <= place[0] < wanted.stop]
    if resume_at is None:
        rest = index.connection.execute(
            f"SELECT byte_offset, length, checksum, lamport_ts FROM tail WHERE byte_offset >= :start "
            f"AND byte_offset < :stop{question.row_conditions} ORDER BY byte_offset LIMIT :limit",
            {**question.values, "limit": limit + 1},
        ).fetchall()
        if len(places) + len(rest) > limit:
            resume_at = rest[limit - len(places)][0]
            rest = rest[: limit - len(places)]
        places += places_of(rest)
    return Page(places, resume_at)


def _page_of_segment(index: Index, question: Question, wanted: Filter, limit: int) -> Page:
    segment = index.connection.execute(question.next_segment(), question.values).fetchone()
    return page_of_unit(index, question, wanted, segment, limit)


def page_of_unit(index: Index, question: Question, wanted: Filter, segment: tuple[int, int] | None, limit: int) -> Page:
    """The entries that match in one segment, or in the tail where it is None. Call inside a snapshot.

    Raises:
        DamagedIndexError: some are missing from the index, or altered.
    """
    first, end = segment or (0, END)
    table = "line" if segment else "tail"
    if segment and not wanted.every_line:
        check_segment(index, first, end)
    low, high = max(first, wanted.start), min(end, wanted.stop)
    found = index.connection.execute(
        f"SELECT byte_offset, length, checksum, lamport_ts, op_high IS NULL FROM {table} "
        f"WHERE {_ROWS_CHECKED}{question.row_conditions} ORDER BY byte_offset LIMIT :limit",
        {**question.values, "first": first, "end": end, "low": low, "high": high, "limit": limit},
    ).fetchall()
    places = places_of([values[:4] for values in found])
    if len(places) == limit:
        resume_at: int | None = places[-1].end
    else:
        resume_at = high if segment and high < wanted.stop else None
    if wanted.every_line:
        reached = wanted.stop if resume_at is None else resume_at
        _check_whole(places, low, reached)
        _check_non_entries(index, sum(values[4] for values in found), low, reached)
        places = [place for place, values in zip(places, found, strict=True) if not values[4]]
    return Page(places, resume_at)


def _cut_to(size_bytes: int, page: Page) -> Page:
    total = 0
    for number, row in enumerate(page.places):
        total += row.length
        if total > size_bytes and number:
            return Page(page.places[:number], row.byte_offset)
    return page


def _check_whole(places: list[Place], low: int, high: int) -> None:
    """Lines that follow each other without a gap can't have lost one: this much of the index is whole."""
    at = low
    for place in places:
        if place.byte_offset != at:
            break
        at = place.end
    if high not in (at, END):
        raise DamagedIndexError(f"it lacks the line at byte {at}")


def _check_non_entries(index: Index, number: int, low: int, high: int) -> None:
    """A line that counts as no entry must have its reason, or an entry could go missing by a flipped bit."""
    explained = index.connection.execute(
        "SELECT count(*) FROM non_entry WHERE byte_offset >= ? AND byte_offset < ?", (low, high)
    ).fetchone()
    if explained[0] != number:
        raise DamagedIndexError(
            f"{number} lines between the bytes {low} and {high} are no entries, {explained[0]} say why"
        )


def count(index: Index, wanted: Filter) -> int:
    """How many entries match. Whole segments are added up by their summaries where they can answer."""
    check_names(index, wanted.names())
    question = Question.of(index, wanted)
    if question is None:
        return 0
    with index.snapshot():
        found = _count_rows(index, question, "tail", 0, END)
        if question.summarised:
            found += integer(index.connection.execute(question.whole_segments(), question.values).fetchone())
        for first, end, _ in index.connection.execute(question.rest(), question.values).fetchall():
            check_segment(index, first, end)
            found += _count_rows(index, question, "line", first, end)
    return found


def _count_rows(index: Index, question: Question, table: str, first: int, end: int) -> int:
    span = {"first": first, "end": end, "low": question.values["start"], "high": question.values["stop"]}
    found = index.connection.execute(
        f"SELECT count(*) FROM {table} WHERE {_ROWS_CHECKED} AND op_high IS NOT NULL{question.row_conditions}",
        {**question.values, **span},
    ).fetchone()
    return integer(found)


def totals(index: Index, role: str) -> dict[str, int]:
    """Name and number of entries of every actor or domain, most first, then by name."""
    check_names(index, [role])
    with index.snapshot():
        # Each text as the table has it, and the number that the index of texts has for it.
        found = index.connection.execute(
            f"""
            SELECT text, sum(entries) AS total, name.id, (SELECT id FROM name AS indexed WHERE indexed.text = name.text)
            FROM (
                SELECT name, entries FROM {role}_presence
                UNION ALL SELECT {role}, 1 FROM tail WHERE {role} IS NOT NULL
            ) JOIN name ON name.id = name GROUP BY name.id ORDER BY total DESC, text
            """
        ).fetchall()
        entries = index.connection.execute(
            "SELECT (SELECT coalesce(sum(entries), 0) FROM segment) + (SELECT count(op_high) FROM tail)"
        ).fetchone()
    if entries[0] != sum(total for _, total, _, _ in found):
        raise DamagedIndexError(f"the {role}s' entries do not add up")
    if any(number != indexed for _, _, number, indexed in found):
        raise DamagedIndexError(f"the {role}s' names are not found by their texts")
    return {text: total for text, total, _, _ in found}


def highest_lamport_ts(index: Index, stop: int = END) -> int:
    """The highest timestamp of the entries before byte `stop`; 0 where there is none."""
    check_segments(index)
    with index.snapshot():
        whole, reach = index.connection.execute(
            "SELECT coalesce(max(max_lamport_ts), 0), coalesce(max(end_offset), 0) FROM segment WHERE end_offset <= ?",
            (stop,),
        ).fetchone()
        rest = index.connection.execute(
            "SELECT (SELECT coalesce(max(lamport_ts), 0) FROM line WHERE byte_offset >= ?1 AND byte_offset < ?2), "
            "(SELECT coalesce(max(lamport_ts), 0) FROM tail WHERE byte_offset >= ?1 AND byte_offset < ?2)",
            (reach, stop),
        ).fetchone()
    return int(max(whole, *rest))


def end_of_entry(index: Index, number: int) -> int | None:
    """The byte offset after the `number`-th entry in arrival order (from 1); None where there are fewer."""
    check_segments(index)
    if number == 0:
        return 0
    before = 0
    with index.snapshot():
        segments = index.connection.execute(
            "SELECT first_offset, end_offset, entries FROM segment ORDER BY first_offset"
        )
        for first, end, entries in segments.fetchall():
            if before + entries >= number:
                table, low, high = "line", first, end
                break
            before += entries
        else:
            table, low, high = "tail", 0, END
        found = index.connection.execute(
            f"SELECT byte_offset + length FROM {table} WHERE byte_offset >= ? AND byte_offset < ? "
            "AND op_high IS NOT NULL ORDER BY byte_offset LIMIT 1 OFFSET ?",
            (low, high, number - before - 1),
        ).fetchone()
    return found[0] if found else None


def last_op_id(index: Index, stop: int = END) -> bytes | None:
    """The op_id of the last entry that begins before byte `stop`."""
    for table in ("tail", "line"):
        found = index.connection.execute(
            f"SELECT op_high, op_low FROM {table} "
            "WHERE byte_offset < ? AND op_high IS NOT NULL ORDER BY byte_offset DESC LIMIT 1",
            (stop,),
        ).fetchone()
        if found:
            return op_id_of(*found)
    return None


def find(index: Index, op_id: bytes) -> Place | None:
    """Where the entry with this op_id lies; None where the log has none."""
    high, low = op_numbers(op_id)
    columns = "byte_offset, length, checksum, lamport_ts"
    found = index.connection.execute(
        f"SELECT {columns} FROM tail WHERE op_high = ? AND op_low = ?", (high, low)
    ).fetchone()
    if found:
        return places_of([found])[0]
    byte_offset = folded_at(index, op_id)
    if byte_offset is None:
        return None
    found = index.connection.execute(f"SELECT {columns} FROM line WHERE byte_offset = ?", (byte_offset,)).fetchone()
    return places_of([found])[0] if found else None


def folded_at(index: Index, op_id: bytes) -> int | None:
    """The byte offset of the entry with this op_id, unless it is in the tail."""
    alike = index.connection.execute(_ALIKE, (int.from_bytes(op_id[:4], "big", signed=True),)).fetchall()
    # Nearly always there is none with the same first bytes, so the lines need not be looked at. But a miss
    # is believed only of an index that is known to be whole.
    if not alike and index.op_refs_are_checked:
        return None
    for (byte_offset,) in alike:
        found = index.connection.execute("SELECT op_high, op_low FROM line WHERE byte_offset = ?", (byte_offset,))
        numbers = found.fetchone()
        if numbers is None:
            raise DamagedIndexError(f"the line at byte {byte_offset} can't be found")
        if numbers == op_numbers(op_id):
            return int(byte_offset)
    check_op_refs(index)
    for (byte_offset,) in alike:
        # Another op_id with the same first bytes is a rare chance, or this one with a flipped bit.
        check_row(index, byte_offset)
    return None


def folded_among(index: Index, op_ids: Collection[bytes]) -> dict[bytes, int]:
    """Those of some op_ids that are there, unless in the tail, with their byte offsets: one statement for all."""
    prefix_of = {op_id: int.from_bytes(op_id[:4], "big", signed=True) for op_id in op_ids}
    found = index.connection.execute(_ALL_ALIKE, (orjson.dumps(list(prefix_of.values())).decode(),)).fetchall()
    check_op_refs(index)
    if not found:
        return {}
    alike = [op_id for op_id, prefix in prefix_of.items() if (prefix,) in found]
    return {op_id: at for op_id in alike if (at := folded_at(index, op_id)) is not None}


# `op_ref` is sorted by the first four bytes of an op_id, as a signed integer.
_ALIKE = "SELECT byte_offset FROM op_ref WHERE prefix = ?"
_ALL_ALIKE = "SELECT prefix FROM op_ref WHERE prefix IN (SELECT value FROM json_each(?))"


def tail_op_ids(index: Index) -> dict[bytes, int]:
    """op_id and byte offset of the entries that are not folded yet."""
    rows = index.connection.execute("SELECT op_high, op_low, byte_offset FROM tail WHERE op_high IS NOT NULL")
    return {op_id: byte_offset for high, low, byte_offset in rows if (op_id := op_id_of(high, low))}
