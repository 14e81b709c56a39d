"""The schema of the sidecar index, as sqlite-utils migrations (docs/format.md, "The index").

The file stands alone, with absolute imports only: the library loads it by its path, and
`sqlite-utils migrate index.db migrations/` finds it by its name.
"""

from sqlite_utils import Migrations
from sqlite_utils.db import Database

migrations = Migrations("muse.index")

# What segments and runs have in common: it can be read as it stands. The names are JSON objects, name to number of
# entries; NULL if there are too many to list.
_SUMMARY = """
    first_offset      INTEGER NOT NULL,
    end_offset        INTEGER NOT NULL,
    lines             INTEGER NOT NULL,
    entries           INTEGER NOT NULL,
    entries_before    INTEGER NOT NULL,
    lowest_lamport_ts INTEGER,
    highest_lamport_ts INTEGER,
    actors            TEXT,
    domains           TEXT,
    intents           TEXT,
    reservations      TEXT,
    parent_segments   TEXT,
    unresolved_links  INTEGER NOT NULL
"""


# Each line of each segment, its columns taken out of the blocks byte by byte: slow, but it needs nothing but SQL. It
# has few words, since SQLite parses it whenever an index is opened. Fields are 0: offset, 1: timestamp, 2: actor,
# 3: domain; t, a and d are the bytes that the last three take for a line.
_VIEW = """
CREATE VIEW entries AS WITH RECURSIVE
line (number, i) AS (
    SELECT number, 0 FROM segment
    UNION ALL SELECT number, i + 1 FROM line JOIN segment USING (number) WHERE i + 1 < lines
),
wide AS (
    SELECT *, unicode(substr(columns, 13)) t, unicode(substr(columns, 14)) a, unicode(substr(columns, 15)) d
    FROM segment
),
field (number, i, name, at, width) AS (
    SELECT number, i, 0, 20 + 4 * i, 4 FROM line
    UNION ALL SELECT number, i, 1, 20 + 8 * lines + t * i, t FROM line JOIN wide USING (number)
    UNION ALL SELECT number, i, 2, 20 + (8 + t) * lines + a * i, a FROM line JOIN wide USING (number)
    UNION ALL SELECT number, i, 3, 20 + (8 + t + a) * lines + d * i, d FROM line JOIN wide USING (number)
),
byte (number, i, name, k, h) AS (
    SELECT number, i, name, value, hex(substr(columns, at + value + 1, 1))
    FROM field JOIN segment USING (number) JOIN json_each('[0,1,2,3,4,5,6,7]') ON value < width
),
entry (number, i, name, x) AS (
    SELECT number, i, name,
        sum(instr('123456789ABCDEF', substr(h, 1, 1)) * 16 + instr('123456789ABCDEF', substr(h, 2)) << 8 * k)
    FROM byte GROUP BY 1, 2, 3
),
row AS (
    SELECT number, i, lower(hex(substr(op_ids, 1 + 16 * i, 16))) h, max(x) FILTER (WHERE name = 0) o,
        max(x) FILTER (WHERE name = 1) ts,
        max(x) FILTER (WHERE name = 2) - 1 actor, max(x) FILTER (WHERE name = 3) - 1 n
    FROM entry JOIN segment USING (number) GROUP BY 1, 2
)
SELECT first_offset + o AS byte_offset, iif(t = 4, lowest_lamport_ts, 0) + ts AS lamport_ts,
    substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-' || substr(h, 17, 4) || '-'
        || substr(h, 21) AS op_id,
    json_extract((SELECT json_group_array(key) FROM json_each(actors)), '$[' || actor || ']') AS actor_id,
    json_extract((SELECT json_group_array(key) FROM json_each(domains)), '$[' || n || ']') AS domain
FROM row JOIN wide USING (number) WHERE actor >= 0
UNION ALL SELECT byte_offset, lamport_ts, op_id, actor_id, domain FROM tail
WHERE problem IS NULL AND byte_offset >= (SELECT coalesce(max(end_offset), 0) FROM run)
"""


@migrations()
def m0001_tail_segments_runs_evidence(db: Database) -> None:
    """The newest lines row by row, the others in segments, runs over these, and what the log alone can't say."""
    # byte_offset is the rowid: rows lie in arrival order. No other index: an append touches one page or two.
    # A row that does not follow the last one is inserted with a length of NULL, and so refused.
    db.execute(
        """
        CREATE TABLE tail (
            byte_offset    INTEGER PRIMARY KEY,
            length         INTEGER NOT NULL,
            checksum       INTEGER NOT NULL,
            lamport_ts     INTEGER,
            op_id          TEXT,
            actor_id       TEXT,
            domain         TEXT,
            intent_id      TEXT,
            reservation_id TEXT,
            parents        TEXT,
            problem        TEXT,
            row_checksum   INTEGER NOT NULL
        )
        """
    )
    db.execute(
        f"""
        CREATE TABLE segment (
            number INTEGER PRIMARY KEY,
            {_SUMMARY},
            columns_checksum INTEGER NOT NULL,
            op_ids_checksum  INTEGER NOT NULL,
            links_checksum   INTEGER NOT NULL,
            row_checksum     INTEGER NOT NULL,
            columns          BLOB NOT NULL,
            op_ids           BLOB NOT NULL,
            links            BLOB NOT NULL
        )
        """
    )
    db.execute(
        f"""
        CREATE TABLE run (
            first_segment INTEGER PRIMARY KEY,
            {_SUMMARY},
            directory_checksum INTEGER NOT NULL,
            block_checksum     INTEGER NOT NULL,
            row_checksum       INTEGER NOT NULL,
            directory          BLOB NOT NULL,
            block              BLOB NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE run_page (
            first_segment INTEGER NOT NULL,
            end_segment   INTEGER NOT NULL,
            page          INTEGER NOT NULL,
            row_checksum  INTEGER NOT NULL,
            keys          BLOB NOT NULL,
            PRIMARY KEY (first_segment, end_segment, page)
        ) WITHOUT ROWID
        """
    )
    # Evidence: kept across rebuilds.
    db.execute(
        """
        CREATE TABLE seen_checkpoint (
            id           INTEGER PRIMARY KEY CHECK (id = 1),
            byte_offset  INTEGER NOT NULL,
            snapshot_id  TEXT NOT NULL,
            row_checksum INTEGER NOT NULL
        )
        """
    )
    db.execute(
        """
        CREATE TABLE changed_line (
            byte_offset    INTEGER PRIMARY KEY,
            first_checksum INTEGER NOT NULL,
            row_checksum   INTEGER NOT NULL
        )
        """
    )
    db.execute(_VIEW)
