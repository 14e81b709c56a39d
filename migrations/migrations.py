"""The schema of the sidecar index, as sqlite-utils migrations (docs/format.md, "The index").

The file stands alone, with absolute imports only: the library loads it by its path, and
`sqlite-utils migrate index.db migrations/` finds it by its name.
"""

from sqlite_utils import Migrations
from sqlite_utils.db import Database

migrations = Migrations("muse.index")

# byte_offset is the rowid: rows lie in arrival order, and a range of the log is a range of rows.
# Every line of the covered prefix has a row; where it is not an entry, op_id and what follows is NULL.
_LINE_COLUMNS = """
    byte_offset INTEGER PRIMARY KEY,
    length      INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    lamport_ts  INTEGER,
    op_id       BLOB,
    actor       INTEGER,
    domain      INTEGER,
    intent      INTEGER,
    reservation INTEGER
"""

_VIEW = """
CREATE VIEW entries AS
SELECT byte_offset, length, checksum, lamport_ts,
       lower(substr(hex(op_id), 1, 8) || '-' || substr(hex(op_id), 9, 4) || '-' || substr(hex(op_id), 13, 4)
             || '-' || substr(hex(op_id), 17, 4) || '-' || substr(hex(op_id), 21)) AS op_id,
       (SELECT text FROM name WHERE id = actor) AS actor_id,
       (SELECT text FROM name WHERE id = domain) AS domain,
       coalesce((SELECT text FROM name WHERE id = intent), '') AS intent_id,
       coalesce((SELECT text FROM name WHERE id = reservation), '') AS reservation_id
FROM (SELECT * FROM line UNION ALL SELECT * FROM tail)
WHERE op_id IS NOT NULL
"""


@migrations()
def m0001_lines_and_segments(db: Database) -> None:
    """Lines by byte offset, their names, and a summary of every some thousand of them."""
    db.execute("CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)")
    db.execute(f"CREATE TABLE line ({_LINE_COLUMNS})")
    # Four bytes of a random op_id tell nearly all entries apart, at a fifth of the full index's size.
    db.execute("CREATE INDEX line_by_op_id ON line (substr(op_id, 1, 4)) WHERE op_id IS NOT NULL")
    # The newest lines: no secondary index, so that an append dirties a page or two and not five.
    db.execute(f"CREATE TABLE tail ({_LINE_COLUMNS})")
    db.execute("CREATE TABLE non_entry (byte_offset INTEGER PRIMARY KEY, kind TEXT NOT NULL, reason TEXT NOT NULL)")
    db.execute(
        """
        CREATE TABLE segment (
            first_offset   INTEGER PRIMARY KEY,
            end_offset     INTEGER NOT NULL,
            entries        INTEGER NOT NULL,
            intents        INTEGER NOT NULL,
            reservations   INTEGER NOT NULL,
            min_lamport_ts INTEGER,
            max_lamport_ts INTEGER,
            lines_digest   INTEGER NOT NULL,
            digest         INTEGER
        )
        """
    )
    db.execute(
        """
        CREATE TABLE presence (
            role    TEXT NOT NULL,
            name    INTEGER NOT NULL,
            segment INTEGER NOT NULL,
            entries INTEGER NOT NULL,
            PRIMARY KEY (role, name, segment)
        ) WITHOUT ROWID
        """
    )
    db.execute(
        """
        CREATE TABLE checkpoint_seen (
            id          INTEGER PRIMARY KEY CHECK (id = 1),
            byte_offset INTEGER NOT NULL,
            snapshot_id TEXT NOT NULL
        )
        """
    )
    # Lines that no longer are what they were when they were indexed first: kept across rebuilds.
    db.execute("CREATE TABLE altered (byte_offset INTEGER PRIMARY KEY, first_checksum INTEGER NOT NULL)")
    db.execute(_VIEW)
