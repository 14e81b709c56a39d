"""The schema of the sidecar index, as sqlite-utils migrations (docs/format.md, "The index").

The file stands alone, with absolute imports only: the library loads it by its path, and
`sqlite-utils migrate index.db migrations/` finds it by its name.
"""

from sqlite_utils import Migrations
from sqlite_utils.db import Database

migrations = Migrations("muse.index")

# byte_offset is the rowid: rows lie in arrival order, and a range of the log is a range of rows.
# Every line of the covered prefix has a row; where it is not an entry, lamport_ts and what follows is NULL.
_LINE_COLUMNS = """
    byte_offset INTEGER PRIMARY KEY,
    length      INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    lamport_ts  INTEGER,
    op_high     INTEGER,
    op_low      INTEGER,
    actor       INTEGER,
    domain      INTEGER,
    intent      INTEGER,
    reservation INTEGER
"""

# Digests: each column and place with a weight of its own, so that any single row that is missing, moved or
# altered changes a sum of them; NULL counts as a number that no column holds. The remainders keep sums over
# any number of rows within 64 bits. `digest` is stored as it was when the row was written, `digest_now` is
# computed whenever it is asked for.
_LINE_DIGEST_PARTS = """
    checksum + 3 * length + 5 * (coalesce(lamport_ts, -1) % 2147483647)
      + 7 * (coalesce(op_high, -1) % 2147483647) + 11 * (coalesce(op_low, -1) % 2147483647)
      + 13 * coalesce(actor, -1) + 17 * coalesce(domain, -1)
      + 19 * coalesce(intent, -1) + 23 * coalesce(reservation, -1)
"""
_LINE_DIGEST = f"(({_LINE_DIGEST_PARTS}) % 2147483647 * (1 + byte_offset % 10007))"
_TAIL_DIGEST = f"(({_LINE_DIGEST_PARTS} + 29 * coalesce(length(parents), -1)) % 2147483647 * (1 + byte_offset % 10007))"
_REF_DIGEST = "((31 * {prefix} + 17 * (byte_offset % 2147483647)) % 2147483647)"
_PRESENCE_DIGEST = """
    ((31 * name * (1 + segment % 10007) + 17 * (segment % 2147483647) + 101 * entries) % 2147483647)
"""
_SEGMENT_DIGEST = """
    ((first_offset % 2147483647 + 3 * (end_offset % 2147483647) + 5 * entries + 7 * intents + 11 * reservations
      + 13 * (coalesce(min_lamport_ts, -1) % 2147483647) + 17 * (coalesce(max_lamport_ts, -1) % 2147483647)
      + 19 * (lines_digest % 2147483647) + 23 * (refs_digest % 2147483647) + 29 * (actors_digest % 2147483647)
      + 31 * (domains_digest % 2147483647) + 37 * (intents_digest % 2147483647)
      + 41 * (reservations_digest % 2147483647) + 43 * (links_digest % 2147483647))
     % 2147483647)
"""
_LINK_DIGEST = """
    ((31 * (parents_in % 2147483647) + 17 * (children_in % 2147483647) + 101 * (checksum % 2147483647)
      + 13 * length(packed)) % 2147483647)
"""

_VIEW = """
CREATE VIEW entries AS
SELECT byte_offset, length, checksum, lamport_ts,
       printf('%08x-%04x-%04x-%04x-%012x', op_high >> 32 & 0xffffffff, op_high >> 16 & 0xffff, op_high & 0xffff,
              op_low >> 48 & 0xffff, op_low & 0xffffffffffff) AS op_id,
       (SELECT text FROM name WHERE id = actor) AS actor_id,
       (SELECT text FROM name WHERE id = domain) AS domain,
       coalesce((SELECT text FROM name WHERE id = intent), '') AS intent_id,
       coalesce((SELECT text FROM name WHERE id = reservation), '') AS reservation_id
FROM (SELECT byte_offset, length, checksum, lamport_ts, op_high, op_low, actor, domain, intent, reservation FROM line
      UNION ALL
      SELECT byte_offset, length, checksum, lamport_ts, op_high, op_low, actor, domain, intent, reservation FROM tail)
WHERE op_high IS NOT NULL
"""


