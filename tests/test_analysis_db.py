"""The database for analysis says what a plain scan of the log says, and appears whole or not at all."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from muse.analysis_db import DatabaseSummary, write_database
from muse.core.op_log import MuseError, OpEntry, OpLog
from tests import making, plain_scan
from tests.cli.running import ESCAPE, command_line
from tests.docs.pages import page, section
from tests.docs.running import Reader, blocks
from tests.making import entry, op_id
from tests.plain_scan import PlainScan

TEXT_COLUMNS = (
    *("address", "content_id", "content_summary", "old_content_id", "new_content_id", "old_summary", "new_summary"),
    *("entity_id", "child_domain", "child_summary", "from_address"),
)
NUMBER_COLUMNS = ("position", "from_position", "to_position")

INSERT = {"op": "insert", "address": "a.py", "position": 0, "content_id": "c1", "content_summary": "one"}
MUTATE = {
    "op": "mutate",
    "address": "note:7",
    "entity_id": "e7",
    "old_content_id": "c2",
    "new_content_id": "c3",
    "fields": {"velocity": {"old": 96, "new": "loud\nness"}, "é\x00": {"old": None, "new": [1.5, {"deep": "well"}]}},
    "old_summary": "C4",
    "new_summary": "D4",
    "position": None,
}
MOVE = {"op": "move", "address": "a.py", "from_position": 3, "to_position": -4, "content_id": "c1"}
PATCH = {
    "op": "patch",
    "address": "score",
    "child_ops": [
        INSERT,
        {
            "op": "patch",
            "address": "inner",
            "child_ops": [MOVE, MUTATE],
            "child_domain": "music",
            "child_summary": "two",
        },
        "not an operation",
        {"op": "delete", "address": ESCAPE, "child_ops": 7},
    ],
    "child_domain": "code",
    "child_summary": "several",
    "from_address": "elsewhere",
}
ODD_OPS: list[dict[str, Any]] = [
    {},
    {"op": 7, "address": ["a"], "position": "3", "content_id": None},
    {"op": "x", "position": 2**63 - 1, "from_position": 2**63, "to_position": -(2**63), "content_summary": "\x00\x00"},
    {"op": "x", "position": True, "from_position": 1.0, "to_position": 2**64 - 1},
    {"op": "x", "address": "a\x00b", "content_summary": 'it"s \\n "quoted"; drop table entry; -- \ud7ff\U0001f3b5'},
    {"op": "patch", "child_ops": {"op": "no list"}, "child_summary": 5},
    {"op": "insert", "domain_op": "inner", "arrival": -1, "op_text": "no column"},
]


def everything() -> bytes:
    """A log with all kinds of operations, names and lines, and a torn tail."""
    lines = [
        making.line(entry(number, domain_op=op, parent_op_ids=[op_id(number - 1), op_id(9999)][: number % 3]))
        for number, op in enumerate((INSERT, MUTATE, MOVE, PATCH, *ODD_OPS), start=1)
    ]
    hostile = {
        "actor_id": ESCAPE,
        "domain": "'; --",
        "intent_id": "\x00",
        "reservation_id": "r\n",
        "created_at": "no time",
    }
    spelled = json.dumps(entry(103, lamport_ts=2**53 - 1), indent=None, separators=(" ,  ", " : "), ensure_ascii=False)
    return b"".join(
        [
            b"\n",
            *lines[:3],
            b"damage\n",
            making.line(entry(101, **hostile)),
            making.line(entry(2, domain_op=MUTATE, parent_op_ids=[op_id(1), op_id(9999)])),  # once more
            making.line(entry(3, actor_id="mallory")),  # an op_id that is there, other content
            b" \t\r\n",
            lines[3][:50] + b"\n",  # the beginning of a line that comes whole afterwards
            making.line({**entry(4), "actor_id": ""}),
            *lines[3:],
            making.line({**entry(102), "further": {"key": 2**64 - 1}, "session": [None, "é"], "op_text": "x"}),
            b"\xef\xbb\xbf" + spelled.encode() + b" \r\n",
            b'{"op_id": "' + op_id(1).encode() + b'"}\n',
            b"\x00" * 40 + b"\n",
            b'{"torn',
        ]
    )


def rows(path: Path, sql: str) -> list[dict[str, Any]]:
    """What a query gives, read by Python's own sqlite3."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql)]


