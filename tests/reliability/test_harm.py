"""Files that somebody has made to do harm: in the place of a session's, crafted indexes, archives and op_ids."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import sqlite3
import struct
import tarfile
import time
import tracemalloc
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from muse.core.index.blocks.segment import row_checksum
from muse.core.index.file import open_database
from muse.core.index.fold import RUN_COLUMNS, SEGMENT_COLUMNS
from muse.core.index.store import Index
from muse.core.op_log import (
    ArchiveError,
    DamagedCheckpointError,
    OpLog,
    describe_sessions,
    export_session,
    import_session,
    list_sessions,
)
from tests import making, plain_scan
from tests.cli.running import muse
from tests.index.blocks.test_op_id_keys import alike_under
from tests.making import entries, entry
from tests.reliability.faults import a_socket
from tests.reliability.material import digest_of
from tests.small_index import segments_of

MOST_SECONDS = 60
MOST_BYTES = 16 << 20


@contextmanager
def bounded() -> Iterator[None]:
    """What is done takes neither long nor much memory."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < MOST_SECONDS


# -- what stands in a place where it does not belong -----------------------------------------------------------


def link_loop(path: Path) -> None:
    """A link that leads to itself."""
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    """A folder with something in it."""
    path.mkdir()
    path.joinpath("x").write_bytes(b"x")


KINDS = [link_loop, folder, a_socket, os.mkfifo]


def two_sessions(repo: Path) -> Path:
    """Sessions "good" and "bad" of one entry each, with checkpoints; the folder of "bad"."""
    for name in ("bad", "good"):
        with OpLog(repo, name) as log:
            log.append(entry(1))
            log.checkpoint("c")
    return making.log_path(repo, "bad").parent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["session", "ops.jsonl", "checkpoint.json"])
def test_what_is_no_file_in_a_sessions_place_is_that_sessions_error(
    repo: Path, place: str, kind: Callable[[Path], None]
) -> None:
    """Row 54: the other session is listed with its entries, and the spoiled one with what is wrong."""
    bad = two_sessions(repo)
    if place == "session":
        for path in bad.iterdir():
            path.unlink()
        bad.rmdir()
        kind(bad)
    else:
        bad.joinpath(place).unlink()
        kind(bad / place)

    is_folder = place == "session" and kind is folder
    assert list_sessions(repo) == (["good"] if is_folder else ["bad", "good"])
    *spoiled, good = describe_sessions(repo)
    assert (good.session_id, good.ops, good.problem) == ("good", 1, None)
    assert len(spoiled) == (not is_folder)
    for found in spoiled:
        assert str(bad) in str(found.problem)
        told = muse("sessions", "--repo", repo)
        # A log that can't be read is no damage, and neither is a record that can't be.
        assert told.exit_code == (1 if place == "session" or (place, kind) == ("ops.jsonl", link_loop) else 3)
        assert "good" in told.stdout
        assert f"session 'bad': {found.problem}" in told.stderr
        assert muse("verify", "bad", "--repo", repo).exit_code == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["session", "ops.jsonl"])
