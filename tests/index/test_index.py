"""The sidecar index: whatever befalls it, no append raises and no read is wrong (guarantee 3)."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from muse.core.op_log import OpLog, list_sessions
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id
from tests.plain_scan import exact_list
from tests.reliability.faults import read_only


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


@pytest.mark.parametrize("first", ["append", "read", "get", "duplicate", "count"])
@pytest.mark.parametrize("how", SPOILED)
def test_guarantee_3_a_spoiled_index_changes_no_answer(repo: Path, how: str, first: str) -> None:
    """Whatever lies where the index should be: appends go on, duplicates are known, reads are right."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(400))
        log.checkpoint("one", upto=None)
        log.append_many(entries(20, start=401))
    spoil(repo, how)
    with OpLog(repo, "s") as log:
        if first == "append":
            log.append(entry(900))
        elif first == "get":
            assert log.get(op_id(3)) is not None
        elif first == "duplicate":
            assert log.append(entries(1, start=5)[0]) is False
        elif first == "count":
            assert log.count(domain="music") == 210
        scanned = making.assert_same_as_scan(log, log.path)
        assert scanned.duplicates == []
        assert len(log.replay_since_checkpoint()) == 20 + (first == "append")
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


def test_guarantee_3_every_spoiled_page_changes_no_answer(repo: Path) -> None:
    """Scribble over each part of the index in turn: every read equals the plain scan."""
    with OpLog(repo, "s") as log:
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
    assert 25 in rows_of_views(index_path(repo)).values()


def rows_of_views(path: Path) -> dict[str, int]:
    """The number of rows of each view of an index, read with plain sqlite3."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='view'")]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def test_the_index_opens_with_sqlite_utils_and_has_a_view_with_names(repo: Path) -> None:
    """One view has a row per entry that shows op_id, actor, domain, timestamp and place as text and numbers."""
    with OpLog(repo, "s") as log:
        made = entries(12, intent_id="the intent", reservation_id="the reservation")
        log.append_many(made)
        for each in entries(3, start=13):
            log.append(each)
    scanned = plain_scan.scan_file(making.log_path(repo))
    database = sqlite_utils.Database(index_path(repo))
    try:
        views = {view.name: list(view.rows) for view in database.views}
    finally:
        database.close()
    (name,) = [name for name, rows in views.items() if len(rows) == 15]
    rows = {row["op_id"]: row for row in views[name]}
    for found, span in zip(scanned.entries, scanned.spans, strict=True):
        values = list(rows[found["op_id"]].values())
        for wanted in (found["actor_id"], found["domain"], found["lamport_ts"], span.byte_offset):
            assert wanted in values
        assert span.length in values or span.length + 1 in values
    assert "the intent" in rows[op_id(1)].values()
    assert "the reservation" in rows[op_id(1)].values()


def test_the_index_is_a_sound_database_by_sqlites_own_check(repo: Path) -> None:
    """PRAGMA integrity_check says ok after single appends, batches, a rebuild and two handles."""
    with OpLog(repo, "s") as one, OpLog(repo, "s") as two:
        for number in range(1, 120, 2):
            one.append(entry(number))
            two.append(entry(number + 1))
        one.rebuild_index()
        two.append_many(entries(3_000, start=1_000))
        one.append(entry(9_000))
    with closing(sqlite3.connect(index_path(repo))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


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
    assert 12 in rows_of_views(index_path(repo)).values()


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
def test_a_read_only_place_is_read_without_an_index_and_appends_say_so(repo: Path, tmp_path: Path) -> None:
    """On a read-only file system every read works, an append raises an OSError, and no file is left."""
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
