"""Noticing a damaged index before it gives a wrong answer.

SQLite notices broken pages, not pages that are whole but wrong: stale, swapped, with a flipped bit. So
each segment carries a digest of its lines and one of itself, the summaries add up to each other, and
names are found by table and by index alike. What is looked at is checked once per connection, before
it is used; whatever is wrong raises `DamagedIndexError`, and the index is rebuilt.

docs/reliability.md says which damage is noticed when, and which only by `verify`.
"""

from __future__ import annotations

from muse.core.index import LINES_DIGEST, SEGMENT_DIGEST, Index


class DamagedIndexError(Exception):
    """The index contradicts itself: it must be rebuilt."""


def check_summaries(index: Index) -> None:
    """Check the segments as a whole: each as it was written, none missing, presence adding up.

    Raises:
        DamagedIndexError: some are not.
    """
    if index.summaries_are_checked:
        return
    with index.snapshot():
        altered = _number(index, f"SELECT count(*) FROM segment WHERE digest IS NOT {SEGMENT_DIGEST}")
        gaps = _number(
            index,
            "SELECT count(*) FROM (SELECT first_offset, lag(end_offset, 1, 0) OVER (ORDER BY first_offset) AS reached "
            "FROM segment) WHERE first_offset != reached",
        )
        reached = _number(index, "SELECT coalesce(max(end_offset), 0) FROM segment")
        expected = index.connection.execute(
            "SELECT coalesce(sum(entries), 0), coalesce(sum(entries), 0), "
            "coalesce(sum(intents), 0), coalesce(sum(reservations), 0) FROM segment"
        ).fetchone()
        found = dict(index.connection.execute("SELECT role, sum(entries) FROM presence GROUP BY role"))
        tail = index.connection.execute("SELECT min(byte_offset), sum(length) FROM tail").fetchone()
        end = index.covered()
    if altered or gaps:
        raise DamagedIndexError(f"{altered} segments are altered, {gaps} are missing")
    if expected != tuple(found.get(role, 0) for role in ("actor", "domain", "intent", "reservation")):
        raise DamagedIndexError("the names in the segments do not add up to their entries")
    if (tail[0] is not None and tail[0] != reached) or reached + (tail[1] or 0) != end:
        raise DamagedIndexError(f"lines are missing after byte {reached}")
    index.summaries_are_checked = True


def check_segment(index: Index, first: int, end: int) -> None:
    """Check the lines of one segment: all there, each as it was when the segment was made.

    Raises:
        DamagedIndexError: some are not.
    """
    if first in index.checked_segments:
        return
    span = {"first": first, "end": end}
    expected = _number(index, "SELECT lines_digest FROM segment WHERE first_offset = :first", span)
    found = _number(index, f"SELECT {LINES_DIGEST} FROM line WHERE byte_offset >= :first AND byte_offset < :end", span)
    if expected != found:
        raise DamagedIndexError(f"lines between the bytes {first} and {end} are altered or missing")
    index.checked_segments.add(first)


def number_of_name(index: Index, text: str) -> int | None:
    """The number of a name; None where the index knows no such name.

    Raises:
        DamagedIndexError: the table knows it and its index does not.
    """
    found = index.connection.execute("SELECT id FROM name WHERE text = ?", (text,)).fetchone()
    if found is not None:
        return int(found[0])
    if index.connection.execute("SELECT id FROM name NOT INDEXED WHERE text = ?", (text,)).fetchone():
        raise DamagedIndexError(f"the name {text[:60]!r} is missing from its index")
    if _number(index, "SELECT count(*) - coalesce(max(id), 0) FROM name NOT INDEXED"):
        raise DamagedIndexError("names are missing")
    return None


def check_names(index: Index, names: dict[str, int]) -> None:
    """Check that each text, as the table has it, is what the index of texts has under this number.

    Raises:
        DamagedIndexError: one is not.
    """
    for text, number in names.items():
        if index.connection.execute("SELECT id FROM name WHERE text = ?", (text,)).fetchone() != (number,):
            raise DamagedIndexError(f"the name {text[:60]!r} is not the one of number {number}")


def _number(index: Index, statement: str, values: dict[str, int] | None = None) -> int:
    found = index.connection.execute(statement, values or {}).fetchone()
    if found is None or found[0] is None:
        raise DamagedIndexError("a segment is missing")
    return int(found[0])
