"""Rows 18 to 20: whatever befalls the index, appends return, reads are right, and it is made anew from the log."""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from muse.core.op_log import DamagedCheckpointError, OpLog
from muse.core.storage.locks import exclusive_lock
from tests import children, making, plain_scan, small_index
from tests.making import entries, entry, op_id
from tests.reliability import faults
from tests.reliability.faults import errors, failing, filled, killed_at, run_child
from tests.reliability.index_sweeps import IndexInnerPages
from tests.reliability.inner_pages import inner_pages
from tests.reliability.material import quick_folder


def index_path(repo: Path, session: str = "s") -> Path:
    """Where the index of a session lies."""
    return faults.folder_of(repo, session) / "index.db"


def live_copy(repo: Path, count: int, start: int, folder: Path) -> Path:
    """The index of a log that somebody has open, copied with its -wal and -shm, as a crash or `cp -r` leaves them."""
    with OpLog(repo, "s") as log:
        for number in range(start, start + count):
            log.append(entry(number))
        assert index_path(repo).with_name("index.db-wal").stat().st_size > 0
        shutil.copytree(log.folder, folder)
    return folder


def wal_of_another_index(repo: Path, tmp_path: Path) -> None:
    """The -wal of another session's index, left over beside this one: SQLite replays it as its own."""
    other = live_copy(tmp_path / "other", 30, 500, tmp_path / "copy")
    shutil.copy(other / "index.db-wal", index_path(repo).with_name("index.db-wal"))


def wal_newer_than_its_database(repo: Path, tmp_path: Path) -> None:
    """The database from a backup, the -wal of later."""
    backup = index_path(repo).read_bytes()
    newer = live_copy(repo, 40, 200, tmp_path / "copy")
    shutil.copy(newer / "index.db-wal", index_path(repo).with_name("index.db-wal"))
    index_path(repo).write_bytes(backup)


def wal_without_database(repo: Path, tmp_path: Path) -> None:
    """A -wal and a -shm whose database was deleted."""
    live_copy(repo, 20, 200, tmp_path / "copy")
    for name in ("index.db-wal", "index.db-shm"):
        shutil.copy(tmp_path / "copy" / name, index_path(repo).with_name(name))
    index_path(repo).unlink()


def wal_cut(repo: Path, tmp_path: Path) -> None:
    """A crash tore the -wal: it ends in the middle of a frame."""
    live = live_copy(repo, 20, 200, tmp_path / "copy")
    for name in ("index.db", "index.db-wal"):
        shutil.copy(live / name, index_path(repo).with_name(name))
    wal = index_path(repo).with_name("index.db-wal")
    os.truncate(wal, wal.stat().st_size * 2 // 3)


def with_hot_journal(index: Path, folder: Path) -> Path:
    """A copy of an index as a process leaves it that was killed in a transaction without write-ahead log."""
    folder.mkdir()
    with closing(sqlite3.connect(shutil.copy(index, folder / "working"), isolation_level=None)) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
        # So that pages of the transaction are written into the file before its end.
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        for table in ("tail", "segment", "run"):
            connection.execute(f"UPDATE {table} SET row_checksum = row_checksum + 1")
        for side in ("", "-journal"):
            shutil.copy(folder / f"working{side}", folder / f"index.db{side}")
        connection.execute("ROLLBACK")
    assert (folder / "index.db").read_bytes() != index.read_bytes()
    return folder


def hot_journal(repo: Path, tmp_path: Path) -> None:
    """Its own, which SQLite rolls back."""
    copy = with_hot_journal(index_path(repo), tmp_path / "copy")
    for name in ("index.db", "index.db-journal"):
        shutil.copy(copy / name, index_path(repo).with_name(name))


def hot_journal_of_another_index(repo: Path, tmp_path: Path) -> None:
    """The one of another index, left over beside this one: SQLite rolls it back into this one."""
    filled(tmp_path / "other", 90)
    copy = with_hot_journal(index_path(tmp_path / "other"), tmp_path / "copy")
    shutil.copy(copy / "index.db-journal", index_path(repo).with_name("index.db-journal"))


def hot_journal_without_database(repo: Path, tmp_path: Path) -> None:
    """The database was moved away, as by a rebuild that was killed, and its journal left."""
    hot_journal(repo, tmp_path)
    index_path(repo).unlink()


def from_another_log(repo: Path, tmp_path: Path) -> None:
    """A sound index of another log."""
    filled(tmp_path / "other", 50, checkpoint_after=20)
    shutil.copy(index_path(tmp_path / "other"), index_path(repo))


def ahead_of_the_log(repo: Path, tmp_path: Path) -> None:
    """A sound index of this log as it was longer."""
    longer = tmp_path / "longer"
    shutil.copytree(repo, longer)
    with OpLog(longer, "s") as log:
        log.append_many(entries(9, start=300))
    shutil.copy(index_path(longer), index_path(repo))


def older_schema(repo: Path, tmp_path: Path) -> None:
    """The index of a version whose tables were others."""
    index_path(repo).unlink()
    with closing(sqlite3.connect(index_path(repo))) as connection, connection:
        connection.execute("CREATE TABLE _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set, name, applied_at)")
        connection.execute("INSERT INTO _sqlite_migrations VALUES (1, 'muse.index', 'm0000_ops', '2020-01-01')")
        connection.execute("CREATE TABLE ops (op_id TEXT, byte_offset INTEGER)")


def newer_schema(repo: Path, tmp_path: Path) -> None:
    """The index of a version to come, with a table more and a column more."""
    with closing(sqlite3.connect(index_path(repo))) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('muse.index', 'm0002_future', '')"
        )
        connection.execute("CREATE TABLE future (x)")
        connection.execute("ALTER TABLE tail ADD COLUMN future")