def op_columns(op: dict[str, Any]) -> dict[str, Any]:
    """The columns of an operation by their rule: what is not of the column's type, or past 64 bits, is NULL."""
    texts = {name: op[name] if isinstance(op.get(name), str) else None for name in TEXT_COLUMNS}
    numbers = {
        name: op[name] if type(op.get(name)) is int and -(2**63) <= op[name] < 2**63 else None
        for name in NUMBER_COLUMNS
    }
    return {"kind": op["op"] if isinstance(op.get("op"), str) else "untyped", **texts, **numbers}


def entry_columns(found: dict[str, Any]) -> dict[str, Any]:
    """The columns of an entry but for its place, its text, and its JSON, which is compared as values."""
    plain = {name: found[name] for name in plain_scan.FIELDS if name not in ("parent_op_ids", "domain_op")}
    return {**plain, **op_columns(found["domain_op"])}


def nested(op: dict[str, Any], around: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
    """Every nested operation with its path: its place in each list of `child_ops` on the way to it."""
    listed = op.get("child_ops")
    for place, child in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(child, dict):
            yield (*around, place), child
            yield from nested(child, (*around, place))


def assert_same_as_scan(path: Path, scan: PlainScan) -> None:
    """Compare each table with what the plain scan found."""
    found = rows(path, "select * from entry order by arrival")
    assert [row["arrival"] for row in found] == list(range(1, len(scan.entries) + 1))
    assert [(row["byte_offset"], row["length"] - 1) for row in found] == [
        (span.byte_offset, span.length) for span in scan.spans
    ]
    for row, wanted in zip(found, scan.entries, strict=True):
        columns = entry_columns(wanted)
        assert {name: row[name] for name in columns} == columns
        further = {key: value for key, value in wanted.items() if key not in plain_scan.FIELDS}
        assert plain_scan.exact(json.loads(row["domain_op"])) == plain_scan.exact(wanted["domain_op"])
        assert json.loads(row["parent_op_ids"]) == wanted["parent_op_ids"]
        assert plain_scan.exact(json.loads(row["further_keys"] or "{}")) == plain_scan.exact(further)
    assert [tuple(row.values()) for row in rows(path, "select * from parent order by rowid")] == [
        (each["op_id"], number, parent) for each in scan.entries for number, parent in enumerate(each["parent_op_ids"])
    ]
    assert_same_children(path, scan)
    passed = rows(path, "select byte_offset, length, reason from passed_over order by byte_offset")
    damaged = [span for span, _ in scan.damaged]
    kinds = {"damaged-line": damaged, "duplicate": scan.duplicates, "conflicting-duplicate": scan.conflicts}
    assert [tuple(row.values()) for row in passed] == sorted(
        (span.byte_offset, span.length + 1, kind) for kind, spans in kinds.items() for span in spans
    )


def assert_same_children(path: Path, scan: PlainScan) -> None:
    """The nested operations, numbered in the order they apply, each with the number of the one around it."""
    wanted = []
    for arrival, each in enumerate(scan.entries, start=1):
        numbers: dict[tuple[int, ...], int] = {(): 0}
        for place, child in nested(each["domain_op"]):
            numbers[place] = len(numbers)
            alone = {key: value for key, value in child.items() if key != "child_ops"}
            around = numbers[place[:-1]]
            wanted.append((arrival, numbers[place], around, len(place), op_columns(child), plain_scan.exact(alone)))
    found = rows(path, "select * from child_op order by arrival, number")
    assert [
        (
            *(row[name] for name in ("arrival", "number", "parent_number", "depth")),
            {name: row[name] for name in op_columns({})},
            plain_scan.exact(json.loads(row["domain_op"])),
        )
        for row in found
    ] == wanted


def export(log: OpLog, path: Path, **options: Any) -> DatabaseSummary:
    """Write the database and hold it against a plain scan of the log, and its own summary against both."""
    made = write_database(log, path, **options)
    scan = plain_scan.scan(log.path.read_bytes()[: made.byte_offset] if log.exists() else b"")
    assert_same_as_scan(path, scan)
    assert (made.session_id, made.op_count) == (log.session_id, len(scan.entries))
    counts = {
        "conflicting-duplicate": len(scan.conflicts),
        "damaged-line": len(scan.damaged),
        "duplicate": len(scan.duplicates),
    }
    assert made.passed_over == {kind: number for kind, number in counts.items() if number}
    assert made.parents == sum(len(each["parent_op_ids"]) for each in scan.entries)
    assert made.child_ops == sum(len(list(nested(each["domain_op"]))) for each in scan.entries)
    (session,) = rows(path, "select * from session")
    assert (session["session_id"], session["op_count"]) == (made.session_id, made.op_count)
    assert (session["byte_offset"], session["passed_over_lines"]) == (made.byte_offset, sum(counts.values()))
    assert rows(path, "pragma integrity_check") == [{"integrity_check": "ok"}]
    return made


def arrivals(path: Path, table: str) -> list[int]:
    """The arrival numbers of a table or view, in order."""
    return [row["arrival"] for row in rows(path, f"select arrival from {table} order by arrival")]


def found_by(path: Path, words: str) -> list[int]:
    """The arrival numbers that full-text search finds."""
    with closing(sqlite3.connect(path)) as connection:
        asked = "select rowid from entry_fts where entry_fts match ? order by rowid"
        return [number for (number,) in connection.execute(asked, [words])]


def test_tables_equal_a_plain_scan_of_any_log(log: OpLog, tmp_path: Path) -> None:
    """Every field, place, parent, nested operation and line passed over, whatever stands in the log."""
    making.add_bytes(log.path, everything())
    made = export(log, tmp_path / "s.db")

    assert made.passed_over == {"conflicting-duplicate": 1, "damaged-line": 5, "duplicate": 1}
    assert made.child_ops == 5
    assert made.byte_offset == len(everything()) - len(b'{"torn')
    assert making.log_bytes(log.folder.parents[2]) == everything()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["music-mozart-k465", "music-lieder-revisions", "code-friendsforever"])