def test_session_whose_place_is_taken_fails_with_an_error_that_names_it(
    repo: Path, place: str, kind: Callable[[Path], None]
) -> None:
    """Row 54: each call raises an OSError with the file's name, and nothing else."""
    path = making.log_path(repo)
    path = path.parent if place == "session" else path
    path.parent.mkdir(parents=True)
    kind(path)
    calls: list[Callable[[OpLog], object]] = [
        *(len, OpLog.read_all, OpLog.verify, OpLog.rebuild_index, OpLog.cut),
        lambda log: log.append(entry(1)),
        lambda log: log.checkpoint("c"),
    ]
    for call in calls:
        if place == "session" and kind is folder:
            break
        with OpLog(repo, "s") as log, pytest.raises(OSError, match=r"op_log/s['/]"):
            call(log)
    assert kind is folder or path.is_symlink() or not path.is_file()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["index.db", "index.db-wal", "index.db-journal", "index.db.new", "index.db.old", "index.db.building"]
)
def test_what_is_no_file_in_the_indexs_place_hinders_nobody(
    repo: Path, name: str, kind: Callable[[Path], None]
) -> None:
    """Row 54: reads and appends go on, from an index in memory at worst."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(5))
    folder = making.log_path(repo).parent
    if name == "index.db":
        folder.joinpath(name).unlink()
    kind(folder / name)
    for number in (6, 7):
        with OpLog(repo, "s") as log:
            log.append(entry(number))
            assert plain_scan.exact_list(log) == plain_scan.exact_list(plain_scan.scan(log.path.read_bytes()).entries)


@pytest.mark.parametrize("kind", [link_loop, a_socket, os.mkfifo])
def test_what_is_no_folder_in_the_place_of_all_sessions_is_an_error(repo: Path, kind: Callable[[Path], None]) -> None:
    """Row 54: it is not taken for a repository without sessions."""
    top = making.log_path(repo).parents[1]
    top.parent.mkdir()
    kind(top)
    for call in (list_sessions, describe_sessions):
        with pytest.raises(OSError, match="op_log"):
            call(repo)
    assert muse("sessions", "--repo", repo).exit_code == 3


def test_links_in_a_circle_by_way_of_outside_are_no_way_out(repo: Path, tmp_path: Path) -> None:
    """Row 54: neither of them is followed, and the error names the session's."""
    path = making.log_path(repo).parent
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "outside")
    (tmp_path / "outside").symlink_to(path)
    assert list_sessions(repo) in (["s"], [])
    with pytest.raises((OSError, ValueError), match="op_log/s"), OpLog(repo, "s") as log:
        log.append(entry(1))


# -- archives --------------------------------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, bytes]:
    """The files in the archive of a session of five entries with a checkpoint."""
    with OpLog(tmp_path / "exported", "s") as log:
        log.append_many(entries(5))
        log.checkpoint("c")
        out = io.BytesIO()
        export_session(log, out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue()), mode="r:gz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]  # files


def archive_of(parts: Mapping[str, bytes], headers: Mapping[str, str] | None = None, kind: bytes = b"0") -> bytes:
    """An archive of these files; headers of pax and the type are the log's."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name == "ops.jsonl":
                info.pax_headers, info.type = dict(headers or {}), kind
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def described(parts: Mapping[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The files, and a manifest that tells their sizes and digests; some other fields of it changed."""
    manifest = json.loads(parts["manifest.json"])
    for name in manifest["members"]:
        digest = hashlib.sha256(parts[name]).hexdigest()
        manifest["members"][name] = {"size_bytes": len(parts[name]), "sha256": digest}
    return {**parts, "manifest.json": json.dumps({**manifest, **changes}).encode()}


