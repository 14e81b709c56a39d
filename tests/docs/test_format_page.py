"""docs/format.md: its worked example is read by the engine and by plain json, and its tables are true."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from muse.core import options
from muse.core.index.blocks import op_id_runs
from muse.core.op_log import InvalidSessionIdError, LimitExceededError, OpLog, list_sessions, make_op_entry
from tests.docs.pages import fences, page, section

FORMAT = page("docs/format.md")
EXAMPLE = section(FORMAT, "Worked example")
LOG = fences(EXAMPLE, "jsonl")[0].encode("utf-8")
RECORD = fences(EXAMPLE, "json")[0]
LINES = LOG.splitlines(keepends=True)


def table(text: str) -> list[list[str]]:
    """The body cells of the first table in a text, without backticks."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[2:]]


def verdicts() -> list[str]:
    """What the example's table says of each line."""
    return [row[3] for row in table(EXAMPLE)]


def entries_by_plain_json() -> list[dict[str, Any]]:
    """The entries of the example as plain Python reads them."""
    said = zip(LINES, verdicts(), strict=True)
    return [json.loads(line) for line, verdict in said if verdict.startswith("entry")]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository that holds the files of the example, and no index."""
    folder = tmp_path / ".muse" / "op_log" / "friday"
    folder.mkdir(parents=True)
    (folder / "ops.jsonl").write_bytes(LOG)
    (folder / "checkpoint.json").write_text(RECORD, encoding="utf-8")
    return tmp_path


def test_table_of_lines_is_exact() -> None:
    """Offsets, lengths and checksums of the table are those of the bytes shown."""
    byte_offset = 0
    for line, (offset, length, crc, _) in zip(LINES, table(EXAMPLE), strict=True):
        assert (int(offset), int(length), int(crc, 16)) == (byte_offset, len(line), zlib.crc32(line))
        byte_offset += len(line)


def test_engine_reads_the_entries_that_plain_json_reads(repo: Path) -> None:
    """The engine returns exactly the lines that the table calls entries."""
    with OpLog(repo, "friday") as log:
        assert log.read_all() == entries_by_plain_json()
        assert len(log) == len(entries_by_plain_json())


def test_engine_writes_the_first_line_as_it_is_shown(tmp_path: Path) -> None:
    """An entry is written with the very bytes of the example."""
    with OpLog(tmp_path, "friday") as log:
        log.append(json.loads(LINES[0]))

    assert log.path.read_bytes() == LINES[0]


def test_verify_finds_what_the_example_says(repo: Path) -> None:
    """The damaged line and the duplicate are found where the table has them, and nothing else."""
    expected = {
        (int(offset), "damaged-line" if verdict.startswith("damage") else "duplicate")
        for offset, _, _, verdict in table(EXAMPLE)
        if verdict.startswith(("damage", "duplicate"))
    }
    with OpLog(repo, "friday") as log:
        report = log.verify()

    assert {(finding.byte_offset, finding.kind) for finding in report.findings} == expected
    assert report.blank_lines == 1


def test_digests_of_the_record_are_as_described() -> None:
    """Both digests follow from the text alone, with nothing but hashlib and json."""
    record = json.loads(RECORD)
    link = bytes(32)
    for line in LOG[: record["byte_offset"]].splitlines(keepends=True):
        link = hashlib.sha256(link + line).digest()
    bare = {name: value for name, value in record.items() if name != "record_digest"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert record["log_digest"] == link.hex()
    assert record["record_digest"] == hashlib.sha256(text.encode()).hexdigest()


def test_engine_reads_the_record_and_replays_the_rest(repo: Path) -> None:
    """What lies above the record's byte offset is pending, the rest is not."""
    record = json.loads(RECORD)
    with OpLog(repo, "friday") as log:
        assert log.read_checkpoint() == record
        assert log.replay_since_checkpoint() == entries_by_plain_json()[record["op_count"] :]


