"""rebuild_index: the same answers before and after, at any time, with writers at work (guarantee 11)."""

from __future__ import annotations

import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse.core.index.blocks.links import unpack_links, unpack_unresolved
from muse.core.index.blocks.op_id_keys import OpIdHash, random_hash
from muse.core.index.file import Database, new_in_memory
from muse.core.index.rebuild import fed_with_lines, fill
from muse.core.index.store import Index
from muse.core.op_log import OpLog
from muse.core.options import Options
from muse.core.storage.log_file import LogFile
from tests import children, making, plain_scan
from tests.index.blocks.test_op_id_keys import alike_under
from tests.making import entries, entry
from tests.samples import PIECES, examples
from tests.small_index import limits


@given(PIECES)
@examples(50)
def test_guarantee_11_rebuilding_changes_no_answer_whatever_the_bytes(pieces: list[bytes]) -> None:
    """An index grown line by line and one made anew from any bytes answer alike, and as the plain scan."""
    with making.fresh_repo() as repo, OpLog(repo, "s") as log:
        for piece in pieces:
            making.add_bytes(log.path, piece)
            len(log)
        before = making.answers(log)
        log.rebuild_index()
        assert making.answers(log) == before
        making.assert_same_as_scan(log, log.path)


def test_rebuilding_an_absent_session_makes_nothing(repo: Path) -> None:
    """No log, no index."""
    with OpLog(repo, "s") as log:
        log.rebuild_index()
        assert len(log) == 0
    assert making.tree(repo) == {}


def test_rebuilding_leaves_no_file_beside_the_index(repo: Path, log: OpLog) -> None:
    """The index that was made beside the old one is swapped in, and nothing of it is left."""
    log.append_many(entries(50))
    log.rebuild_index()
    log.append(entry(90))
    assert {path.name for path in log.folder.iterdir()} <= {
        "ops.jsonl",
        "index.db",
        "index.db-wal",
        "index.db-shm",
    }


def test_other_open_handles_go_on_after_a_rebuild(repo: Path, log: OpLog) -> None:
    """A handle opened before the rebuild reads and appends as before, and its work is in the new index."""
    with OpLog(repo, "s") as other:
        log.append_many(entries(50))
        assert len(other) == 50
        log.rebuild_index()
        other.append(entry(100))
        log.append(entry(101))
        assert other.append(entry(101)) is False
        for handle in (log, other):
            making.assert_same_as_scan(handle, log.path)
        other.rebuild_index()
        log.append(entry(102))
        for handle in (log, other):
            making.assert_same_as_scan(handle, log.path)
    with OpLog(repo, "s") as again:
        making.assert_same_as_scan(again, log.path)


def test_a_rebuild_reports_its_progress_in_bytes(repo: Path, log: OpLog) -> None:
    """The callback gets rising numbers that end at the size of the log."""
    told: list[tuple[int, int]] = []
    log.append_many(entries(5_000))
    log.rebuild_index(progress=lambda done, total: told.append((done, total)))
    size = len(making.log_bytes(repo))
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_rebuild_that_is_broken_off_harms_nothing(repo: Path, log: OpLog) -> None:
    """An exception out of the callback comes through, and the old index, or a new one, goes on answering."""
    log.append_many(entries(5_000))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        log.rebuild_index(progress=stop)
    making.assert_same_as_scan(log, log.path)
    log.append(entry(9_000))
    with OpLog(repo, "s") as again:
        assert len(again) == 5_001
    log.rebuild_index()
    assert {path.name for path in log.folder.iterdir()} <= {
        "ops.jsonl",
        "index.db",
        "index.db-wal",
        "index.db-shm",
    }


# -- in pieces, by worker processes ----------------------------------------------------------------------------

SMALL = Options(segment_lines=16, long_batch_lines=8)
PIECE = 16 * SMALL.segment_lines
"""How many lines one process packs at a time."""
END = 10 * SMALL.segment_lines
"""How many lines the last piece has, which is too short for a process of its own."""