def test_tables_equal_a_plain_scan_of_recorded_sessions(log: OpLog, traces: Path, tmp_path: Path, name: str) -> None:
    """Real edits by several actors, in tens of thousands, with the last hundred after a checkpoint."""
    from tests.test_traces import append_all, trace_entries

    edits = list(trace_entries(traces, name))
    append_all(log, iter(edits[:-100]))
    log.checkpoint("c1")
    append_all(log, iter(edits[-100:]))
    made = export(log, tmp_path / "s.db")

    assert (made.op_count, made.pending) == (len(edits), 100)
    assert arrivals(tmp_path / "s.db", "pending") == list(range(len(edits) - 99, len(edits) + 1))


@pytest.mark.parametrize("is_there", [False, True])
def test_empty_session_gives_empty_tables(log: OpLog, tmp_path: Path, is_there: bool) -> None:
    """Whether it has an empty log or none at all."""
    if is_there:
        making.add_bytes(log.path, b"")
    made = export(log, tmp_path / "s.db")

    assert (made.op_count, made.byte_offset, made.pending, made.passed_over) == (0, 0, 0, {})
    assert found_by(tmp_path / "s.db", "anything") == arrivals(tmp_path / "s.db", "operation") == []


def test_log_of_damage_alone_gives_no_entry(log: OpLog, tmp_path: Path) -> None:
    """The lines passed over are still counted."""
    making.add_bytes(log.path, b"one\n\n{}\n")

    assert export(log, tmp_path / "s.db").passed_over == {"damaged-line": 2}


@pytest.mark.slow
def test_line_longer_than_any_entry_is_passed_over(log: OpLog, tmp_path: Path) -> None:
    """Blanks that make an entry's line too long make it a damaged line; the same entry counts where it comes again."""
    first, last = (making.line(entry(number)) for number in (1, 2))
    too_long = last[:-1] + b" " * (130 << 20) + b"\n"
    making.add_bytes(log.path, first + too_long + last)
    made = write_database(log, tmp_path / "s.db")

    assert (made.op_count, made.passed_over) == (2, {"damaged-line": 1})
    places = [tuple(row.values()) for row in rows(tmp_path / "s.db", "select byte_offset, length from entry")]
    assert places == [(0, len(first)), (len(first) + len(too_long), len(last))]