def test_record_with_only_the_first_five_fields_is_read(repo: Path) -> None:
    """The last four fields of a record may be missing together; the cut is then found by counting."""
    short = dict(list(json.loads(RECORD).items())[:5])
    with OpLog(repo, "friday") as log:
        log.path.with_name("checkpoint.json").write_text(json.dumps(short))

        assert log.read_checkpoint() == short
        assert log.replay_since_checkpoint() == entries_by_plain_json()[json.loads(RECORD)["op_count"] :]


def test_engine_writes_a_record_with_the_fields_of_the_table(repo: Path) -> None:
    """A new record has exactly the documented fields, in the documented order."""
    documented = [row[0] for row in table(section(FORMAT, "Checkpoint"))]
    with OpLog(repo, "friday") as log:
        log.checkpoint("snapshot-2")

    assert list(json.loads(log.path.with_name("checkpoint.json").read_bytes())) == documented


def test_index_holds_the_rows_of_the_example(repo: Path) -> None:
    """The index has a row for every line, with the offset, length and checksum of the table."""
    with OpLog(repo, "friday") as log:
        log.rebuild_index()
    with closing(sqlite3.connect(log.path.with_name("index.db"))) as db:
        rows = db.execute("SELECT byte_offset, length, checksum FROM tail ORDER BY byte_offset").fetchall()
        problems = db.execute("SELECT problem FROM tail WHERE problem IS NOT NULL ORDER BY byte_offset").fetchall()
        shown = db.execute("SELECT op_id, actor_id, domain FROM entries ORDER BY byte_offset").fetchall()

    assert rows == [(int(offset), int(length), int(crc, 16)) for offset, length, crc, _ in table(EXAMPLE)]
    assert shown == [(entry["op_id"], entry["actor_id"], entry["domain"]) for entry in entries_by_plain_json()]
    assert [json.loads(problem)[0] for (problem,) in problems] == ["blank", "damaged", "duplicate"]


def test_schema_shown_is_the_schema_made(repo: Path) -> None:
    """The SQL in the document, applied to an empty database, makes the tables and views of a real index."""

    def schema(db: sqlite3.Connection) -> set[tuple[str, str, str]]:
        found = db.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        return {
            (kind, name, " ".join(re.sub(r"([(),])", r" \1 ", sql).split()))
            for kind, name, sql in found
            if not name.startswith(("_sqlite_migrations", "sqlite_", "idx__sqlite_migrations"))
        }

    with OpLog(repo, "friday") as log:
        log.rebuild_index()
    with (
        closing(sqlite3.connect(log.path.with_name("index.db"))) as real,
        closing(sqlite3.connect(":memory:")) as told,
    ):
        told.executescript(fences(section(FORMAT, "The index"), "sql")[0])

        assert schema(told) == schema(real)


def test_every_column_of_the_index_is_described(repo: Path) -> None:
    """Each table has its row, and each of its columns is named outside of the schema."""
    text = re.sub(r"^```sql\n.*?^```$", "", section(FORMAT, "The index"), flags=re.MULTILINE | re.DOTALL)
    with OpLog(repo, "friday") as log:
        log.rebuild_index()
    with closing(sqlite3.connect(log.path.with_name("index.db"))) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in names}

    assert {"tail", "segment", "run"} <= set(columns)
    for name, found in columns.items():
        if not name.startswith("_sqlite"):
            assert f"| `{name}` |" in text
            assert [column for column in found if f"`{column}`" not in text] == []


def test_numbers_of_the_index_are_those_of_the_engine() -> None:
    """How long segments get, which runs become one, and from where on a run is large."""
    text = " ".join(section(FORMAT, "The index").split())

    assert f"When the tail has {options.DEFAULT.segment_lines:,} lines" in text
    assert f"{options.DEFAULT.long_batch_lines} lines are appended at once" in text
    assert op_id_runs.FAN_OUT == 4
    assert "If the last four runs" in text
    assert f"these are fewer than {op_id_runs.MAX_RUN_SEGMENTS:,}" in text
    assert f"a run of fewer than {op_id_runs.FILTERED_SEGMENTS} segments" in text
    assert f"A role with more than {op_id_runs.MAX_RUN_NAMES:,} names" in text
    assert f"{op_id_runs.PAGE_KEYS} on a page" in text


