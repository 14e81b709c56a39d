"""The index as a file: opened or refused, transactions on it, one put in the place of another, and read by anybody."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from muse.core.index.file import Database, is_transient, new_in_memory, open_database, replacing
from muse.core.index.store import Index
from muse.core.op_log import OpLog
from tests import making, plain_scan
from tests.index.plain_lines import PlainLine, fed_with, index_in_memory, index_on_disk, offsets_of, plain_lines
from tests.making import entries, entry
from tests.samples import examples
from tests.small_index import segments_of


def make(folder: Path) -> Path:
    """Make an empty index in a folder."""
    with replacing(folder, 5):
        pass
    return folder / "index.db"


# -- opened ---------------------------------------------------------------------------------------------------


def scribbled(path: Path) -> None:
    """No database at all."""
    path.write_bytes(b"scribble" * 500)


def with_another_migration(path: Path) -> None:
    """A schema that a later version made."""
    statement = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('muse.index', 'm9999', '')"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def foreign(path: Path) -> None:
    """A database of another program."""
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE notes (text)")


def linked(path: Path) -> None:
    """A symbolic link to a right index."""
    path.rename(path.with_name("elsewhere.db"))
    path.symlink_to(path.with_name("elsewhere.db"))


def emptied(path: Path) -> None:
    """A file without a byte."""
    os.truncate(path, 0)


@pytest.mark.parametrize("spoil", [Path.unlink, emptied, scribbled, with_another_migration, foreign, linked])
def test_what_is_not_an_index_is_not_opened(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """None, for a file that is absent, empty, damaged, of another schema or program, or a link."""
    path = make(tmp_path)
    database = open_database(tmp_path)
    assert database is not None
    database.close()
    spoil(path)
    assert open_database(tmp_path) is None


def test_an_index_that_is_locked_is_not_taken_for_damaged(tmp_path: Path) -> None:
    """Opening it fails with SQLite's error, and the caller can wait."""
    with closing(sqlite3.connect(make(tmp_path), isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
            open_database(tmp_path)
    assert is_transient(caught.value)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_BUSY, True),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, True),
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_READONLY, True),
        (sqlite3.SQLITE_CANTOPEN, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_IOERR_SHORT_READ, False),
        (sqlite3.SQLITE_CORRUPT, False),
        (sqlite3.SQLITE_NOTADB, False),
        (sqlite3.SQLITE_ERROR, False),
    ],
)
def test_bad_moments_are_told_from_bad_files(code: int, *, expected: bool) -> None:
    """By SQLite's code: a lock, a full disk, no access pass; damage and a cut file do not."""
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorcode = code
    assert is_transient(error) is expected
    assert is_transient(sqlite3.DatabaseError("without a code")) is False


# -- transactions ---------------------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """What fails half-way leaves the file as it was, and the connection says that it is no longer to be used."""
    make(tmp_path)
    database = open_database(tmp_path)
    assert database
    insert = "INSERT INTO held_entry VALUES (?, 1, 1, 1, '', '', '', 1)"
    with database.transaction():
        database.connection.execute(insert, (1,))
    with pytest.raises(sqlite3.IntegrityError), database.transaction():
        database.connection.executemany(insert, [(2,), (1,)])
    assert not database.is_usable
    assert database.connection.execute("SELECT byte_offset FROM held_entry").fetchall() == [(1,)]
    database.close()


def test_a_snapshot_sees_one_moment(tmp_path: Path) -> None:
    """What another connection commits meanwhile is seen after it, not in it."""
    make(tmp_path)
    one, other = open_database(tmp_path), open_database(tmp_path)
    assert one
    assert other
    insert, count = "INSERT INTO held_entry VALUES (?, 1, 1, 1, '', '', '', 1)", "SELECT count(*) FROM held_entry"
    with other.transaction():
        other.connection.execute(insert, (1,))
    with one.snapshot():
        assert one.connection.execute(count).fetchone() == (1,)
        with other.transaction():
            other.connection.execute(insert, (2,))
        with one.snapshot():
            assert one.connection.execute(count).fetchone() == (1,)
    assert one.connection.execute(count).fetchone() == (2,)
    one.close()
    other.close()