def test_search_finds_words_of_any_text_of_the_operation(log: OpLog, tmp_path: Path) -> None:
    """At any depth, beside a line break or a NUL, and the name of a field that changed; not in other columns."""
    making.add_bytes(log.path, everything())
    write_database(log, tmp_path / "s.db")
    entries = plain_scan.scan(everything()).entries

    for words in ("velocity", "loud", "ness", "well", "quoted", '"drop table"', "several", "inner", "elsewhere"):
        wanted = [
            arrival
            for arrival, each in enumerate(entries, start=1)
            if words.strip('"') in json.dumps(each["domain_op"], ensure_ascii=False).replace("\\n", " ")
        ]
        if words == "inner":
            assert len(wanted) == 2
        assert found_by(tmp_path / "s.db", words) == wanted != []
    assert found_by(tmp_path / "s.db", "nness") == found_by(tmp_path / "s.db", "mallory") == []


def test_view_of_operations_has_nested_ones_too(log: OpLog, tmp_path: Path) -> None:
    """Who asks for an address finds it at every depth."""
    log.append_many([entry(1, domain_op=PATCH), entry(2, domain_op=INSERT)])
    write_database(log, tmp_path / "s.db")

    found = rows(tmp_path / "s.db", "select * from operation where address = 'a.py' order by arrival, number")
    assert [(row["arrival"], row["number"], row["depth"], row["kind"]) for row in found] == [
        (1, 1, 1, "insert"),
        (1, 3, 2, "move"),
        (2, 0, 0, "insert"),
    ]


@pytest.mark.parametrize(
    ("table", "condition"),
    [
        *(("entry", f"{name} = 'x'") for name in ("op_id", "actor_id", "domain", "intent_id", "reservation_id")),
        *(("entry", f"{name} = 'x'") for name in ("address", "kind")),
        ("entry", "lamport_ts between 3 and 5"),
        ("entry", "created_at > 'x'"),
        ("parent", "child_op_id = 'x'"),
        ("parent", "parent_op_id = 'x'"),
        ("child_op", "address = 'x'"),
        ("operation", "address = 'x'"),
    ],
)
def test_what_people_ask_by_has_an_index(log: OpLog, tmp_path: Path, table: str, condition: str) -> None:
    """SQLite does not scan a table for it."""
    log.append_many(making.entries(10))
    write_database(log, tmp_path / "s.db")

    plan = rows(tmp_path / "s.db", f"explain query plan select * from {table} where {condition}")
    assert any("USING INDEX" in row["detail"] for row in plan)
    assert not any(row["detail"].startswith(("SCAN entry", "SCAN child_op", "SCAN parent")) for row in plan)


def test_total_order_comes_from_an_index(log: OpLog, tmp_path: Path) -> None:
    """It is that of every replica, and nothing has to be sorted for it."""
    log.append_many(making.entries(50, lamport_ts=7))
    write_database(log, tmp_path / "s.db")

    asked = "select op_id from entry order by lamport_ts, actor_id, op_id"
    wanted = plain_scan.total_order(plain_scan.scan_file(log.path).entries)
    assert [row["op_id"] for row in rows(tmp_path / "s.db", asked)] == [each["op_id"] for each in wanted]
    assert "TEMP B-TREE" not in str(rows(tmp_path / "s.db", f"explain query plan {asked}"))


def test_pending_is_what_arrived_after_the_checkpoint(log: OpLog, tmp_path: Path) -> None:
    """Without one all of it; with one of an early version, which says no byte offset, as well."""
    log.append_many(making.entries(5))
    assert export(log, tmp_path / "none.db").pending == 5
    record = log.checkpoint("c1")
    log.append_many(making.entries(3, start=6, lamport_ts=0))
    for name in ("new", "early"):
        if name == "early":
            early = {key: record[key] for key in ("session_id", "snapshot_id", "lamport_ts", "op_count", "created_at")}
            (log.folder / "checkpoint.json").write_text(json.dumps(early))
        assert export(log, tmp_path / f"{name}.db").pending == 3
        assert arrivals(tmp_path / f"{name}.db", "pending") == [6, 7, 8]
        (session,) = rows(tmp_path / f"{name}.db", "select * from session")
        assert (session["snapshot_id"], session["checkpoint_op_count"]) == ("c1", 5)
        assert (session["checkpoint_created_at"], session["checkpoint_problem"]) == (record["created_at"], None)
    log.checkpoint("c2")
    assert export(log, tmp_path / "all.db").pending == 0