def random_pages(repo: Path, tmp_path: Path) -> None:
    """Half of its pages overwritten."""
    chosen = random.Random(18)
    data = bytearray(index_path(repo).read_bytes())
    for start in range(1024, len(data), 2048):
        data[start : start + 1024] = chosen.randbytes(1024)
    index_path(repo).write_bytes(data)


def random_bytes(repo: Path, tmp_path: Path) -> None:
    """All of it overwritten, and a -wal of random bytes beside it."""
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        index_path(repo).with_name(name).write_bytes(random.Random(19).randbytes(20_000))


def zero_bytes(repo: Path, tmp_path: Path) -> None:
    """Emptied."""
    index_path(repo).write_bytes(b"")


def truncated(repo: Path, tmp_path: Path) -> None:
    """Cut in the middle of a page."""
    os.truncate(index_path(repo), 5_000)


def deleted(repo: Path, tmp_path: Path) -> None:
    """Deleted, and the log left."""
    index_path(repo).unlink()


def not_permitted(repo: Path, tmp_path: Path) -> None:
    """A folder in its place, with something in it."""
    index_path(repo).unlink()
    index_path(repo).mkdir()
    index_path(repo).joinpath("x").touch()


INDEX_FAULTS = [
    wal_of_another_index,
    wal_newer_than_its_database,
    wal_without_database,
    wal_cut,
    hot_journal,
    hot_journal_of_another_index,
    hot_journal_without_database,
    from_another_log,
    ahead_of_the_log,
    older_schema,
    newer_schema,
    random_pages,
    random_bytes,
    zero_bytes,
    truncated,
    deleted,
    not_permitted,
]