def with_record(parts: Mapping[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The files, fields of the checkpoint changed and its digest made anew."""
    record = {**json.loads(parts["checkpoint.json"]), **changes}
    record["record_digest"] = digest_of(record)
    return described({**parts, "checkpoint.json": json.dumps(record).encode()})


def headers_only(kind: bytes, size: int, count: int, content: bytes = b"") -> bytes:
    """A tar of nothing but headers; the content of the last one is repeated."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as zipped:
        zipped.write(info.tobuf(tarfile.GNU_FORMAT) * count)
        for _ in range(size // len(content) if content else 0):
            zipped.write(content)
    return out.getvalue()


MIB = bytes(1 << 20)
EXTENSIONS = {
    "pax": tarfile.XHDTYPE,
    "global": tarfile.XGLTYPE,
    "name": tarfile.GNUTYPE_LONGNAME,
    "link": tarfile.GNUTYPE_LONGLINK,
    "solaris": tarfile.SOLARIS_XHDTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE,
}


def refuse(archive: bytes, target: Path) -> str:
    """Import it, which must be refused with nothing left and within bounds; what was said."""
    with bounded(), pytest.raises(ArchiveError) as refusal:
        import_session(target, io.BytesIO(archive))
    assert not target.exists()
    assert len(str(refusal.value)) < 1000
    return str(refusal.value)


@pytest.mark.parametrize("kind", EXTENSIONS.values(), ids=EXTENSIONS)
def test_headers_of_an_archive_are_few_and_short(tmp_path: Path, kind: bytes) -> None:
    """Row 49: one that fills 32 MiB of memory, one that says 2 GiB, and 2,000 of which each calls for the next."""
    refuse(headers_only(kind, 32 << 20, 1, MIB), tmp_path / "x")
    refuse(headers_only(kind, 2 << 30, 1), tmp_path / "x")
    refuse(headers_only(kind, 0, 2000), tmp_path / "x")
    refuse(headers_only(kind, -1, 1), tmp_path / "x")


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "ops.jsonl"}


@pytest.mark.parametrize(
    "headers",
    [
        *({"path": "../../x"}, {"path": "/etc/x"}, {"path": "x" * 60_000}, {"comment": "x" * 70_000}),
        *({"size": size} for size in ("1000000000000000000", "-512", "1e9", "9" * 5000, "0", "")),
        {**SPARSE, "GNU.sparse.realsize": str(2**40)},
        {"GNU.sparse.map": "0,1,99999999999,1", "GNU.sparse.size": "100000000000"},
    ],
    ids=lambda headers: next(iter(headers.items()))[1][:10],
)
def test_what_a_header_says_of_the_log_is_not_believed(
    tmp_path: Path, parts: dict[str, bytes], headers: dict[str, str]
) -> None:
    """Row 49: other names, other sizes, holes in it."""
    refuse(archive_of(parts, headers), tmp_path / "x")


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6", b"S", b"V", b"M", b"A", b"\xff"])
def test_log_that_is_no_file_in_the_archive_is_refused(tmp_path: Path, parts: dict[str, bytes], kind: bytes) -> None:
    """Row 49: links, devices, folders, FIFOs, sparse files, volumes, and types that nobody knows."""
    refuse(archive_of(parts, kind=kind), tmp_path / "x")


def test_header_that_tells_time_and_size_of_the_log_is_read(tmp_path: Path, parts: dict[str, bytes]) -> None:
    """Row 49: what other programs write, and what this one does for a log beyond 8 GiB, is taken."""
    headers = {"mtime": "1767225600.5", "size": str(len(parts["ops.jsonl"])), "comment": "é"}
    import_session(tmp_path / "x", io.BytesIO(archive_of(parts, headers)))
    assert making.log_bytes(tmp_path / "x") == parts["ops.jsonl"]


def test_what_inflates_without_end_is_not_inflated(tmp_path: Path, parts: dict[str, bytes]) -> None:
    """Row 49: a manifest, a log, a checkpoint, and what follows the end, of 32 MiB of zeros, in some 32 kB."""
    for name in parts:
        refuse(archive_of({**parts, name: MIB * 32}), tmp_path / "x")
    assert "checkpoint.json" in refuse(archive_of(described({**parts, "checkpoint.json": MIB * 32})), tmp_path / "x")
    assert "end with a line" in refuse(archive_of(described({**parts, "ops.jsonl": MIB * 32})), tmp_path / "x")
    refuse(gzip.compress(gzip.decompress(archive_of(parts)) + MIB * 32), tmp_path / "x")
    refuse(gzip.compress(b"") * 10_000, tmp_path / "x")


@pytest.mark.parametrize("op_count", [0, 3, 4, 6, 7, 10**18, 2**62])
def test_number_in_the_manifest_is_that_of_the_log(tmp_path: Path, parts: dict[str, bytes], op_count: int) -> None:
    """Row 49: more and fewer are refused."""
    refuse(archive_of(described(parts, op_count=op_count)), tmp_path / "x")


def test_entry_that_was_damaged_after_it_was_indexed_hinders_no_import(tmp_path: Path, repo: Path) -> None:
    """Row 49: the index counts it, and so does the manifest."""
    out = io.BytesIO()
    with OpLog(repo, "s") as log:
        log.append_many(entries(5))
        path = log.path
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2], b"?" + lines[2][1:], *lines[3:]]))
        assert export_session(log, out).op_count == 5
    import_session(tmp_path / "x", io.BytesIO(out.getvalue()))
    assert making.log_bytes(tmp_path / "x") == path.read_bytes()
    with OpLog(tmp_path / "x", "s") as log:
        assert len(log) == 4


