"""Noticing a damaged index before it gives a wrong answer.

SQLite notices broken pages, not pages that are whole but wrong: stale, swapped, with a flipped bit. So
each row of the tail carries a digest, each segment one of its lines and one of itself, the summaries
add up to each other, and names are found by table and by index alike. What is looked at is checked
once per connection, before it is used; whatever is wrong raises `DamagedIndexError`, and the index is
rebuilt. The digests are columns of the schema (migrations/migrations.py).

docs/reliability.md says which damage is noticed when, and which only by `verify`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from muse.core.old_index.index import Index
from muse.core.storage.record import DamagedIndexError, integer

# Where a flipped bit made SQLite find more rows than there are, they are of NULLs, their digests too.
_ALTERED = "coalesce(sum((digest = digest_now) IS NOT TRUE), 0)"


def check_segments(index: Index) -> None:
    """Check the segments and the rows of the tail: each as it was written, and no line missing between them.

    Raises:
        DamagedIndexError: some are not.
    """
    if index.segments_are_checked:
        return
    with index.snapshot():
        altered, covered, reached = index.connection.execute(
            f"SELECT {_ALTERED}, coalesce(sum(end_offset - first_offset), 0), coalesce(max(end_offset), 0) FROM segment"
        ).fetchone()
        altered_in_tail, first, size = index.connection.execute(
            f"SELECT {_ALTERED}, min(byte_offset), coalesce(sum(length), 0) FROM tail"
        ).fetchone()
        end = index.covered()
    if altered or altered_in_tail:
        raise DamagedIndexError(f"{altered} segments and {altered_in_tail} rows of the tail are altered")
    if covered != reached:
        raise DamagedIndexError(f"of {reached} bytes the segments cover {covered}")
    if first not in (None, reached) or reached + size != end:
        raise DamagedIndexError(f"lines are missing after byte {reached}")
    index.segments_are_checked = True


def check_names(index: Index, roles: Iterable[str]) -> None:
    """Check the segments, and that the names which play these roles in them add up to their entries.

    Raises:
        DamagedIndexError: they do not.
    """
    check_segments(index)
    for role in set(roles) - index.checked_roles:
        with index.snapshot():
            expected = index.connection.execute(
                f"SELECT coalesce(sum({_NUMBER_OF[role]}), 0), coalesce(sum({role}s_digest), 0), 0 FROM segment"
            ).fetchone()
            # The whole table, not a range of it: no search in it can be led astray then. Rows of NULLs are as above.
            found = index.connection.execute(
                "SELECT coalesce(sum(entries), 0), coalesce(sum(digest_now), 0), count(*) - count(digest_now) "
                f"FROM {role}_presence"
            ).fetchone()
        if found != expected:
            raise DamagedIndexError(f"the {role}s in the segments do not add up to their entries")
        index.checked_roles.add(role)


_NUMBER_OF = {"actor": "entries", "domain": "entries", "intent": "intents", "reservation": "reservations"}


def check_segment(index: Index, first: int, end: int) -> None:
    """Check the lines of one segment: all there, each as it was when the segment was made.

    Raises:
        DamagedIndexError: some are not.
    """
    if first in index.checked_segments:
        return
    span = {"first": first, "end": end}
    expected = _number(index, "SELECT lines_digest FROM segment WHERE first_offset = :first", span)
    found = _number(index, "SELECT sum(digest_now) FROM line WHERE byte_offset >= :first AND byte_offset < :end", span)
    if expected != found:
        raise DamagedIndexError(f"lines between the bytes {first} and {end} are altered or missing")
    index.checked_segments.add(first)


def check_row(index: Index, byte_offset: int) -> None:
    """Check that the row of the line at `byte_offset` is as it was written, as far as its digests tell.

    Raises:
        DamagedIndexError: it is not, or another row of its segment is not.
    """
    segment = index.connection.execute(
        "SELECT first_offset, end_offset FROM segment WHERE first_offset <= ? ORDER BY first_offset DESC LIMIT 1",
        (byte_offset,),
    ).fetchone()
    if segment and byte_offset < integer(segment[1:]):
        check_segment(index, *segment)
    elif _number(index, f"SELECT {_ALTERED} FROM tail"):
        raise DamagedIndexError("rows of the tail are altered")


def check_op_refs(index: Index) -> None:
    """Check that every folded entry can be found by its op_id, so that not finding one means something.

    One walk over the op_ids; it takes about a tenth of a second per million of them.

    Raises:
        DamagedIndexError: some are altered or missing.
    """
    if index.op_refs_are_checked:
        return
    check_segments(index)
    with index.snapshot():
        expected = index.connection.execute(
            "SELECT coalesce(sum(refs_digest), 0), coalesce(sum(entries), 0) FROM segment"
        ).fetchone()
        found = index.connection.execute("SELECT coalesce(sum(digest_now), 0), count(*) FROM op_ref").fetchone()
    if expected != found:
        raise DamagedIndexError("op_ids are altered or missing")
    index.op_refs_are_checked = True


def check_links(index: Index) -> None:
    """Check that the causal links are those that the segments were made with, in the order in which they are sought.

    What is packed in each has a checksum of its own, and is held against it when it is unpacked.

    Raises:
        DamagedIndexError: they are not.
    """
    if index.links_are_checked:
        return
    check_segments(index)
    with index.snapshot():
        expected = _number(index, "SELECT coalesce(sum(links_digest), 0) FROM segment")
        found = index.connection.execute("SELECT parents_in, children_in, digest_now FROM link").fetchall()
    # A damaged column holds a value of any type.
    numbers = all(type(value) is int for row in found for value in row)
    if not numbers or sum(digest for _, _, digest in found) != expected:
        raise DamagedIndexError("causal links are altered or missing")
    if any(before[:2] >= after[:2] for before, after in pairwise(found)):
        raise DamagedIndexError("causal links are not in their order")
    index.links_are_checked = True


def number_of_name(index: Index, text: str) -> int | None:
    """The number of a name; None where the index knows no such name.

    Raises:
        DamagedIndexError: the table and its index contradict each other, or names are missing from both.
    """
    number = index.number_of(text)
    if number is None and _number(index, "SELECT count(*) - coalesce(max(id), 0) FROM name NOT INDEXED"):
        raise DamagedIndexError("names are missing")
    return number


def _number(index: Index, statement: str, values: dict[str, int] | None = None) -> int:
    return integer(index.connection.execute(statement, values or {}).fetchone())
