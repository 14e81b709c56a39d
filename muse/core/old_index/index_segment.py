"""Folding lines into a segment: what is recorded of a run of them, so that questions need not look at each.

A segment keeps its range of bytes and of timestamps, how often each name occurs in it, and digests of all of it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from muse.core.storage.record import integer

ROLES = ("actor", "domain", "intent", "reservation")
"""What a name can be to an entry."""


def refer(connection: sqlite3.Connection, first: int, end: int) -> None:
    """Make the entries of [first, end) known by their op_ids."""
    # Sorted, so that neighbours in the table are written together.
    connection.execute(
        "INSERT INTO op_ref (prefix, byte_offset) SELECT op_high >> 32 AS prefix, byte_offset FROM line "
        "WHERE byte_offset >= ? AND byte_offset < ? AND op_high IS NOT NULL ORDER BY prefix",
        (first, end),
    )


def summarise(connection: sqlite3.Connection, first: int, end: int, links_digest: int) -> None:
    """Record the lines of [first, end) as one segment, with the digest of its causal links; it must follow the last."""
    # One walk: lines that share all their names count as one, and there are few of those.
    groups = connection.execute(
        f"""
        SELECT {", ".join(ROLES)}, count(op_high), min(lamport_ts), max(lamport_ts), sum(digest_now),
               coalesce(sum(ref_digest_now), 0)
        FROM line WHERE byte_offset >= ? AND byte_offset < ? GROUP BY {", ".join(ROLES)}
        """,
        (first, end),
    ).fetchall()
    presence: Counter[tuple[str, int]] = Counter()
    for *names, entries, _, _, _, _ in groups:
        for role, name in zip(ROLES, names, strict=True):
            if name is not None:
                presence[role, name] += entries
    digests = dict.fromkeys(ROLES, 0)
    for (role, name), entries in presence.items():
        inserted = connection.execute(
            f"INSERT INTO {role}_presence (name, segment, entries) VALUES (?, ?, ?) RETURNING digest_now",
            (name, first, entries),
        )
        digests[role] += integer(inserted.fetchone())
    _, _, intents, reservations, entries, lowest, highest, lines_digest, refs_digest = zip(*groups, strict=True)
    connection.execute(
        """
        INSERT INTO segment (first_offset, end_offset, entries, intents, reservations,
                             min_lamport_ts, max_lamport_ts, lines_digest, refs_digest,
                             actors_digest, domains_digest, intents_digest, reservations_digest, links_digest)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            first,
            end,
            sum(entries),
            sum(number for number, name in zip(entries, intents, strict=True) if name is not None),
            sum(number for number, name in zip(entries, reservations, strict=True) if name is not None),
            min((each for each in lowest if each is not None), default=None),
            max((each for each in highest if each is not None), default=None),
            sum(lines_digest),
            sum(refs_digest),
            *digests.values(),
            links_digest,
        ),
    )