# -- put in the place of another ------------------------------------------------------------------------------


def test_a_new_index_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    """Whoever has the old one open notices, and can go on with it; whoever opens gets the new one."""
    make(tmp_path)
    before = open_database(tmp_path)
    assert before
    with replacing(tmp_path, 5) as (database, old_files, _):
        assert old_files == [tmp_path / "index.db"]
        database.connection.execute("INSERT INTO held_entry VALUES (5, 1, 1, 1, '', '', '', 1)")
    assert not before.is_current()
    assert before.connection.execute("SELECT count(*) FROM held_entry").fetchone() == (0,)
    after = open_database(tmp_path)
    assert after
    assert after.is_current()
    assert after.connection.execute("SELECT count(*) FROM held_entry").fetchone() == (1,)
    before.close()
    assert after.connection.execute("SELECT count(*) FROM held_entry").fetchone() == (1,)
    after.close()
    assert [path.name for path in tmp_path.iterdir()] == ["index.db"]


def test_an_index_that_is_not_finished_leaves_the_old_one(tmp_path: Path) -> None:
    """An exception comes through, and nothing else has happened."""
    inode = make(tmp_path).stat().st_ino
    with pytest.raises(KeyError), replacing(tmp_path, 5):
        raise KeyError
    assert [(path.name, path.stat().st_ino) for path in tmp_path.iterdir()] == [("index.db", inode)]


def test_what_a_killed_builder_left_is_cleared_away_and_read(tmp_path: Path) -> None:
    """A half-built index is thrown away; an old one that was moved aside is offered for its evidence first."""
    path = make(tmp_path)
    path.rename(path.with_name("index.db.old"))
    path.with_name("index.db.new").write_bytes(b"half-built")
    with replacing(tmp_path, 5) as (_, old_files, _):
        assert old_files == [tmp_path / "index.db.old"]
    assert [path.name for path in tmp_path.iterdir()] == ["index.db"]


def test_a_folder_in_the_place_of_the_index_is_left_alone(tmp_path: Path) -> None:
    """It is not ours to move away: an OSError that names it."""
    (tmp_path / "index.db").mkdir()
    with pytest.raises(IsADirectoryError, match=r"index\.db"), replacing(tmp_path, 5):
        pass
    assert (tmp_path / "index.db").is_dir()