@pytest.mark.parametrize("bytes_more", [-700, -3, -1, 1, 10**9])
def test_checkpoint_of_an_archive_ends_with_a_line(tmp_path: Path, parts: dict[str, bytes], bytes_more: int) -> None:
    """Row 49: not inside one, and not behind the last."""
    end = json.loads(parts["checkpoint.json"])["byte_offset"]
    assert "end with a line" in refuse(archive_of(with_record(parts, byte_offset=end + bytes_more)), tmp_path / "x")


@pytest.mark.parametrize(
    "changes", [{"op_count": 3}, {"lamport_ts": 10**15}, {"last_op_id": making.op_id(9)}, {"log_digest": "0" * 64}]
)
def test_what_a_checkpoint_says_beside_its_place_is_verified(
    tmp_path: Path, parts: dict[str, bytes], changes: dict[str, Any]
) -> None:
    """Row 49: a record that lies, with the right digest of its own, is found by verify, if it is not refused before."""
    import_session(tmp_path / "x", io.BytesIO(archive_of(with_record(parts, **changes))))
    with OpLog(tmp_path / "x", "s") as log:
        if changes.keys() & {"last_op_id", "op_count"}:
            with pytest.raises(DamagedCheckpointError):
                log.read_checkpoint()
        else:
            assert log.read_checkpoint()
        assert log.verify().counts in ({"checkpoint-damaged": 1}, {"checkpoint-digest": 1})


def test_json_of_a_manifest_is_bounded(tmp_path: Path, parts: dict[str, bytes]) -> None:
    """Row 49: 400,000 nested lists, names of fields and of the session without end."""
    for manifest in (b"[" * 400_000, b'{"a":' * 100_000, b'{"' + b"x" * 900_000 + b'":1}', b"9" * 900_000):
        refuse(archive_of({**parts, "manifest.json": manifest}), tmp_path / "x")


# -- indexes ---------------------------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n) SELECT {} FROM n"


def in_place_of(table: str) -> str:
    """A view that never ends, which has the name and columns of a table."""
    return f"""
        CREATE TABLE kept AS SELECT * FROM {table};
        DROP TABLE {table};
        CREATE VIEW {table} AS {ENDLESS.format("kept.*")}, kept;
    """


def on(event: str, what: str) -> str:
    """A trigger."""
    return f"CREATE TRIGGER harm {event} BEGIN {what}; END"


