-- The schema of the sidecar index (docs/format.md, "The index"). An index is used only if its own is the same, word for
-- word; so a statement that changes needs a new name for the migration.

-- byte_offset is the rowid: rows lie in arrival order. No other index: an append touches one page or two.
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
);

-- What segments and runs have in common, up to unresolved_links, can be read as it stands. The names are JSON objects,
-- name to number of entries; NULL if there are too many to list.
CREATE TABLE segment (
    number INTEGER PRIMARY KEY,
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
    unresolved_links  INTEGER NOT NULL,
    columns_checksum INTEGER NOT NULL,
    op_ids_checksum  INTEGER NOT NULL,
    links_checksum   INTEGER NOT NULL,
    row_checksum     INTEGER NOT NULL,
    columns          BLOB NOT NULL,
    op_ids           BLOB NOT NULL,
    links            BLOB NOT NULL
);

-- The folder of the session that the index was made for; and a secret, 32 hexadecimal digits: who knows it can make
-- op_ids that look alike in this index.
CREATE TABLE origin (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    session      TEXT NOT NULL,
    factor       TEXT NOT NULL,
    row_checksum INTEGER NOT NULL
);

CREATE TABLE run (
    first_segment INTEGER PRIMARY KEY,
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
    unresolved_links  INTEGER NOT NULL,
    directory_checksum INTEGER NOT NULL,
    block_checksum     INTEGER NOT NULL,
    row_checksum       INTEGER NOT NULL,
    directory          BLOB NOT NULL,
    block              BLOB NOT NULL
);

CREATE TABLE run_page (
    first_segment INTEGER NOT NULL,
    end_segment   INTEGER NOT NULL,
    page          INTEGER NOT NULL,
    row_checksum  INTEGER NOT NULL,
    content       BLOB NOT NULL,
    PRIMARY KEY (first_segment, end_segment, page)
) WITHOUT ROWID;

-- Evidence: kept across rebuilds. The record of the last checkpoint that was made or read, as JSON, and the entries
-- whose lines are gone from the log, or altered.
CREATE TABLE seen_checkpoint (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    byte_offset  INTEGER NOT NULL,
    record       TEXT NOT NULL,
    row_checksum INTEGER NOT NULL
);

CREATE TABLE held_entry (
    byte_offset  INTEGER NOT NULL,
    length       INTEGER NOT NULL,
    checksum     INTEGER NOT NULL,
    lamport_ts   INTEGER NOT NULL,
    op_id        TEXT NOT NULL,
    actor_id     TEXT NOT NULL,
    domain       TEXT NOT NULL,
    row_checksum INTEGER NOT NULL,
    PRIMARY KEY (byte_offset, length, checksum)
) WITHOUT ROWID;

-- Each line of each segment, taken out of the blocks by SQL alone, 64 lines at a time: some 50 µs an entry. It has
-- few words, since SQLite parses it whenever an index is opened. Fields (name) are 0: offset, 1: timestamp, 2: actor,
-- 3: domain, 4: op_id; t, a and d are the bytes that a timestamp, an actor and a domain take.
CREATE VIEW entries AS WITH RECURSIVE
n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 63),
k (k) AS (VALUES (0), (1), (2), (3), (4), (5), (6), (7)),
piece (number, i) AS (
    SELECT number, 0 FROM segment
    UNION ALL SELECT number, i + 64 FROM piece NATURAL JOIN segment WHERE i + 64 < lines
),
wide AS MATERIALIZED (
    SELECT number, lines, first_offset, lowest_lamport_ts low, unicode(substr(columns, 13, 1)) t,
        unicode(substr(columns, 14, 1)) a, unicode(substr(columns, 15, 1)) d,
        (SELECT json_group_array(key) FROM json_each(actors)) actors,
        (SELECT json_group_array(key) FROM json_each(domains)) domains
    FROM segment
),
field (number, name, at, w) AS (
    SELECT number, 0, 21, 4 FROM wide
    UNION ALL SELECT number, 1, 21 + 8 * lines, t FROM wide
    UNION ALL SELECT number, 2, 21 + (8 + t) * lines, a FROM wide
    UNION ALL SELECT number, 3, 21 + (8 + t + a) * lines, d FROM wide
    UNION ALL SELECT number, 4, 1, 16 FROM wide
),
part AS MATERIALIZED (
    SELECT number, i, name, w, substr(iif(name = 4, op_ids, columns), at + w * i, w * 64) b
    FROM piece NATURAL JOIN field NATURAL JOIN segment
),
cell (number, i, name, h) AS (
    SELECT number, i + n, name, hex(substr(b, w * n + 1, w)) FROM part, n WHERE w * n < length(b)
),
row AS (
    SELECT number, i, max(lower(h)) FILTER (WHERE name = 4) h, max(x) FILTER (WHERE name = 0) o,
        max(x) FILTER (WHERE name = 1) ts, max(x) FILTER (WHERE name = 2) - 1 actor,
        max(x) FILTER (WHERE name = 3) - 1 domain
    FROM (SELECT *, iif(name = 4, 0, (SELECT sum(instr('123456789ABCDEF', substr(h, 2 * k + 1, 1)) * 16
        + instr('123456789ABCDEF', substr(h, 2 * k + 2, 1)) << 8 * k) FROM k WHERE 2 * k < length(h))) x FROM cell)
    GROUP BY 1, 2
)
SELECT first_offset + o AS byte_offset, iif(t = 4, low, 0) + ts AS lamport_ts,
    substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-' || substr(h, 13, 4) || '-' || substr(h, 17, 4) || '-'
        || substr(h, 21) AS op_id,
    json_extract(actors, '$[' || actor || ']') AS actor_id, json_extract(domains, '$[' || domain || ']') AS domain
FROM row NATURAL JOIN wide WHERE actor >= 0 AND i < lines
UNION ALL SELECT byte_offset, lamport_ts, op_id, actor_id, domain FROM tail
WHERE problem IS NULL AND byte_offset >= (SELECT coalesce(max(end_offset), 0) FROM run);
