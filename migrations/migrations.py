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
    ends              TEXT NOT NULL,
    parent_segments   TEXT,
    unresolved_links  INTEGER NOT NULL
"""


def _number(blob: str, at: str, width: int) -> str:
    """SQL for the number of `width` bytes, the lowest first, that begins behind byte `at` of a blob."""
    digits = f"hex(substr({blob}, 1 + {at}, {width}))"
    parts = []
    for byte in range(width):
        for digit in range(2):
            value = f"(instr('0123456789ABCDEF', substr({digits}, {2 * byte + digit + 1}, 1)) - 1)"
            parts.append(f"({value} << {8 * byte + 4 * (1 - digit)})")
    return f"({' + '.join(parts)})"


def _name(role: int, column: str, names: str) -> str:
    """SQL for the name that line `i` has in a role, whose column begins behind byte `column`."""
    one, two = _number("columns", f"{column} + i", 1), _number("columns", f"{column} + 2 * i", 2)
    number = f"CASE width_{role} WHEN 0 THEN 0 WHEN 1 THEN {one} ELSE {two} END"
    # Not by OFFSET: there SQLite allows no column of the outer query.
    placed = f"SELECT key, row_number() OVER (ORDER BY id) AS place FROM json_each({names})"
    return f"(SELECT key FROM ({placed}) WHERE place = {number})"


# Each line of each segment, its columns taken out of the blocks digit by digit: slow, but it needs nothing but SQL.
_VIEW = f"""
CREATE VIEW entries AS
WITH RECURSIVE line (number, i) AS (
    SELECT number, 0 FROM segment
    UNION ALL SELECT number, i + 1 FROM line JOIN segment USING (number) WHERE i + 1 < lines
),
wide AS (
    SELECT *, {_number("columns", "12", 1)} AS width,
        {_number("columns", "13", 1)} AS width_0, {_number("columns", "14", 1)} AS width_1,
        {_number("columns", "15", 1)} AS width_2, {_number("columns", "16", 1)} AS width_3
    FROM segment
)
SELECT
    first_offset + {_number("columns", "20 + 4 * i", 4)} AS byte_offset,
    CASE width
        WHEN 4 THEN lowest_lamport_ts + {_number("columns", "20 + 8 * lines + 4 * i", 4)}
        ELSE {_number("columns", "20 + 8 * lines + 8 * i", 8)}
    END AS lamport_ts,
    lower(hex(substr(op_ids, 1 + 16 * i, 4)) || '-' || hex(substr(op_ids, 5 + 16 * i, 2)) || '-'
        || hex(substr(op_ids, 7 + 16 * i, 2)) || '-' || hex(substr(op_ids, 9 + 16 * i, 2)) || '-'
        || hex(substr(op_ids, 11 + 16 * i, 6))) AS op_id,
    {_name(0, "20 + (8 + width) * lines", "actors")} AS actor_id,
    {_name(1, "20 + (8 + width + width_0) * lines", "domains")} AS domain
FROM line CROSS JOIN wide USING (number)
WHERE actor_id IS NOT NULL
UNION ALL
SELECT byte_offset, lamport_ts, op_id, actor_id, domain FROM tail WHERE problem IS NULL
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