@pytest.mark.parametrize("first", ["append", "duplicate", "read", "count", "replay"])
@pytest.mark.parametrize("fault", INDEX_FAULTS)
def test_index_is_not_what_it_should_be(
    repo: Path, tmp_path: Path, fault: Callable[[Path, Path], None], first: str
) -> None:
    """Row 18: whatever is done first, no call raises, every answer is the plain scan's, nothing is there twice."""
    filled(repo, 60, checkpoint_after=40)
    fault(repo, tmp_path)
    with OpLog(repo, "s") as log:
        there = len(plain_scan.scan_file(log.path).entries)
        first_use: dict[str, Callable[[], object]] = {
            "append": lambda: log.append(entry(900)),
            "duplicate": lambda: log.append_many(entries(60)) == 0,
            "read": lambda: len(log.read_all()) == there,
            "count": lambda: sum(log.actors().values()) == log.count() == there,
            "replay": lambda: len(log.replay_since_checkpoint()) == there - 40,
        }
        assert first_use[first]()
        scanned = making.assert_same_as_scan(log, log.path)
        assert scanned.duplicates == scanned.conflicts == []
        log.append(entry(901))
        assert log.append_many(entries(60)) == 0
        making.assert_same_as_scan(log, log.path)
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
        if fault in OF_A_LOG_THAT_HELD_MORE:
            # Whether the log was cut, or the index is another's, nobody can tell: what it knew is told, and no more.
            report = log.verify(max_findings=None)
            assert report.counts.keys() <= {"operation-lost"}
            assert not {each.op_id for each in making.lost(report)} & set(plain_scan.scan_file(log.path).op_ids)
        elif fault is not not_permitted:
            assert log.verify().findings == ()


OF_A_LOG_THAT_HELD_MORE = (wal_of_another_index, hot_journal_of_another_index, from_another_log, ahead_of_the_log)


@pytest.mark.parametrize("fault", [deleted, zero_bytes, random_pages, random_bytes, from_another_log, older_schema])
def test_index_is_changed_under_an_open_handle(repo: Path, tmp_path: Path, fault: Callable[[Path, Path], None]) -> None:
    """Row 18: unlinked, swapped or scribbled over while two handles have it open: both go on, and so does a third."""
    filled(repo, 60, checkpoint_after=40)
    with OpLog(repo, "s") as one, OpLog(repo, "s") as two:
        assert len(one) == len(two) == 60
        fault(repo, tmp_path)
        one.append(entry(900))
        assert two.append(entry(900)) is False
        two.append_many([entry(number) for number in range(901, 906)])
        for handle in (one, two):
            assert making.assert_same_as_scan(handle, one.path).duplicates == []
        with OpLog(repo, "s") as three:
            making.assert_same_as_scan(three, one.path)
            assert three.append(entry(905)) is False
            assert len(three.replay_since_checkpoint()) == 26