def awkward_log(copies: Iterable[tuple[int, int]], most_parents: int = 2) -> bytes:
    """Lines of several pieces: damage, links back and forth, an end too short; and copies, as (of which, at which)."""
    chance = random.Random(5)
    text = making.line(entry(1, parent_op_ids=["PARENTS"], actor_id="ACTOR", intent_id="INTENT")).decode()
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(5 * PIECE + END)]
    made = []
    for number, op_id in enumerate(ids):
        # Mostly the line before, now and then one far before or after it, or one that is not there.
        named = [ids[max(number - 1, 0)], *chance.choices([*ids, making.op_id(7)], k=number % 50 == 0)]
        parents = ", ".join(f'"{parent}"' for parent in named[-most_parents:]) if number % 3 else ""
        words = {
            entry(1)["op_id"]: op_id,
            '"PARENTS"': parents,
            "ACTOR": f"actor {number % 4}",
            "INTENT": f"intent {number // 75}",
            '"lamport_ts": 1': f'"lamport_ts": {number}',
        }
        made.append(text)
        for word, value in words.items():
            made[-1] = made[-1].replace(word, value)
    for copy, at in copies:
        made.insert(at, made[copy])
    made[100:100] = ["{torn\n", "\n"]
    return "".join(made).encode() + b"{no newline"


COPIES = {
    "no line twice": (),
    "a line twice in a segment": ((3, 10),),
    "a line twice in a piece": ((5, PIECE - 9),),
    "a line twice, far apart": ((7, 4 * PIECE),),
    "a line twice, at the end": ((2, 5 * PIECE + END),),
    "all of these": ((3, 10), (5, PIECE + 9), (PIECE + 1, 3 * PIECE), (4 * PIECE, 4 * PIECE + 1), (2, 5 * PIECE + END)),
}


@pytest.fixture(scope="module", params=COPIES)
def awkward(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogFile]:
    """A log of several pieces, which nobody writes to."""
    path = tmp_path_factory.mktemp("awkward") / "ops.jsonl"
    path.write_bytes(awkward_log(COPIES[request.param]))
    log = LogFile(path, durable_names=False)
    log.size()
    yield log
    log.close()