@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_an_index_has_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    """So that a group may share it."""
    before = os.umask(umask)
    try:
        path = make(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


# -- read by anybody ------------------------------------------------------------------------------------------


def test_the_index_is_a_sound_database_by_sqlites_own_check(repo: Path) -> None:
    """PRAGMA integrity_check says ok after single appends, batches, a rebuild and two handles."""
    with OpLog(repo, "s") as one, OpLog(repo, "s") as two:
        for number in range(1, 120, 2):
            one.append(entry(number))
            two.append(entry(number + 1))
        one.rebuild_index()
        two.append_many(entries(3_000, start=1_000))
        one.append(entry(9_000))
    with closing(sqlite3.connect(making.log_path(repo).with_name("index.db"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


IN_VIEW = ("lamport_ts", "op_id", "actor_id", "domain")


def test_the_view_has_every_entry_of_a_plain_scan(repo: Path) -> None:
    """With sqlite-utils: offset, timestamp, op_id, actor and domain, of folded entries and of the tail."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(600))
        making.add_bytes(log.path, b"{torn\n\n" + making.line(entry(5)))
        for each in entries(5, start=601):
            log.append(each)
    scanned = plain_scan.scan_file(making.log_path(repo))
    database = sqlite_utils.Database(making.log_path(repo).with_name("index.db"))
    try:
        assert database["segment"].count > 0
        assert database["tail"].count > 0
        found = list(database["entries"].rows)
    finally:
        database.close()
    assert sorted(found, key=lambda row: int(row["byte_offset"])) == [
        {
            "byte_offset": span.byte_offset,
            **{name: each[name] for name in ("lamport_ts", "op_id", "actor_id", "domain")},
        }
        for each, span in zip(scanned.entries, scanned.spans, strict=True)
    ]


def in_view(index: Index) -> list[tuple[object, ...]]:
    """What the view tells of an index, in any SQLite shell."""
    statement = "SELECT byte_offset, lamport_ts, op_id, actor_id, domain FROM entries ORDER BY byte_offset"
    path = index.database.path
    if path is None:
        return index.connection.execute(statement).fetchall()
    with closing(sqlite3.connect(path)) as shell:
        return shell.execute(statement).fetchall()


def as_rows(lines: list[PlainLine]) -> list[tuple[object, ...]]:
    """What the view should tell of lines."""
    named = [(at, each.as_entry()) for at, each in zip(offsets_of(lines), lines, strict=False) if not each.problem]
    return [(at, each["lamport_ts"], each["op_id"], each["actor_id"], each["domain"]) for at, each in named]


@given(plain_lines(max_size=30), st.integers(1, 12))
@examples(30)
def test_the_view_tells_any_lines(lines: list[PlainLine], segment_lines: int) -> None:
    """Wide and narrow timestamps, names of any letters, lines with problems among them, in segments and in the tail."""
    with segments_of(segment_lines):
        index = index_in_memory()
        for number in range(0, len(lines), 5):
            index.add(fed_with(lines[number : number + 5], index.end))
            index.write(0)
    assert in_view(index) == as_rows(lines)
    index.database.close()


def test_the_view_tells_more_than_255_names_apart() -> None:
    """Two bytes a line then; quotes, commas and the digits of other names in them do no harm."""
    names = ['"', "'", "1", "12", "[]", "a,b", "\\", "\n", *(f"name {number}" for number in range(300))]
    lines = [
        PlainLine(10, number, number, number.to_bytes(16, "big"), name, names[-1 - number])
        for number, name in enumerate(names)
    ]
    index = index_in_memory()
    with segments_of(1024):
        index = index_in_memory()
        index.add(fed_with(lines))
        index.write(0)
    assert len(index.tail) == 0
    assert in_view(index) == as_rows(lines)
    index.database.close()


def test_the_view_shows_no_entry_twice(tmp_path: Path) -> None:
    """Also when a row was written after another process had folded its line."""
    with segments_of(4, long_batch=3):
        one, other = index_on_disk(tmp_path), index_on_disk(tmp_path)
        lines = [PlainLine(10, 1, each, each.to_bytes(16, "big"), "ada", "music") for each in range(1, 6)]
        other.add(fed_with(lines[:4]))
        other.write(0)
        one.add_entry(lines[0].as_entry(), lines[0].op_id, 10, 1)
        assert one.write_next(lines[0].as_entry(), 10, 1) is True
        assert one.connection.execute("SELECT count(*) FROM tail").fetchone() == (1,)
    assert in_view(other) == as_rows(lines[:4])
    one.database.close()
    other.database.close()


def test_the_schema_can_be_made_by_sqlite_utils_itself(tmp_path: Path) -> None:
    """`sqlite-utils migrate` makes what the engine makes: the same tables and the same view."""
    listing = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    with closing(sqlite3.connect(make(tmp_path))) as connection:
        on_disk = connection.execute(listing).fetchall()
    database = new_in_memory()
    assert database.connection.execute(listing).fetchall() == on_disk
    assert {name for _, name, _ in on_disk} >= {"tail", "segment", "run", "run_page", "entries"}
    assert isinstance(database, Database)
    database.close()