SCHEMAS = {
    **{
        f"a view in the place of {table}": in_place_of(table)
        for table in (
            "tail",
            "segment",
            "origin",
            "run",
            "run_page",
            "seen_checkpoint",
            "held_entry",
            "_sqlite_migrations",
        )
    },
    "an endless trigger": on(
        "AFTER INSERT ON tail", f"INSERT INTO held_entry {ENDLESS.format('n, n, n, n, n, n, n, n')}"
    ),
    "a trigger that hides": on("AFTER INSERT ON tail", "DELETE FROM tail WHERE byte_offset = new.byte_offset"),
    "a trigger that ignores": on("BEFORE INSERT ON tail", "SELECT raise(IGNORE)"),
    "a trigger that forgets": on("AFTER INSERT ON segment", "DELETE FROM seen_checkpoint"),
    "a trigger on deletion": on("BEFORE DELETE ON tail", "SELECT raise(IGNORE)"),
    "an index of expressions": "CREATE INDEX harm ON tail (length(zeroblob(1000000000)) + byte_offset)",
    "a partial index": "CREATE INDEX harm ON tail (op_id) WHERE lamport_ts > 3",
    "a computed column": "ALTER TABLE tail ADD COLUMN harm AS (hex(zeroblob(500000000)))",
    "a column more": "ALTER TABLE segment ADD COLUMN harm TEXT DEFAULT 'x'",
    "a table more": "CREATE TABLE harm (x)",
    "a table more with another's name": "CREATE TABLE [tail ] (x)",
    "a virtual table": "CREATE VIRTUAL TABLE harm USING fts5 (x)",
    "statistics": "ANALYZE",
    "a view that is another": f"DROP VIEW entries; CREATE VIEW entries AS {ENDLESS.format('n')}",
    "a damaged statement": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TABLE tail (' "
    "WHERE name = 'tail'",
    "statements in capitals": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = upper(sql)",
    "a check that takes long": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, "
    "'length         INTEGER NOT NULL', 'length INTEGER NOT NULL CHECK (length(randomblob(900000000)) > 0)')",
    "a schema of 20,000 tables": f"PRAGMA writable_schema = ON; INSERT INTO sqlite_master "
    f"SELECT 'table', 't' || n, 't' || n, 2, 'CREATE TABLE t' || n || ' (x)' FROM ({ENDLESS.format('n')} LIMIT 20000)",
    "another migration": "INSERT INTO _sqlite_migrations (name) VALUES ('m0002')",
    "pragmas": "PRAGMA user_version = 99; PRAGMA application_id = 7",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose session has 101 lines in segments, runs and a tail, with a checkpoint."""
    with segments_of(8, long_batch=6), OpLog(repo := tmp_path_factory.mktemp("made"), "s") as log:
        log.append_many(entries(96))
        log.checkpoint("c")
        log.append_many(entries(5, start=97))
    return repo


@pytest.fixture
def session(repo: Path, made: Path) -> Path:
    """The index of a copy of it."""
    shutil.copytree(made, repo, dirs_exist_ok=True)
    return making.log_path(repo).with_name("index.db")


def scripted(index: Path, script: str) -> None:
    """Change an index by SQL, as its owner can."""
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.executescript(script)
    for side in ("-wal", "-shm"):
        index.with_name(index.name + side).unlink(missing_ok=True)


def assert_right(repo: Path) -> None:
    """Reads, appends and the full check answer as a scan does, within bounds."""
    with bounded(), OpLog(repo, "s") as log:
        log.append(entry(900))
        length, found, seventh, by_ada = len(log), list(log), log.get(making.op_id(7)), log.count(actor_id="ada")
        pending = log.replay_since_checkpoint()
        assert log.verify().ok
        (summary,) = describe_sessions(repo)
    # Not within bounds, as whatever is done there takes three times as long.
    expected = plain_scan.scan(making.log_bytes(repo)).entries
    assert plain_scan.exact_list(found) == plain_scan.exact_list(expected)
    assert (length, summary.ops, summary.problem) == (len(expected), len(expected), None)
    assert (seventh, pending) == (entries(7)[-1], expected[96:])
    assert by_ada == len(plain_scan.select(expected, actor_id="ada"))


def schema_of(index: Path) -> list[tuple[Any, ...]]:
    """All that an index is made of, as SQLite keeps it."""
    with closing(sqlite3.connect(index)) as connection:
        return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


@pytest.mark.parametrize("how", SCHEMAS)
def test_schema_of_an_index_is_ours_word_for_word(repo: Path, session: Path, how: str) -> None:
    """Row 44: what somebody has put into it is not run, and the index is made anew."""
    ours = schema_of(session)
    scripted(session, SCHEMAS[how])
    with bounded(), OpLog(repo, "s") as log:
        assert not [found for found in log.verify().findings if found.kind != "index-differs"]
    assert_right(repo)
    assert schema_of(session) == ours


@pytest.mark.parametrize("how", SCHEMAS)
def test_schema_that_changes_under_an_open_handle_is_not_run(repo: Path, session: Path, how: str) -> None:
    """Row 44: SQLite reads it again, and what is not ours is refused when a statement would use it."""
    with bounded(), OpLog(repo, "s") as log:
        assert len(log) == 101
        with closing(sqlite3.connect(session, isolation_level=None)) as connection:
            connection.executescript(SCHEMAS[how])
        log.append_many(entries(50, start=400))
        assert len(log) == 151
        found = list(log)
    assert plain_scan.exact_list(found) == plain_scan.exact_list(plain_scan.scan(making.log_bytes(repo)).entries)
    assert_right(repo)


@pytest.mark.parametrize("name", ["index.db", "index.db.old"])
def test_journal_that_names_another_file_is_not_followed(repo: Path, session: Path, tmp_path: Path, name: str) -> None:
    """Row 44: SQLite would remove that file, for whoever opens the index."""
    victim = tmp_path / "precious"
    victim.write_bytes(b"precious\0")
    if name != session.name:
        session.rename(session.with_name(name))
    page, magic = session.with_name(name).read_bytes()[:1024], bytes.fromhex("d9d505f920a163d7")
    size = session.with_name(name).stat().st_size // 1024
    header = (magic + struct.pack(">5I", 1, 0, size, 512, 1024)).ljust(512, b"\0")
    record = struct.pack(">I", 1) + page + struct.pack(">I", sum(page[at] for at in range(1024 - 200, 0, -200)))
    named = str(victim).encode()
    end = struct.pack(">I", 2**30 // 1024 + 1) + named + struct.pack(">2I", len(named), sum(named)) + magic
    session.with_name(f"{name}-journal").write_bytes(header + record + end)

    assert_right(repo)
    assert victim.read_bytes() == b"precious\0"


def pages(connection: sqlite3.Connection, table: str) -> int:
    """The page in which a table begins."""
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return int(page)


@pytest.mark.parametrize(
    "table", ["sqlite_master", "_sqlite_migrations", "tail", "origin", "run", "segment", "held_entry"]
)
def test_tree_whose_pages_share_their_children_ends(repo: Path, session: Path, table: str) -> None:
    """Row 44: six pages, each with 80 times the next for a child, have rows without end."""
    with closing(sqlite3.connect(session)) as connection:
        root = 1 if table == "sqlite_master" else pages(connection, table)
    data = bytearray(session.read_bytes())
    count = len(data) // 1024
    at = 1024 * (root - 1)
    leaf, chain = bytes(data[at : at + 1024]), range(count + 1, count + 7)
    first = 100 if root == 1 else 0
    for number in chain[:-1]:
        data += inner_page(0, number + 1)
    if first:
        # The page of the schema begins with the file's header, which has no place in a leaf: cells keep theirs.
        leaf = leaf[100:108] + leaf[108:208] + leaf[208:]
        leaf = leaf.ljust(1024, b"\0")
    data += leaf
    data[at : at + 1024] = bytes(data[at : at + first]) + inner_page(first, chain[0])[first:]
    data[28:32] = struct.pack(">I", len(data) // 1024)
    session.write_bytes(data)

    with bounded(), OpLog(repo, "s") as log:
        assert len(log) == 101
        assert not [found for found in log.verify().findings if found.kind not in ("index-differs", "line-changed")]
    log.close()
    with OpLog(repo, "s") as log:
        log.rebuild_index()
    assert_right(repo)


def inner_page(start: int, child: int) -> bytes:
    """An inner page of a table's tree, all of whose children are one page."""
    cells = 80
    size = 5
    content = 1024 - size * cells
    header = struct.pack(">BHHHBI", 5, 0, cells, content, 0, child)
    places = b"".join(struct.pack(">H", content + size * number) for number in range(cells))
    page = bytes(start) + header + places
    return page.ljust(content, b"\0") + (struct.pack(">I", child) + b"\x01") * cells


def test_file_that_only_looks_like_an_index_is_made_anew(repo: Path, session: Path) -> None:
    """Row 44: what is encrypted, has other page sizes, another encoding or a wrong header."""
    whole = session.read_bytes()
    headers = {
        **{f"page size {size}": {16: struct.pack(">H", size)} for size in (0, 1, 512, 4096, 32768, 1000)},
        "encrypted": {0: os.urandom(1024)},
        "version": {18: b"\x09\x09"},
        "reserved": {20: b"\xff"},
        "fractions": {21: b"\x01\x01\x01"},
        "size": {24: b"\xff" * 8},
        "freelist": {32: struct.pack(">II", 2, 2**31)},
        "format": {44: struct.pack(">I", 99)},
        "encoding": {56: struct.pack(">I", 2)},
        "vacuum": {52: struct.pack(">I", 3), 64: struct.pack(">I", 1)},
    }
    for changes in headers.values():
        data = bytearray(whole)
        for at, new in changes.items():
            data[at : at + len(new)] = new
        session.unlink()
        session.write_bytes(data)
        with bounded(), OpLog(repo, "s") as log:
            assert len(log) == 101
            found = list(log)
        assert plain_scan.exact_list(found) == plain_scan.exact_list(plain_scan.scan(making.log_bytes(repo)).entries)


def sum_up_runs(connection: sqlite3.Connection) -> None:
    """Make the checksums of the runs anew, as somebody can who has changed them."""
    for *row, factor in connection.execute(f"SELECT {RUN_COLUMNS}, factor FROM run, origin").fetchall():
        statement = "UPDATE run SET row_checksum = ? WHERE first_segment = ?"
        connection.execute(statement, (row_checksum([*row, factor]), row[0]))


def test_links_that_inflate_without_end_are_not_inflated(repo: Path, session: Path) -> None:
    """Row 44: 64 kB that would be 64 MiB of links, with the right checksums."""
    packed = zlib.compress(MIB * 64, 9)
    with closing(sqlite3.connect(session, isolation_level=None)) as connection:
        links = struct.pack("<I", len(packed)) + packed
        connection.execute("UPDATE segment SET links = ?, links_checksum = ?", (links, zlib.crc32(links)))
        checksums: dict[int, int] = {}
        for row in connection.execute(f"SELECT {SEGMENT_COLUMNS} FROM segment").fetchall():
            checksums[row[0]] = row_checksum(row)
            connection.execute("UPDATE segment SET row_checksum = ? WHERE number = ?", (checksums[row[0]], row[0]))
        for first, directory in connection.execute("SELECT first_segment, directory FROM run").fetchall():
            count = len(directory) // 12
            sums = struct.pack(f"={count}I", *(checksums[number] for number in range(first, first + count)))
            lying = directory[: 8 * count] + sums
            statement = "UPDATE run SET directory = ?, directory_checksum = ? WHERE first_segment = ?"
            connection.execute(statement, (lying, zlib.crc32(lying), first))
        sum_up_runs(connection)

    with bounded(), OpLog(repo, "s") as log:
        assert log.verify().counts == {"index-differs": 1}
        assert list(log.history.ancestors(making.op_id(7))) == []
        assert len(list(log.history.roots())) == 101
    assert_right(repo)


@pytest.mark.parametrize("column", ["entries", "actors", "highest_lamport_ts", "end_offset", "unresolved_links"])
def test_lies_in_a_run_under_the_right_checksum_are_verified(repo: Path, session: Path, column: str) -> None:
    """Row 44: verify reports them as a difference, of whatever type they are, and a rebuild ends them."""
    for value in ("x", "[1]", '{"bob":101}', '{"ada":-5}', 2**62, -(2**62), 1.5):
        with closing(sqlite3.connect(session, isolation_level=None)) as connection:
            connection.execute(f"UPDATE run SET {column} = ?", (value,))
            sum_up_runs(connection)
        with bounded(), segments_of(8, long_batch=6), OpLog(repo, "s") as log:
            assert log.verify().counts.keys() == {"index-differs"}, value
            log.rebuild_index()
        with OpLog(repo, "s") as log:
            assert log.verify().findings == (), value
    assert_right(repo)


FACTORS = ["x", "f" * 33, "0" * 31, "F" * 32, "f" * 1_000_000, 7, 1.5]


@pytest.mark.parametrize("factor", FACTORS, ids=lambda factor: str(factor)[:4])
def test_factor_that_is_none_under_the_right_checksum_is_damage(repo: Path, session: Path, factor: object) -> None:
    """Row 44: op_ids are not hashed by it, and the index is made anew."""
    with closing(sqlite3.connect(session, isolation_level=None)) as connection:
        connection.execute("UPDATE origin SET factor = ?", (factor,))
        kept = connection.execute("SELECT session, factor FROM origin").fetchone()
        connection.execute("UPDATE origin SET row_checksum = ?", (row_checksum(kept),))
        sum_up_runs(connection)
    with bounded(), OpLog(repo, "s") as log:
        assert log.verify().counts.keys() == {"index-differs"}
    assert_right(repo)


# -- op_ids ----------------------------------------------------------------------------------------------------


def alike_in_their_halves() -> Iterator[uuid.UUID]:
    """UUIDs of version 4 whose two halves, combined by XOR, are the same but for the lowest byte."""
    chance = random.Random(43)
    while True:
        half = bytearray(chance.randbytes(8))
        half[6] = 0x40 | half[6] & 15
        other = bytes(byte ^ 0x5A for byte in half)
        yield uuid.UUID(bytes=bytes([*half, 0x80 | other[0] & 63, *other[1:]]))


def alike_in_the_index_of(repo: Path, name: str) -> Iterator[uuid.UUID]:
    """UUIDs that have one hash in the index of a session: its owner can read by which factor they are hashed there."""
    with OpLog(repo, name) as log:
        log.append(entry(1))
    with closing(sqlite3.connect(log.path.with_name("index.db"))) as connection:
        ((digits,),) = connection.execute("SELECT factor FROM origin").fetchall()
    return alike_under(int(digits, 16))


def hashes_in_index(repo: Path) -> Counter[int]:
    """How many keys have which hash, in the index of the session "s"."""
    database = open_database(making.log_path(repo).parent)
    assert database
    with closing(database):
        return Counter(key >> 24 for run in Index(database).runs for key in run.all_keys())


@pytest.mark.parametrize("how", ["in their halves", "in another index", "in the index that was replaced"])
def test_op_ids_made_to_look_alike_do_not(repo: Path, how: str) -> None:
    """Row 43: each of 1,000 has a hash of its own, as those drawn by chance have: so it leads to one segment alone."""
    if how == "in their halves":
        alike = alike_in_their_halves()
    else:
        alike = alike_in_the_index_of(repo, name := "other" if how == "in another index" else "s")
        making.drop_index(repo, name)
    made = [entry(number, op_id=str(op_id)) for number, op_id in enumerate(islice(alike, 1_000), 2)]
    with segments_of(16), OpLog(repo, "s") as log:
        log.append_many(made)
        for _ in range(2):
            found = hashes_in_index(repo)
            assert found.total() >= 980
            assert max(found.values()) <= 2
            assert log.get(made[77]["op_id"]) == made[77]
            log.rebuild_index()