@migrations()
def m0001_lines_segments_presences_links(db: Database) -> None:
    """Lines by byte offset, their op_ids, names and causal links, and a summary of every some thousand of them."""
    db.execute("CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)")
    db.execute(
        f"""
        CREATE TABLE line (
            {_LINE_COLUMNS},
            digest_now     INTEGER GENERATED ALWAYS AS ({_LINE_DIGEST}) VIRTUAL,
            ref_digest_now INTEGER GENERATED ALWAYS AS ({_REF_DIGEST.format(prefix="(op_high >> 32)")}) VIRTUAL
        )
        """
    )
    # Collapsing a domain seeks its lines; the rowid in each entry keeps those of one segment together.
    db.execute("CREATE INDEX line_domain ON line (domain)")
    # The newest lines: no secondary index, so that an append dirties a page or two and not five.
    db.execute(
        f"""
        CREATE TABLE tail (
            {_LINE_COLUMNS},
            parents    BLOB,
            digest     INTEGER GENERATED ALWAYS AS ({_TAIL_DIGEST}) STORED,
            digest_now INTEGER GENERATED ALWAYS AS ({_TAIL_DIGEST}) VIRTUAL
        )
        """
    )
    # Four bytes of a random op_id tell nearly all entries apart, at a third of the full index's size.
    db.execute(
        f"""
        CREATE TABLE op_ref (
            prefix      INTEGER NOT NULL,
            byte_offset INTEGER NOT NULL,
            digest_now  INTEGER GENERATED ALWAYS AS ({_REF_DIGEST.format(prefix="prefix")}) VIRTUAL,
            PRIMARY KEY (prefix, byte_offset)
        ) WITHOUT ROWID
        """
    )
    db.execute("CREATE TABLE non_entry (byte_offset INTEGER PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL)")
    db.execute(
        f"""
        CREATE TABLE segment (
            first_offset   INTEGER PRIMARY KEY,
            end_offset     INTEGER NOT NULL,
            entries        INTEGER NOT NULL,
            intents        INTEGER NOT NULL,
            reservations   INTEGER NOT NULL,
            min_lamport_ts INTEGER,
            max_lamport_ts INTEGER,
            lines_digest   INTEGER NOT NULL,
            refs_digest    INTEGER NOT NULL,
            actors_digest  INTEGER NOT NULL,
            domains_digest INTEGER NOT NULL,
            intents_digest INTEGER NOT NULL,
            reservations_digest INTEGER NOT NULL,
            links_digest   INTEGER NOT NULL,
            digest         INTEGER GENERATED ALWAYS AS ({_SEGMENT_DIGEST}) STORED,
            digest_now     INTEGER GENERATED ALWAYS AS ({_SEGMENT_DIGEST}) VIRTUAL
        )
        """
    )
    # A table for each role: what is altered in one can't lead a search in another astray.
    for role in ("actor", "domain", "intent", "reservation"):
        db.execute(
            f"""
            CREATE TABLE {role}_presence (
                name       INTEGER NOT NULL,
                segment    INTEGER NOT NULL,
                entries    INTEGER NOT NULL,
                digest_now INTEGER GENERATED ALWAYS AS ({_PRESENCE_DIGEST}) VIRTUAL,
                PRIMARY KEY (name, segment)
            ) WITHOUT ROWID
            """
        )
    # What depends on what, packed for each pair of segments that are linked (muse/core/index_links.py).
    db.execute(
        f"""
        CREATE TABLE link (
            parents_in  INTEGER NOT NULL,
            children_in INTEGER NOT NULL,
            checksum    INTEGER NOT NULL,
            packed      BLOB NOT NULL,
            digest_now  INTEGER GENERATED ALWAYS AS ({_LINK_DIGEST}) VIRTUAL,
            PRIMARY KEY (parents_in, children_in)
        ) WITHOUT ROWID
        """
    )
    db.execute(
        """
        CREATE TABLE checkpoint_seen (
            id          INTEGER PRIMARY KEY CHECK (id = 1),
            byte_offset INTEGER NOT NULL,
            snapshot_id TEXT NOT NULL,
            digest      INTEGER NOT NULL
        )
        """
    )
    # Lines that no longer are what they were when they were indexed first: kept across rebuilds.
    db.execute("CREATE TABLE altered (byte_offset INTEGER PRIMARY KEY, first_checksum INTEGER NOT NULL)")
    db.execute(_VIEW)