@pytest.mark.process
@pytest.mark.parametrize("call", ["openat", "pwrite64", "ftruncate", "fdatasync", "mmap", "unlink", "fcntl"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_system_call_on_the_index_fails(repo: Path, strace: str, call: str, error: str) -> None:
    """Row 18: locked out, read-only, full or broken for the index alone: every step is answered as without it."""
    filled(repo, 20, checkpoint_after=12)
    paths = [faults.folder_of(repo) / f"index.db{side}" for side in ("", "-wal", "-shm", ".new")]
    steps = ("append:21", "read", "batch:22-24", "replay", "append:21", "count", "verify")
    told = run_child(repo, *steps, before=failing(strace, call, error, *paths))
    assert errors(told) == {}
    assert told[1]["result"] == [op_id(number) for number in range(1, 22)]
    assert told[3]["result"] == [op_id(number) for number in range(13, 25)]
    assert told[4]["result"] is False
    faults.assert_recovered(repo, told)


@pytest.mark.process
@pytest.mark.parametrize("how", ["begin exclusive", "locking mode"])
def test_index_is_locked_by_another_program(repo: Path, how: str) -> None:
    """Row 18: while somebody holds it, appends and reads go on; afterwards the index on disk has it all."""
    filled(repo, 10)
    holder = children.start_worker("hold_index", index_path(repo), how)
    assert children.pipe_of(holder).readline()
    try:
        told = run_child(repo, "append:11", "read", "count", "checkpoint:x", "append:12", "replay")
    finally:
        children.end(holder)
    assert errors(told) == {}
    assert told[5]["result"] == [op_id(12)]
    with OpLog(repo, "s") as log:
        assert len(making.assert_same_as_scan(log, log.path).entries) == 12
    with closing(sqlite3.connect(index_path(repo))) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (12,)


@pytest.fixture
def _small_segments() -> Iterator[None]:
    """Segments of 16 lines, so that some hundred lines have runs of every kind."""
    with small_index.segments_of(16):
        yield


@pytest.mark.usefixtures("_small_segments")
def test_writers_write_while_the_index_is_rebuilt(repo: Path) -> None:
    """Row 19: at every step of a rebuild another handle appends, reads and rebuilds: nothing is missing afterwards."""
    filled(repo, 1_250)
    made = 0
    with OpLog(repo, "s") as log, OpLog(repo, "s") as writer, OpLog(repo, "s") as reader:

        def meanwhile(done: int, total: int) -> None:
            nonlocal made
            writer.append(entry(20_000 + made))
            # More than a segment: the old index goes on where the new one ends.
            writer.append_many(entries(25, start=20_001 + made))
            made += 26
            assert len(reader) == 1_250 + made
            assert reader.get(op_id(20_000 + made - 1)) is not None
            assert reader.get(op_id(1_000)) is not None

        log.rebuild_index(progress=meanwhile)
        assert made >= 4 * 26
        for handle in (log, writer, reader):
            making.assert_same_as_scan(handle, log.path)
        before = making.answers(writer)
        writer.rebuild_index()
        assert making.answers(log) == before
        assert log.verify().findings == ()


@pytest.mark.parametrize("step", [1, 7, 150])
def test_handle_lags_behind_what_another_has_folded_and_merged(repo: Path, step: int) -> None:
    """Row 19: it takes over the other's segments, even in the middle of catching up, and no line counts twice."""
    few = small_index.segments_of(4, long_batch=2)
    with few, OpLog(repo, "s") as one, OpLog(repo, "s") as two, OpLog(repo, "s") as three:
        for start in (1, 5):
            one.append_many(entries(4, start=start))
        # They know two runs and, until they look for an op_id, not their keys.
        assert len(two) == len(three) == 8
        for start in range(200, 350, step):
            for number in range(start, min(start + step, 350)):
                one.append(entry(number))
            assert len(two) == two.count() == len(making.assert_same_as_scan(two, one.path).entries)
        assert three.append(entry(300)) is False
        assert three.append(entry(900)) is True
        for handle in (three, two, one):
            assert len(making.assert_same_as_scan(handle, one.path).entries) == 159
            assert handle.count() == 159


@pytest.mark.process
@pytest.mark.parametrize("call", ["rename", "unlink", "fsync", "pwrite64", "ftruncate"])
@pytest.mark.parametrize("when", [1, 3])
def test_crash_in_a_rebuild(repo: Path, strace: str, call: str, when: int) -> None:
    """Row 19: killed on entering this call, the old index or a new one is there, and what it saw is not forgotten."""
    filled(repo, 30, checkpoint_after=20)
    run_child(repo, "rebuild", "append:31", "rebuild", before=killed_at(strace, call, when))
    faults.folder_of(repo).joinpath("checkpoint.json").rename(repo / "kept")
    with OpLog(repo, "s") as log:
        assert len(log) in {30, 31}
        making.assert_same_as_scan(log, log.path)
        with pytest.raises(DamagedCheckpointError):
            log.replay_since_checkpoint()
        (repo / "kept").rename(faults.folder_of(repo) / "checkpoint.json")
        assert len(log.replay_since_checkpoint()) == len(log) - 20
        log.rebuild_index()
        assert log.verify().findings == ()
    assert faults.names_in(faults.folder_of(repo)) == {"ops.jsonl", "index.db", "checkpoint.json"}


@pytest.mark.process
@pytest.mark.parametrize("call", ["rename", "fsync", "openat"])
def test_rebuild_that_fails_loses_nothing_that_the_old_index_knew(repo: Path, strace: str, call: str) -> None:
    """Row 19: the error is raised, reads go on, no half-made index is left, and the checkpoint is still known."""
    filled(repo, 30, checkpoint_after=10)
    new = index_path(repo).with_name("index.db.new")
    told = run_child(repo, "rebuild", "count", "read", before=failing(strace, call, "EIO", new, when="1"))
    assert errors(told).keys() == {"rebuild"}
    assert len(told[2]["result"]) == 30
    faults.folder_of(repo).joinpath("checkpoint.json").unlink()
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)
        with pytest.raises(DamagedCheckpointError):
            log.replay_since_checkpoint()
    assert faults.names_in(faults.folder_of(repo)) == {"ops.jsonl", "index.db"}


def test_wal_is_copied_into_the_database_by_one_connection_at_a_time(repo: Path) -> None:
    """Row 20: while another process holds the folder's lock no WAL checkpoint is run, and nobody waits for it."""
    wal = index_path(repo).with_name("index.db-wal")
    statements: list[str] = []
    with small_index.limits(WAL_CHECKPOINT_BYTES=10_000), OpLog(repo, "s") as log:
        log.append_many(entries(3))
        # The first write to an index that is there: from now on it has a write-ahead log.
        log.append(entry(4))
        index = log._catch_up._index
        assert index is not None
        index.connection.set_trace_callback(statements.append)
        with exclusive_lock(log.folder, 0):
            for start in range(10, 400, 30):
                log.append_many(entries(30, start=start))
            assert wal.stat().st_size > 10_000
            assert not [each for each in statements if "wal_checkpoint" in each]
        log.append_many(entries(30, start=500))
        assert [each for each in statements if "wal_checkpoint" in each]
        making.assert_same_as_scan(log, log.path)


def test_wal_does_not_grow_for_ever_under_a_long_reader(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Row 56: one warning names the file, its size and what to do; it grows by folds alone, until the reader ends."""
    limit, wal = 20_000, index_path(repo).with_name("index.db-wal")
    few = small_index.limits(WAL_CHECKPOINT_BYTES=limit, SEGMENT_LINES=256, MAX_UNWRITTEN_LINES=512)
    with few, OpLog(repo, "s") as log, ExitStack() as stack:
        log.append_many(entries(3))
        # From now on there is a WAL.
        log.append(entry(4))
        reader = stack.enter_context(closing(sqlite3.connect(index_path(repo), isolation_level=None)))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tail").fetchall()
        for each in entries(2_000, start=10):
            log.append(each)
        warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
        (warning,) = warnings
        assert str(wal) in warning
        assert re.search(r"grown to \d+ bytes.*ends its transaction", warning)
        assert wal.stat().st_size < log.path.stat().st_size
        making.assert_same_as_scan(log, log.path)
        reader.execute("COMMIT")
        for each in entries(2_000, start=3_000):
            log.append(each)
        assert wal.stat().st_size < 8 * limit, "it is not emptied after the reader has ended"
        making.assert_same_as_scan(log, log.path)


def test_wal_that_was_copied_is_not_copied_again_and_again(repo: Path) -> None:
    """Row 56: it starts small again; one that keeps its size would be synced and copied with each batch."""
    statements: list[str] = []
    with small_index.limits(WAL_CHECKPOINT_BYTES=100_000), OpLog(repo, "s") as log:
        log.append_many(entries(3))
        log.append(entry(4))
        index = log._catch_up._index
        assert index is not None
        index.connection.set_trace_callback(statements.append)
        for start in range(10, 10_000, 100):
            log.append_many(entries(100, start=start))
        copied = [each for each in statements if "wal_checkpoint" in each]
        assert 0 < len(copied) < 50


def test_connections_never_copy_the_wal_by_themselves(repo: Path) -> None:
    """Row 20: SQLite's own WAL checkpoints, which know nothing of that lock, are off in every connection."""
    with OpLog(repo, "s") as one, OpLog(repo, "s") as two:
        one.append(entry(1))
        assert len(two) == 1
        for log in (one, two):
            index = log._catch_up._index
            assert index is not None
            assert index.connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


@pytest.mark.usefixtures("_small_segments")
@pytest.mark.parametrize("seed", range(2))
def test_pages_of_an_older_moment_are_among_the_newer_ones(repo: Path, seed: int) -> None:
    """Row 20: what that bug of SQLite leaves, some pages older than others, changes no answer and doubles no append."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(750))
    older = index_path(repo).read_bytes()
    with OpLog(repo, "s") as log:
        log.append_many(entries(750, start=751))
    newer = bytearray(index_path(repo).read_bytes())
    chosen = random.Random(seed)
    for page in chosen.sample(range(1, len(older) // 1024), 8):
        newer[page * 1024 : (page + 1) * 1024] = older[page * 1024 : (page + 1) * 1024]
    index_path(repo).write_bytes(newer)
    with OpLog(repo, "s") as log:
        sample = chosen.sample(range(1, 1_501), 50)
        assert log.append_many([entries(1, start=number)[0] for number in sample]) == 0
        assert all(log.get(op_id(number)) is not None for number in sample)
        making.assert_same_as_scan(log, log.path)


def rows_seen(index: bytes, table: str, key: str, wanted: list[tuple[int]]) -> object:
    """What SQLite finds in a table by walking it and by each key; None if it says that the file is damaged."""
    with quick_folder() as name:
        path = Path(name) / "index.db"
        path.write_bytes(index)
        with closing(sqlite3.connect(path)) as connection:
            try:
                walked = connection.execute(f"SELECT {key} FROM {table} ORDER BY {key}").fetchall()
                by_key = [
                    connection.execute(f"SELECT count(*) FROM {table} WHERE {key} = ?", each).fetchone()
                    for each in wanted
                ]
            except sqlite3.DatabaseError:
                return None
            return walked, by_key


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "key"), [("segment", "number"), ("run", "first_segment"), ("run_page", "page"), ("tail", "byte_offset")]
)
def test_bit_that_hides_rows_from_sqlite_changes_no_answer(repo: Path, table: str, key: str) -> None:
    """Row 18: SQLite does not notice a flipped bit in an inner page that hides rows; every answer is right."""
    sweep = IndexInnerPages()
    index = sweep.material.index
    with quick_folder() as name:
        path = sweep.material.put(Path(name)).with_name("index.db")
        with closing(sqlite3.connect(path)) as connection:
            wanted = connection.execute(f"SELECT {key} FROM {table}").fetchall()
    sound = rows_seen(index, table, key, wanted)
    silent = []
    for page in inner_pages(index):
        for at in page.places if page.table == table else ():
            for bit in range(8):
                damaged = bytearray(index)
                damaged[at] ^= 1 << bit
                if rows_seen(bytes(damaged), table, key, wanted) not in (None, sound):
                    silent.append((at, bit))
    assert len(silent) > 5
    kind = sweep.bits.index(silent[len(silent) // 2])
    for number in range(len(sweep.names)):
        sweep.attempt(kind * len(sweep.names) + number, repo / str(number))


def test_an_index_that_was_made_for_another_session_tells_nothing_about_this_one(repo: Path) -> None:
    """Row 18: copied over from a session of another name, it is made anew, and none of what it held is called lost."""
    filled(repo, 60, checkpoint_after=40)
    filled(repo, 90, checkpoint_after=80, session="other")
    with OpLog(repo, "other") as log:
        log.append_many(entries(20, start=700))
    shutil.copy(index_path(repo, "other"), index_path(repo))
    with OpLog(repo, "s") as log:
        assert log.verify().counts == {"index-differs": 1}
        assert len(log.replay_since_checkpoint()) == 20
        assert log.verify().findings == ()


def test_a_session_whose_folder_was_renamed_keeps_what_its_index_has_seen(repo: Path) -> None:
    """Row 18: the index is this log's still, though it was made under another name."""
    data = filled(repo, 60)
    index_path(repo).parent.rename(index_path(repo, "renamed").parent)
    path = making.log_path(repo, "renamed")
    path.write_bytes(data[:1000] + b"#" + data[1001:])
    with OpLog(repo, "renamed") as log:
        assert log.verify().counts["operation-lost"] == 1
        log.rebuild_index()
        assert log.verify().counts["operation-lost"] == 1
