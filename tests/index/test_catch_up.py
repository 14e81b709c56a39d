"""Catching up: if the index is missing, locked, damaged or another's, no append raises and no read is wrong."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from muse.core.index.blocks.segment import DamagedIndexError
from muse.core.index.catch_up import CatchUp
from muse.core.index.store import Index
from muse.core.op_log import LogReplacedError, OpLog, list_sessions
from muse.core.options import Options
from muse.core.storage.log_file import LogFile
from muse.core.storage.reader import StaleLocationError
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list
from tests.reliability.faults import read_only
from tests.small_index import limits, segments_of


def index_path(repo: Path, session: str = "s") -> Path:
    """Where the index of a session lies, by the contract."""
    return making.log_path(repo, session).with_name("index.db")


def scribble(size: int) -> bytes:
    """Bytes that mean nothing, the same ones each time."""
    return random.Random(7).randbytes(size)


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A way to spoil an index: write other bytes over it."""

    def spoil(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return spoil


def each_table(statement: str) -> Callable[[Path], None]:
    """A way to spoil an index: run a statement on each of its tables, leaving the migrations' record."""

    def spoil(path: Path) -> None:
        listing = "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite%'"
        with closing(sqlite3.connect(path)) as connection, connection:
            for (name,) in connection.execute(listing).fetchall():
                if name != "_sqlite_migrations":
                    connection.execute(statement.format(f'"{name}"'))

    return spoil


def execute(statement: str, *, anew: bool = False) -> Callable[[Path], None]:
    """A way to spoil an index: run one statement, in the index or in an empty database in its place."""

    def spoil(path: Path) -> None:
        if anew:
            path.unlink()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    return spoil


def become_directory(path: Path) -> None:
    """Put a folder in the place of the index."""
    path.unlink()
    path.mkdir()


def become_dangling_link(path: Path) -> None:
    """Put a link to nowhere in the place of the index."""
    path.unlink()
    path.symlink_to(path.with_name("nowhere.db"))


def leave_wal(path: Path) -> None:
    """Leave a WAL and its shared memory that belong to nothing."""
    path.with_name("index.db-wal").write_bytes(scribble(40_000))
    path.with_name("index.db-shm").write_bytes(scribble(32_768))


FUTURE = """INSERT INTO _sqlite_migrations (migration_set, name, applied_at)
            SELECT migration_set, 'm9999_future', '2099-01-01' FROM _sqlite_migrations LIMIT 1"""

SPOILED: dict[str, Callable[[Path], None]] = {
    "deleted": Path.unlink,
    "zero bytes": rewrite(lambda _: b""),
    "random bytes": rewrite(lambda data: scribble(len(data))),
    "only its header is right": rewrite(lambda data: data[:100] + scribble(len(data) - 100)),
    "cut in half": rewrite(lambda data: data[: len(data) // 2]),
    "cut to one page": rewrite(lambda data: data[:1024]),
    "a page scribbled over": rewrite(lambda d: d[: len(d) // 2] + scribble(512) + d[len(d) // 2 + 512 :]),
    "an empty database": execute("CREATE TABLE notes (text)", anew=True),
    "its tables emptied": each_table("DELETE FROM {}"),
    "its tables dropped": each_table("DROP TABLE {}"),
    "a newer schema": execute(FUTURE),
    "a directory": become_directory,
    "a dangling link": become_dangling_link,
    "a left-over wal of random bytes": leave_wal,
}


def spoil(repo: Path, how: str) -> None:
    """Do to a session's index what the name says, its own WAL taken away as after a close."""
    SPOILED[how](index_path(repo))


KEPT_AS = {"segments": 6, "rows": 2048}
"""How the index keeps most lines, by the length of a segment."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By how its index keeps them: a session of 110 entries, with a checkpoint at the hundredth."""
    made = {}
    for kept_as, lines in KEPT_AS.items():
        made[kept_as] = tmp_path_factory.mktemp(kept_as)
        with segments_of(lines), OpLog(made[kept_as], "s") as log:
            log.append_many(entries(100))
            log.checkpoint("one", upto=None)
            log.append_many(entries(7, start=101))
            for each in entries(3, start=108):
                log.append(each)
    return made


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize(
    ("kept_as", "first"),
    [*(("segments", first) for first in ("append", "read", "get", "duplicate", "count")), ("rows", "read")],
)
def test_guarantee_3_a_spoiled_index_changes_no_answer(
    repo: Path, sound: dict[str, Path], how: str, kept_as: str, first: str
) -> None:
    """Whatever lies where the index should be: appends go on, duplicates are known, reads are right."""
    shutil.copytree(sound[kept_as], repo, dirs_exist_ok=True)
    with segments_of(KEPT_AS[kept_as]):
        spoil(repo, how)
        with OpLog(repo, "s") as log:
            if first == "append":
                log.append(entry(900))
            elif first == "get":
                assert log.get(op_id(3)) is not None
            elif first == "duplicate":
                assert log.append(entries(1, start=5)[0]) is False
            elif first == "count":
                assert log.count(domain="music") == 55
            scanned = making.assert_same_as_scan(log, log.path)
            assert scanned.duplicates == []
            assert len(log.replay_since_checkpoint()) == 10 + (first == "append")
            log.append(entry(901))
            making.assert_same_as_scan(log, log.path)
        with OpLog(repo, "s") as log:
            making.assert_same_as_scan(log, log.path)


@pytest.mark.parametrize(
    "how", ["deleted", "zero bytes", "random bytes", "cut in half", "its tables emptied", "replaced"]
)
def test_guarantee_3_an_index_spoiled_under_an_open_handle_changes_no_answer(repo: Path, log: OpLog, how: str) -> None:
    """The same while the handle is open and another one comes to it afresh."""
    log.append_many(entries(300))
    assert len(log) == 300
    if how == "replaced":
        with OpLog(repo, "other") as other:
            other.append_many(entries(50, start=1_000))
        shutil.copy(index_path(repo, "other"), index_path(repo).with_name("staged"))
        index_path(repo).with_name("staged").replace(index_path(repo))
    else:
        spoil(repo, how)
    log.append(entry(500))
    making.assert_same_as_scan(log, log.path)
    with OpLog(repo, "s") as again:
        making.assert_same_as_scan(again, again.path)
        again.append(entry(501))
        assert again.append(entry(500)) is False
    log.append(entry(502))
    assert making.assert_same_as_scan(log, log.path).duplicates == []


@pytest.mark.parametrize("kept_as", KEPT_AS)
def test_guarantee_3_every_spoiled_page_changes_no_answer(repo: Path, kept_as: str) -> None:
    """Scribble over each part of the index in turn: every read equals the plain scan."""
    with segments_of(KEPT_AS[kept_as]), OpLog(repo, "s") as log:
        log.append_many(entries(150))
    sound = index_path(repo).read_bytes()
    expected = exact_list(plain_scan.scan_file(making.log_path(repo)).entries)
    rng = random.Random(3)
    for offset in range(0, len(sound), max(512, len(sound) // 40)):
        making.drop_index(repo)
        index_path(repo).write_bytes(sound[:offset] + rng.randbytes(200) + sound[offset + 200 :])
        with OpLog(repo, "s") as log:
            assert exact_list(log.query()) == expected
            assert len(log) == 150
            assert log.get(op_id(77)) is not None
            assert log.count(domain="code") == 75


def test_an_index_of_another_log_is_not_believed(repo: Path) -> None:
    """The index of one session copied beside another log, larger or smaller, is made anew."""
    for name, start, count in (("one", 1, 30), ("two", 100, 60)):
        with OpLog(repo, name) as log:
            log.append_many(entries(count, start=start))
    for source, target in (("one", "two"), ("two", "one")):
        making.drop_index(repo, target)
        shutil.copy(index_path(repo, source), index_path(repo, target))
        with OpLog(repo, target) as log:
            making.assert_same_as_scan(log, log.path)
        making.drop_index(repo, source)
        with OpLog(repo, source) as log:
            making.assert_same_as_scan(log, log.path)


def test_an_index_of_a_log_of_the_same_size_is_not_believed(repo: Path) -> None:
    """A log replaced by another of equal length, line by line, is read and not what the index remembers."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(20))
    data = b"".join(making.line(each).replace(b": ", b":").replace(b", ", b",") for each in entries(20, start=500))
    size = making.log_path(repo).stat().st_size
    data = data[: data[:size].rfind(b"\n") + 1]
    data += b"\n" * (size - len(data))
    staged = making.log_path(repo).with_name("staged")
    staged.write_bytes(data)
    staged.replace(making.log_path(repo))
    with OpLog(repo, "s") as log:
        making.assert_same_as_scan(log, log.path)


def test_an_index_of_a_log_with_lines_of_the_same_lengths_is_not_believed(repo: Path) -> None:
    """A log put in place of another, each line as long as the one before it, is read and not what the index says."""
    with OpLog(repo, "s") as log, OpLog(repo, "twin") as twin:
        log.append_many(entries(20, start=10))
        twin.append_many(entries(20, start=46))
    assert [*map(len, making.log_bytes(repo).split(b"\n"))] == [*map(len, making.log_bytes(repo, "twin").split(b"\n"))]
    making.log_path(repo, "twin").replace(making.log_path(repo))
    with OpLog(repo, "s") as log:
        assert log.append(entries(1, start=46)[0]) is False
        assert log.next_lamport_ts() == 66
        making.assert_same_as_scan(log, log.path)


def test_an_index_ahead_of_the_log_is_not_believed(repo: Path) -> None:
    """The log lost its end (a restored copy) while the index kept it: the log rules."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(30))
    lines = making.log_bytes(repo).splitlines(keepends=True)
    os.truncate(making.log_path(repo), sum(map(len, lines[:20])))
    with OpLog(repo, "s") as log:
        assert len(making.assert_same_as_scan(log, log.path).entries) == 20
        log.append(entry(300))
        making.assert_same_as_scan(log, log.path)


def test_an_older_index_catches_up(repo: Path) -> None:
    """An index from a backup knows a prefix; the first read brings the rest, from any prefix."""
    saved: list[bytes] = []
    for number in range(1, 30, 7):
        with OpLog(repo, "s") as log:
            log.append_many(entries(7, start=number))
        saved.append(index_path(repo).read_bytes())
    for older in saved:
        making.drop_index(repo)
        index_path(repo).write_bytes(older)
        with OpLog(repo, "s") as log:
            assert len(making.assert_same_as_scan(log, log.path).entries) == 35


@pytest.mark.process
@pytest.mark.parametrize("how", ["begin exclusive", "locking mode"])
@pytest.mark.parametrize("opened", ["before", "after"])
def test_guarantee_3_a_locked_index_stops_neither_appends_nor_reads(repo: Path, how: str, opened: str) -> None:
    """While another process holds the index exclusively all goes on, and once it lets go the index catches up."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(20))
    log = OpLog(repo, "s")
    if opened == "before" and how == "begin exclusive":
        assert len(log) == 20
    holder = children.start_worker("hold_index", index_path(repo), how)
    assert children.pipe_of(holder).readline()
    try:
        log.append(entry(100))
        assert log.append(entry(100)) is False
        assert log.append_many(entries(3, start=101)) == 3
        assert len(making.assert_same_as_scan(log, log.path).entries) == 24
        assert log.next_lamport_ts() > 103
    finally:
        children.end(holder)
    log.append(entry(200))
    making.assert_same_as_scan(log, log.path)
    log.close()
    with OpLog(repo, "s") as again:
        assert len(again) == 25
    assert entries_in(index_path(repo)) == 25


def entries_in(path: Path) -> int:
    """The number of entries that an index has, read with plain sqlite3."""
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute("SELECT count(*) FROM entries").fetchone()[0]
        return number


@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_an_index_unlinked_while_open_is_replaced_not_kept(repo: Path, durability: Any) -> None:
    """After somebody deletes the index, a later handle finds an index on disk that covers the log."""
    with OpLog(repo, "s", durability=durability) as log:
        log.append_many(entries(10))
        making.drop_index(repo)
        log.append(entry(50))
        assert len(log) == 11
    with OpLog(repo, "s") as log:
        assert len(log) == 11
        log.append(entry(51))
    assert entries_in(index_path(repo)) == 12


def test_guarantee_3_trouble_with_the_index_is_logged(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A rebuilt index leaves a warning that names its path."""
    with OpLog(repo, "s") as log:
        log.append(entry(1))
    index_path(repo).write_bytes(b"scribble" * 500)
    with caplog.at_level(logging.INFO), OpLog(repo, "s") as log:
        log.append(entry(2))
        making.assert_same_as_scan(log, log.path)
    told = [each.getMessage() for each in caplog.records if each.name.startswith("muse")]
    assert any("index" in message for message in told), told


@pytest.mark.process
def test_a_read_only_place_is_read_through_its_index_and_appends_say_so(repo: Path, tmp_path: Path) -> None:
    """On a read-only file system every read works, an append raises an OSError, and no file is left.

    The index there serves, and only without one it is told that one in memory does.
    """
    with OpLog(repo, "s") as log:
        log.append_many(entries(9))
        log.checkpoint("one", upto=None)
        log.append(entry(10))
    expected = plain_scan.scan_file(making.log_path(repo)).entries
    for index in ("with", "without"):
        if index == "without":
            making.drop_index(repo)
        before = making.tree(repo)
        found = children.run_worker("use_read_only", repo, before=read_only(repo))
        assert found["entries"] == exact_list(expected)
        assert found["length"] == 10
        assert found["count"] == len(plain_scan.select(expected, domain="music"))
        assert found["get"] == plain_scan.exact(expected[0])
        assert found["replay"] == 1
        assert found["summaries"] == [10]
        assert ("one in memory serves" in found["warned"]) == (index == "without"), found["warned"]
        assert found["error"][0] is True
        assert "ead-only" in found["error"][1] or "ermission" in found["error"][1]
        after = making.tree(repo)
        assert {name: data for name, data in after.items() if "index.db-" not in name} == before


def test_a_read_only_index_beside_a_writable_log_stops_nothing(repo: Path) -> None:
    """An index that nobody may write (here: a directory that can't become one) leaves appends and reads alone."""
    making.log_path(repo).parent.mkdir(parents=True)
    index_path(repo).mkdir()
    index_path(repo).joinpath("occupied").write_text("x")
    with OpLog(repo, "s") as log:
        log.append(entry(1))
        log.append_many(entries(5, start=2))
        assert log.append(entry(1)) is False
        making.assert_same_as_scan(log, log.path)
        log.checkpoint("one")
        assert log.replay_since_checkpoint() == []
    assert list_sessions(repo) == ["s"]
    assert index_path(repo).joinpath("occupied").read_text() == "x"


# -- the states of a handle's index -----------------------------------------------------------------------------


class Handle:
    """A `CatchUp` of a log that a test writes by hand, and the timestamps that it has told of."""

    def __init__(self, repo: Path, **options: Any) -> None:
        self.path = making.log_path(repo)
        making.add_bytes(self.path, b"")
        self.log = LogFile(self.path, durable_names=False)
        self.observed: list[int] = []
        self.catch_up = CatchUp(
            self.path.parent, self.log, self.observed.append, lambda _index: None, Options(**options)
        )

    def arrive(self, *numbers: int) -> None:
        """Append entries as another process does, and catch up."""
        making.add_bytes(self.path, b"".join(making.line(entry(number)) for number in numbers))
        self.catch_up.catch_up()

    def state(self) -> str:
        """Where the index is that is asked now, and whether it knows everything."""
        found: Path | None
        found, known = self.catch_up.with_index(lambda index: (index.database.path, index.entries))
        assert known == len(plain_scan.scan_file(self.path).entries)
        assert self.catch_up.end == self.path.stat().st_size - len(plain_scan.scan_file(self.path).tail)
        return "in memory" if found is None else "on disk"

    def close(self) -> None:
        """Close both."""
        self.catch_up.close()
        self.log.close()


@pytest.fixture
def handle(repo: Path) -> Iterator[Handle]:
    """A handle that has caught up with three entries."""
    made = Handle(repo)
    made.arrive(1, 2, 3)
    yield made
    made.close()


class Clock:
    """A clock that goes on if it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """The time by this clock."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which the index waits."""
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def test_the_first_use_makes_an_index_on_disk(repo: Path) -> None:
    """No index before it, and one that knows the log after it."""
    made = Handle(repo)
    assert not index_path(repo).exists()
    made.arrive(1, 2, 3)
    assert made.state() == "on disk"
    made.close()
    assert entries_in(index_path(repo)) == 3


def test_a_log_without_lines_needs_no_index(repo: Path) -> None:
    """Nothing is looked up in it, and nothing is made beside it."""
    made = Handle(repo)
    made.catch_up.catch_up()
    assert made.catch_up.find(b"absent".rjust(16)) is None
    assert made.catch_up.find_all({b"absent".rjust(16)}) == {}
    assert made.catch_up.is_untouched()
    made.close()
    assert not index_path(repo).exists()


def test_where_no_index_can_lie_one_in_memory_serves_and_the_disk_is_tried_again(repo: Path, clock: Clock) -> None:
    """In memory for as long as options say, then on disk as soon as that works, with all that has arrived."""
    index_path(repo).mkdir(parents=True)
    made = Handle(repo, retry_seconds=5)
    made.arrive(1, 2, 3)
    assert made.state() == "in memory"
    index_path(repo).rmdir()
    clock.now_s += 4
    made.arrive(4)
    assert made.state() == "in memory"
    assert not index_path(repo).exists()
    clock.now_s += 2
    made.arrive(5)
    assert made.state() == "on disk"
    made.close()
    assert entries_in(index_path(repo)) == 5


def test_an_index_in_memory_leaves_one_on_disk_if_it_can(repo: Path) -> None:
    """On closing, the index on disk is tried once more: the next handle finds what this one has read."""
    making.add_bytes(making.log_path(repo), making.line(entry(1)))
    with OpLog(repo, "s") as log:
        assert len(log) == 1
    made = Handle(repo, retry_seconds=10**6)
    with closing(sqlite3.connect(index_path(repo), isolation_level=None)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        with limits(READ_WAIT_MS=1):
            made.arrive(2, 3)
            assert made.state() == "in memory"
    made.close()
    assert entries_in(index_path(repo)) == 3


@pytest.mark.parametrize("how", ["unlinked", "replaced", "replaced by another log's"])
def test_an_index_that_is_no_longer_beside_the_log_is_given_up(repo: Path, handle: Handle, how: str) -> None:
    """The next question goes to the one that lies there, if it is this log's, or to a new one."""
    before = handle.catch_up.with_index(lambda index: index)
    if how == "unlinked":
        making.drop_index(repo)
    else:
        source = "s" if how == "replaced" else "other"
        if source == "other":
            with OpLog(repo, "other") as other:
                other.append_many(entries(9, start=50))
        staged = index_path(repo).with_name("staged")
        shutil.copy(index_path(repo, source), staged)
        making.drop_index(repo)
        staged.rename(index_path(repo))
    assert handle.state() == "on disk"
    assert handle.catch_up.with_index(lambda index: index) is not before
    handle.arrive(4)
    assert handle.state() == "on disk"
    assert index_path(repo).exists()


FAULTS = [
    sqlite3.DatabaseError("malformed"),
    sqlite3.OperationalError("no such table"),
    DamagedIndexError("altered"),
    UnicodeDecodeError("utf-8", b"", 0, 0, "in a message"),
    StaleLocationError("the line is not there"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_work_that_fails_is_done_again_with_a_new_index(repo: Path, handle: Handle, fault: Exception) -> None:
    """A new one on disk first, then one in memory; a fault that stays comes through in the end."""
    seen: list[tuple[Index, str]] = []

    def work(index: Index) -> str:
        seen.append((index, "in memory" if index.database.path is None else "on disk"))
        if len(seen) <= failures:
            raise fault
        return f"attempt {len(seen)}"

    for failures in (1, 2, 3):
        seen.clear()
        assert handle.catch_up.with_index(work) == f"attempt {failures + 1}"
        assert len({id(index) for index, _ in seen}) == failures + 1
        assert [state for _, state in seen][2:] == ["in memory"] * (failures - 1)
    failures = 4
    seen.clear()
    with pytest.raises(type(fault)):
        handle.catch_up.with_index(work)
    assert len(seen) == 4
    handle.arrive(4)
    assert handle.state()


def failing_once(fault: Exception) -> Callable[[Index], None]:
    """Work that fails at first and then does nothing."""
    faults = [fault]

    def work(index: Index) -> None:
        if faults:
            raise faults.pop()

    return work


def test_a_bad_index_is_made_anew_and_a_bad_moment_is_waited_out(repo: Path, handle: Handle, clock: Clock) -> None:
    """Damage replaces the file at once; while it is locked the file stays, and is used again afterwards."""
    inode = index_path(repo).stat().st_ino
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
    for fault, changed in ((busy, False), (DamagedIndexError("altered"), True)):
        handle.catch_up.with_index(failing_once(fault))
        clock.now_s += 100
        assert handle.state() == "on disk"
        assert (index_path(repo).stat().st_ino != inode) is changed


@pytest.mark.parametrize("error", [RuntimeError("ours"), OSError("the log can't be read"), KeyboardInterrupt()])
def test_an_error_that_is_not_the_indexs_comes_through_at_once(handle: Handle, error: BaseException) -> None:
    """The work is not done again, and the index is not given up for it."""
    index = handle.catch_up.with_index(lambda index: index)
    calls: list[Index] = []

    def work(index: Index) -> None:
        calls.append(index)
        raise error

    with pytest.raises(type(error)):
        handle.catch_up.with_index(work)
    assert calls == [index]
    assert handle.catch_up.with_index(lambda index: index) is index


def test_lines_wait_in_memory_while_another_connection_writes(repo: Path, handle: Handle) -> None:
    """No append waits for it; all are known meanwhile, and are written by the next try."""
    with closing(sqlite3.connect(index_path(repo), isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for number in range(4, 10):
            handle.arrive(number)
            handle.catch_up.flush_pending()
            assert handle.catch_up.find(uuid.UUID(op_id(number)).bytes) is not None
        assert handle.catch_up.with_index(lambda index: index.unwritten_lines) >= 6
        holder.execute("ROLLBACK")
    handle.catch_up.flush_pending()
    assert handle.catch_up.with_index(lambda index: index.unwritten_lines) == 0
    assert handle.state() == "on disk"


def test_rows_that_waited_for_another_connection_are_written_soon(repo: Path) -> None:
    """After at most eight appends, all in one transaction; and then each with its append again."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3))
        with closing(sqlite3.connect(index_path(repo), isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            log.append(entry(4))
        assert entries_in(index_path(repo)) == 3
        written = []
        for number in range(5, 16):
            log.append(entry(number))
            written.append(entries_in(index_path(repo)))
        first = written.index(next(count for count in written if count > 3))
        assert first < 8
        assert written[first:] == list(range(5 + first, 16))


def test_what_is_only_in_memory_is_written_on_closing(repo: Path, handle: Handle) -> None:
    """A last try; whatever is missing would be found in the log by the next handle."""
    handle.arrive(4, 5)
    handle.close()
    assert entries_in(index_path(repo)) == 5


def test_of_lines_with_one_op_id_the_first_is_the_entry(repo: Path, handle: Handle) -> None:
    """In one portion or over several; the others are known as duplicates, with the place of the first."""
    handle.arrive(4, 2, 4)
    handle.arrive(1)
    scanned = plain_scan.scan_file(handle.path)
    assert len(scanned.duplicates) == 3
    for span, number in zip(scanned.spans, (1, 2, 3, 4), strict=True):
        assert handle.catch_up.find(uuid.UUID(op_id(number)).bytes) == span.byte_offset
    problems = handle.catch_up.with_index(lambda index: dict(index.tail.problems))
    assert set(problems) == {span.byte_offset for span in scanned.duplicates}
    assert {kind for kind, _ in problems.values()} == {"duplicate"}
    firsts = [scanned.spans[number].byte_offset for number in (1, 3, 0)]
    assert [int(problems[at][1].split()[-1]) for at in sorted(problems)] == firsts


def test_timestamps_are_told_as_they_arrive(repo: Path, handle: Handle) -> None:
    """The highest of what is there and of each portion that comes, also if the index was made by another handle."""
    assert max(handle.observed) == 3
    handle.arrive(9, 7)
    assert max(handle.observed) == 9
    handle.close()
    again = Handle(repo)
    again.arrive()
    assert max(again.observed) == 9
    again.close()


def test_a_torn_tail_is_told_and_waited_for(repo: Path, handle: Handle) -> None:
    """Bytes without a newline are no line yet; they become one when the newline comes."""
    line = making.line(entry(4))
    seen = []
    for part in (line[:20], line[20:]):
        making.add_bytes(handle.path, part)
        handle.catch_up.catch_up()
        seen.append((handle.catch_up.tail_is_torn, handle.catch_up.find(uuid.UUID(op_id(4)).bytes) is not None))
    assert seen == [(True, False), (False, True)]


def test_a_log_that_was_replaced_is_an_error_and_not_a_fault_of_the_index(repo: Path, handle: Handle) -> None:
    """The handle must not go on with another file as if it were its own."""
    staged = handle.path.with_name("staged")
    staged.write_bytes(handle.path.read_bytes()[:50])
    staged.replace(handle.path)
    with pytest.raises(LogReplacedError):
        handle.catch_up.catch_up()


def test_a_long_tail_is_folded_by_the_handle_that_made_it(repo: Path) -> None:
    """On closing, if it is worth a segment, so that the next handle has less to read."""
    with segments_of(100, long_batch=10), OpLog(repo, "s") as log:
        for each in entries(25):
            log.append(each)
    with closing(sqlite3.connect(index_path(repo))) as connection:
        assert connection.execute("SELECT sum(lines) FROM segment").fetchone() == (25,)
        assert connection.execute("SELECT count(*) FROM tail").fetchone() == (0,)
    assert entries_in(index_path(repo)) == 25