def tables(index: Index) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of an index."""
    names = index.connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
    )
    return {name: index.connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names.fetchall()}


def rebuilt(log: LogFile, workers: int) -> Index:
    """An index made of a whole log in memory, in segments and pieces that are shorter than usual."""
    return fill(new_with_hash(FIXED), log, SMALL, workers=workers)


FIXED = random_hash()


def new_with_hash(op_id_hash: OpIdHash) -> Database:
    """An empty index that hashes op_ids as others do, whose rows can then be compared with its own."""
    with limits(random_hash=lambda: op_id_hash):
        return new_in_memory()


@pytest.fixture(scope="module")
def by_one(awkward: LogFile) -> Iterator[Index]:
    """The index that one process makes of the log."""
    index = rebuilt(awkward, 1)
    yield index
    index.database.close()


@pytest.mark.process
def test_workers_make_the_same_index_row_by_row(awkward: LogFile, by_one: Index) -> None:
    """Each table has the same rows, bytes and checksums included, if three processes make them in turn."""
    index = rebuilt(awkward, 3)
    found, expected = tables(index), tables(by_one)
    assert expected["segment"]
    assert expected["run"]
    assert expected["tail"]
    for name, rows in expected.items():
        assert found[name] == rows, name
    index.database.close()


@pytest.mark.parametrize("most", [16, 64, 1024])
def test_runs_written_once_are_those_that_merging_makes(tmp_path: Path, most: int) -> None:
    """An index made of packed pieces is, byte by byte, the one that is fed with the lines and merges its runs."""
    (tmp_path / "ops.jsonl").write_bytes(awkward_log((), most_parents=1))
    log = LogFile(tmp_path / "ops.jsonl", durable_names=False)
    with limits(MAX_RUN_SEGMENTS=most, PAGE_KEYS=50, _PART_BITS=10):
        index = rebuilt(log, 1)
        database = new_with_hash(FIXED)
        fed = fed_with_lines(database, log, replace(SMALL, max_unwritten_lines=2**30), log.size(), lambda: None)
        assert len(index.runs) > 2
        found = tables(index)
        for name, rows in tables(fed).items():
            assert found[name] == rows, name
    for each in (index, fed):
        each.database.close()
    log.close()


def test_op_ids_that_share_a_hash_by_chance_are_not_taken_for_one(tmp_path: Path) -> None:
    """In one segment, in one piece and far apart: whole op_ids are compared before all is done over, line by line."""

    def done_over(*_: object) -> Index:
        raise AssertionError("no op_id stands twice")

    op_ids = list(islice(alike_under(FIXED.factor), 2 * PIECE))
    lines = [making.line(entry(number, op_id=str(op_id))) for number, op_id in enumerate(op_ids, 1)]
    (tmp_path / "ops.jsonl").write_bytes(b"".join(lines))
    log = LogFile(tmp_path / "ops.jsonl", durable_names=False)
    with limits(fed_with_lines=done_over):
        index = rebuilt(log, 1)
    assert sum(len(run.all_keys()) for run in index.runs) == len(index.segment_numbers()) == 32
    assert index.entries == len(op_ids)
    assert [index.offset_of(op_ids[number].bytes) for number in (0, 5, PIECE)] == [
        len(b"".join(lines[:number])) for number in (0, 5, PIECE)
    ]
    index.database.close()
    log.close()


def test_a_rebuilt_index_has_the_entries_of_a_plain_scan(awkward: LogFile, by_one: Index) -> None:
    """Of the lines with one op_id the first is the entry, across pieces and within one; links lead to its line."""
    scanned = plain_scan.scan_file(awkward.path)
    assert len(scanned.duplicates) in {len(copies) for copies in COPIES.values()}
    places = {each["op_id"]: span.byte_offset for each, span in zip(scanned.entries, scanned.spans, strict=True)}
    assert by_one.entries == len(places)
    assert by_one.offsets_of([uuid.UUID(op_id).bytes for op_id in places]) == {
        uuid.UUID(op_id).bytes: at for op_id, at in places.items()
    }
    each_unit = [by_one.tail.problems, *(by_one.segment(number).problems for number in by_one.segment_numbers())]
    problems = {at: kind for unit in each_unit for at, (kind, _) in unit.items()}
    assert {at for at, kind in problems.items() if kind == "duplicate"} == {e.byte_offset for e in scanned.duplicates}
    assert {at for at, kind in problems.items() if kind == "damaged"} == {e.byte_offset for e, _ in scanned.damaged}


def test_a_rebuilt_index_has_the_links_of_a_plain_scan(awkward: LogFile, by_one: Index) -> None:
    """Each link leads to the parent's line if it stands before the segment's end, and to its op_id otherwise."""
    scanned = plain_scan.scan_file(awkward.path)
    places = {each["op_id"]: span.byte_offset for each, span in zip(scanned.entries, scanned.spans, strict=True)}
    resolved, unresolved = set(), set()
    for number in by_one.segment_numbers():
        segment = by_one.segment(number)
        links = unpack_links(segment.first_offset, segment.links)
        assert by_one.summary(number).parents_in() == sorted({by_one.number_at(at) for _, at in links})
        assert by_one.summary(number).unresolved_links == len(unpack_unresolved(segment.first_offset, segment.links))
        resolved |= set(links)
        unresolved |= set(unpack_unresolved(segment.first_offset, segment.links))
    expected, expected_unresolved = set(), set()
    for each in scanned.entries:
        child = places[each["op_id"]]
        if child >= by_one.folded_end:
            continue
        end = by_one.segment(by_one.number_at(child)).end
        for parent in each["parent_op_ids"]:
            if places.get(parent, end) < end:
                expected.add((child, places[parent]))
            else:
                expected_unresolved.add((child, uuid.UUID(parent).bytes))
    assert resolved == expected
    assert unresolved == expected_unresolved


@given(PIECES, st.integers(1, 3), st.integers(1, 3))
@examples(50)
def test_pieces_of_any_size_have_every_line_once(pieces: list[bytes], segment_lines: int, segments: int) -> None:
    """Any bytes, in pieces of a few lines: the entries are those of a plain scan."""
    with making.fresh_repo() as repo, limits(_PIECE_SEGMENTS=segments, FAN_OUT=2, MAX_RUN_SEGMENTS=4):
        making.add_bytes(making.log_path(repo), b"".join(pieces))
        log = LogFile(making.log_path(repo), durable_names=False)
        index = fill(new_in_memory(), log, Options(segment_lines=segment_lines, long_batch_lines=1))
        scanned = plain_scan.scan_file(log.path)
        assert index.entries == len(scanned.entries)
        assert index.end == len(making.log_bytes(repo)) - len(scanned.tail)
        for each, span in zip(scanned.entries, scanned.spans, strict=True):
            assert index.offset_of(uuid.UUID(each["op_id"]).bytes) == span.byte_offset
        index.database.close()
        log.close()


@pytest.mark.process
@pytest.mark.parametrize(
    "dying",
    [
        pytest.param("exit 3", id="before it reads"),
        pytest.param("head -c 1 > /dev/null; kill -9 $$", id="while it reads"),
        pytest.param("head -c 1 > /dev/null; printf '\\200\\004\\225\\000'; kill -9 $$", id="while it writes"),
        pytest.param("exec /nonexistent/python", id="as it starts"),
    ],
)
def test_a_worker_that_dies_is_a_clear_error_and_the_old_index_stays(
    repo: Path, log: OpLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dying: str
) -> None:
    """An OSError that says so, whenever it dies; the index and its answers are what they were; no file is left."""
    log.append_many(entries(50))
    assert len(log) == 50
    index = log.path.with_name("index.db")
    before = (index.stat().st_ino, making.answers(log))
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nexec 2> /dev/null\n{dying}\n")
    program.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(program))
        with pytest.raises(OSError, match="worker"):
            log.rebuild_index(workers=2)
    assert (index.stat().st_ino, making.answers(log)) == before
    assert {path.name for path in log.folder.iterdir()} <= {"ops.jsonl", "index.db", "index.db-wal", "index.db-shm"}
    log.rebuild_index(workers=2)
    assert making.answers(log) == before[1]


# -- while others write ---------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.slow
def test_guarantee_11_rebuilds_while_processes_write_lose_nothing(repo: Path, log: OpLog) -> None:
    """Three processes record while this one rebuilds all the time: every answer is the plain scan's."""
    workers = [children.start_worker("record", repo, "s", f"w{number}", 1_000) for number in range(3)]
    for worker in workers:
        assert children.pipe_of(worker).readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    rebuilt = 0
    while not all(children.readable(children.pipe_of(worker), seconds=0) for worker in workers):
        log.rebuild_index()
        rebuilt += 1
        cut = log.cut()
        data = making.log_bytes(repo)[: cut.byte_offset]
        assert cut.op_count == len(plain_scan.scan(data).entries)
    acknowledged = [each[0] for worker in workers for each in json.loads(children.pipe_of(worker).readline())]
    for worker in workers:
        children.end(worker)
    assert rebuilt
    scanned = making.assert_same_as_scan(log, log.path)
    assert Counter(scanned.op_ids) == Counter(acknowledged)
    with OpLog(repo, "s") as again:
        before = making.answers(again)
        again.rebuild_index()
        assert making.answers(again) == before
    assert {path.name for path in log.folder.iterdir()} <= {
        "ops.jsonl",
        "index.db",
        "index.db-wal",
        "index.db-shm",
    }