def test_folder_names_are_those_of_the_table(tmp_path: Path) -> None:
    """Each id of the table gets the folder beside it, and is given back as it was passed."""
    ids = []
    for session_id, folder in table(section(FORMAT, "Session folders")):
        ids.append(session_id)
        with OpLog(tmp_path, session_id) as log:
            log.append(make_op_entry("ada", "code", {}, 1))
            assert log.path == tmp_path / ".muse" / "op_log" / folder / "ops.jsonl"

    assert list_sessions(tmp_path) == sorted(ids)


@pytest.mark.parametrize("session_id", ["", "\ud800", "x" * 256], ids=["empty", "surrogate", "too long"])
def test_ids_that_the_document_refuses_are_refused(tmp_path: Path, session_id: str) -> None:
    """The ids that have no folder give their named error."""
    with pytest.raises(InvalidSessionIdError):
        OpLog(tmp_path, session_id)


def test_limits_are_those_of_the_table(tmp_path: Path) -> None:
    """The largest values of the table are accepted, the next ones refused."""

    def nested(levels: int) -> dict[str, Any]:
        """An operation that makes its entry nest so many levels."""
        value: dict[str, Any] = {}
        for _ in range(levels - 2):
            value = {"in": value}
        return value

    assert "| 200 levels, the entry itself the first |" in FORMAT
    assert "| 2^53 − 1 |" in FORMAT  # noqa: RUF001 - the document's minus sign
    assert "| 2^51; `OpLog(max_lamport_jump=…)` sets another |" in FORMAT
    with OpLog(tmp_path, "thursday") as log:
        with pytest.raises(LimitExceededError):
            log.append(make_op_entry("ada", "code", {}, 2**51 + 1))
        assert log.append(make_op_entry("ada", "code", {}, 2**51))
    with OpLog(tmp_path, "friday", max_lamport_jump=None) as log:
        log.append(make_op_entry("ada", "code", nested(200), 1))
        with pytest.raises(LimitExceededError):
            log.append(make_op_entry("ada", "code", nested(201), 1))
        log.append(make_op_entry("ada", "code", {}, 2**53 - 1))
        with pytest.raises(LimitExceededError):
            log.append(make_op_entry("ada", "code", {}, 2**53))

        assert len(log) == 2


def test_longest_line_to_append_is_as_the_table_says(tmp_path: Path) -> None:
    """A line of exactly 16 MiB is appended, one byte more is refused."""
    with OpLog(tmp_path, "friday") as log:
        entry = make_op_entry("ada", "code", {"text": ""}, 1)
        room = 16 * 1024 * 1024 - len(json.dumps(entry, separators=(",", ":"))) - 1
        with pytest.raises(LimitExceededError):
            log.append({**entry, "domain_op": {"text": "x" * (room + 1)}})
        log.append({**entry, "domain_op": {"text": "x" * room}})

        assert log.path.stat().st_size == 16 * 1024 * 1024


@pytest.mark.slow
def test_longest_line_to_read_is_as_the_table_says(tmp_path: Path) -> None:
    """A line of exactly 64 MiB is read, whoever wrote it; one byte more is damage."""
    entries = [make_op_entry("ada", "code", {"text": ""}, number) for number in range(2)]
    with OpLog(tmp_path, "friday") as log:
        log.path.parent.mkdir(parents=True)
        with log.path.open("wb") as file:
            for size, entry in zip((64 << 20, (64 << 20) + 1), entries, strict=True):
                bare = json.dumps(entry, separators=(",", ":"))
                file.write(bare.replace('"text":""', f'"text":"{"x" * (size - len(bare) - 1)}"').encode() + b"\n")

        assert [found["op_id"] for found in log] == [entries[0]["op_id"]]
        assert log.verify().counts == {"damaged-line": 1}