def test_damage_below_the_checkpoint_changes_nothing_pending(repo: Path, tmp_path: Path) -> None:
    """What arrived after it is known by its place, not by how many entries are left before it."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(5))
        log.checkpoint("c1")
        log.append_many(making.entries(3, start=6))
    path = making.log_path(repo)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"x" + lines[1][1:], *lines[2:]]))
    making.drop_index(repo)
    with OpLog(repo, "s") as log:
        made = export(log, tmp_path / "s.db")

    assert (made.op_count, made.passed_over, made.pending) == (7, {"damaged-line": 1}, 3)
    assert arrivals(tmp_path / "s.db", "pending") == [5, 6, 7]


def test_damaged_checkpoint_leaves_pending_unknown(log: OpLog, tmp_path: Path) -> None:
    """The entries are there to be looked at; what is pending is not guessed."""
    log.append_many(making.entries(5))
    log.checkpoint("c1")
    (log.folder / "checkpoint.json").write_bytes(b"{")
    made = export(log, tmp_path / "s.db")

    assert made.pending is None
    assert made.problem is not None
    (session,) = rows(tmp_path / "s.db", "select * from session")
    assert (session["checkpoint_problem"], session["pending_from_byte"]) == (made.problem, None)
    assert arrivals(tmp_path / "s.db", "pending") == []


def test_export_with_a_writer_at_work_is_a_prefix_of_the_log(repo: Path, tmp_path: Path) -> None:
    """Each database holds exactly what lies below its cut."""
    stop = threading.Event()

    def write() -> None:
        with OpLog(repo, "s") as log:
            for number in itertools.count(1):
                log.append_many(making.entries(7, start=7 * number))
                if stop.wait(0.001):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    try:
        with OpLog(repo, "s") as log:
            for number in range(5):
                before = len(log)
                until = time.monotonic() + 30
                while len(log) == before and time.monotonic() < until:
                    time.sleep(0.001)
                counts.append(export(log, tmp_path / f"{number}.db").op_count)
    finally:
        stop.set()
        writer.join()

    assert counts == sorted(set(counts))


def test_file_that_exists_is_replaced_on_request_only(log: OpLog, tmp_path: Path) -> None:
    """A link or a folder of that name is never replaced; nothing else appears in the folder."""
    log.append_many(making.entries(3))
    target = tmp_path / "out" / "s.db"
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_database(log, target)
    assert target.read_bytes() == b"mine"
    export(log, target, replace=True)
    assert making.tree(target.parent).keys() == {"s.db"}

    target.unlink()
    target.symlink_to(tmp_path / "elsewhere")
    for replace in (False, True):
        with pytest.raises(FileExistsError):
            write_database(log, target, replace=replace)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("ending", ["-journal", "-wal"])
def test_journal_of_another_database_is_not_taken_over(log: OpLog, tmp_path: Path, ending: str) -> None:
    """SQLite would write the pages of the old database into the new one, so nothing is written."""
    log.append_many(making.entries(3))
    out = tmp_path / "out"
    out.mkdir()
    (out / f"s.db{ending}").write_bytes(b"old")
    with pytest.raises(OSError, match=f"s.db{ending}"):
        write_database(log, out / "s.db", replace=True)

    assert making.tree(out) == {f"s.db{ending}": b"old"}


def test_log_that_is_altered_meanwhile_leaves_no_file(log: OpLog, tmp_path: Path) -> None:
    """What was written by then is thrown away."""
    log.append_many(making.entries(3000))
    out = tmp_path / "out"
    out.mkdir()

    def alter(*_: int) -> None:
        data = log.path.read_bytes()
        log.path.write_bytes(data[: len(data) // 2])

    with pytest.raises(MuseError):
        write_database(log, out / "s.db", progress=alter)
    assert making.tree(out) == {}


@pytest.mark.process
def test_export_without_room_leaves_nothing(repo: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: exit code 3, the file is named, and none remains."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(400))
    out = tmp_path / "out"
    out.mkdir()
    command = command_line("export", "s", "-o", out / "s.db", "--repo", repo)
    for kilobytes in (8, 64, 128, 256):
        done = subprocess.run(
            ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "bash", *command],
            cwd=making.PROJECT,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 3, done.stderr
        assert b"s.db" in done.stderr
        assert b"Traceback" not in done.stderr
        assert making.tree(out) == {}


@pytest.mark.process
def test_export_that_is_killed_leaves_no_file_of_that_name(repo: Path, tmp_path: Path) -> None:
    """What it had written lies aside under a name with a dot, and is in nobody's way."""
    with OpLog(repo, "s") as log:
        log.append_many(making.entries(5000))
    out = tmp_path / "out"
    out.mkdir()
    killed = (
        "import os, signal, sys; from pathlib import Path; from muse.core.op_log import OpLog\n"
        "from muse.analysis_db import write_database\n"
        "write_database(OpLog(sys.argv[1], 's'), Path(sys.argv[2]),\n"
        "               progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    done = subprocess.run([sys.executable, "-c", killed, repo, out / "s.db"], cwd=making.PROJECT, check=False)

    assert done.returncode == -signal.SIGKILL
    (left,) = out.iterdir()
    assert left.name.startswith(".s.db.")
    with OpLog(repo, "s") as log:
        export(log, out / "s.db")


def test_progress_ends_at_the_whole(log: OpLog, tmp_path: Path) -> None:
    """In bytes of the log, never backwards."""
    log.append_many(making.entries(3000))
    told: list[tuple[int, int]] = []
    write_database(log, tmp_path / "s.db", progress=lambda done, total: told.append((done, total)))
    size = log.path.stat().st_size

    assert sorted(told) == told
    assert len(told) > 2
    assert told[-1] == (size, size)


def test_memory_does_not_grow_with_the_log(log: OpLog, tmp_path: Path) -> None:
    """Forty megabytes of large entries go through in batches."""

    def large() -> Iterator[OpEntry]:
        for number in range(1, 201):
            yield entry(number, domain_op={"op": "insert", "content_summary": "word " * 40_000})

    for each in large():
        log.append(each)
    tracemalloc.start()
    try:
        write_database(log, tmp_path / "s.db")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert log.path.stat().st_size > 40_000_000
    assert peak < 12_000_000


@pytest.mark.process
def test_sqlite_utils_is_imported_when_it_is_needed(tmp_path: Path) -> None:
    """Not by the module alone: its import takes longer than most commands."""
    told = "import muse.analysis_db, muse.cli, sys; print('sqlite_utils' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], cwd=making.PROJECT, capture_output=True, check=True)

    assert done.stdout == b"False\n"


@pytest.mark.process
def test_sqlite_shell_opens_it(log: OpLog, tmp_path: Path) -> None:
    """The program that comes with SQLite reads tables, views and the search."""
    shell = shutil.which("sqlite3")
    if shell is None:
        pytest.skip("needs sqlite3")
    log.append_many(making.entries(4))
    write_database(log, tmp_path / "s.db")
    asked = "select count(*) from pending; select count(*) from entry_fts where entry_fts match 'insert OR move';"
    done = subprocess.run([shell, tmp_path / "s.db", asked], capture_output=True, check=True, text=True)

    assert done.stdout.split() == ["4", "2"]


@pytest.mark.process
@pytest.mark.slow
def test_recipes_of_the_page_do_what_they_show(tmp_path: Path) -> None:
    """docs/notebooks.md, from top to end; its blocks of SQL run on the database that it makes."""
    if shutil.which("sqlite3") is None:
        pytest.skip("needs sqlite3")
    reader = Reader(tmp_path)
    try:
        for block in blocks("docs/notebooks.md"):
            if block.language == "text":
                reader.looks(block)
            elif block.language == "sql" and not block.title:
                with closing(sqlite3.connect(tmp_path / "friday.db")) as connection:
                    connection.executescript(block.text)
            else:
                reader.runs(block)
    finally:
        reader.leaves()


def test_page_names_every_table_and_column(log: OpLog, tmp_path: Path) -> None:
    """docs/notebooks.md, "The database"; what it names as a column there is one."""
    write_database(log, tmp_path / "s.db")
    text = section(page("docs/notebooks.md"), "The database")
    shown = set(re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\|.*$", text, re.M))))
    tables = [row["name"] for row in rows(tmp_path / "s.db", "select name from sqlite_master where type != 'index'")]
    own = [name for name in tables if not name.startswith("entry_fts")]
    columns = {row["name"] for name in own for row in rows(tmp_path / "s.db", f"pragma table_info({name})")}

    assert columns | set(own) - {"entry"} <= shown
    words = {"entry_fts", "untyped", "op", "child_ops", "duplicate"}
    assert shown <= columns | set(own) | words
