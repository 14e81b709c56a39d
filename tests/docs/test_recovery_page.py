"""docs/recovery.md: every failure is provoked, and its message is the one the page shows."""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import pytest

from muse.core import op_log
from muse.core.maintenance.findings import REMEDIES
from muse.core.op_log import (
    AppendError,
    ArchiveError,
    CheckpointBackwardsError,
    ClosedLogError,
    Cut,
    DamagedCheckpointError,
    InvalidArgumentError,
    InvalidCutError,
    InvalidEntryError,
    InvalidSessionIdError,
    LimitExceededError,
    LogReplacedError,
    MuseError,
    NotCommitterError,
    OpEntry,
    OpIdConflictError,
    OpLog,
    RefusedByGuardError,
    SessionExistsError,
    SyncError,
    export_session,
    import_session,
    make_op_entry,
)
from muse.guards import refuse_secrets
from tests import children, making
from tests.docs.pages import ROOT, fences, headings, page, section

RECOVERY = page("docs/recovery.md")


def messages(heading: str) -> list[re.Pattern[str]]:
    """The messages that a section shows; its "…" matches anything."""
    shown = fences(section(RECOVERY, heading), "text")[0].splitlines()
    return [re.compile(".*".join(map(re.escape, message.split("…"))), re.DOTALL) for message in shown]


def shown_under(heading: str, text: str) -> bool:
    """Whether one of the messages of the section is this one."""
    return any(message.fullmatch(text) for message in messages(heading))


def an_entry(**changes: Any) -> Any:
    """A valid entry, with some fields changed."""
    return {**make_op_entry("ada", "code", {"op": "touch"}, 1), **changes}


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size; Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def no_room_at_all(log: OpLog) -> None:
    """Append where not a byte fits."""
    with file_size_limit(log.path.stat().st_size):
        log.append(an_entry())


def room_for_a_part(log: OpLog) -> None:
    """Append where half a line fits."""
    with file_size_limit(log.path.stat().st_size + 100):
        log.append(an_entry())


def no_folder_possible(_log: OpLog) -> None:
    """Append where no folder can be made, not even by root."""
    with OpLog("/proc", "friday") as log:
        log.append(an_entry())


def deleted(log: OpLog) -> None:
    """Read after the log was deleted."""
    len(log)
    log.path.unlink()
    len(log)


def replaced(log: OpLog) -> None:
    """Read after the log was replaced."""
    len(log)
    other = log.path.with_name("other")
    other.write_bytes(log.path.read_bytes())
    other.rename(log.path)
    len(log)


def cut_short(log: OpLog) -> None:
    """Read after the log was cut."""
    len(log)
    os.truncate(log.path, 10)
    len(log)


def used_after_close(log: OpLog) -> None:
    """Use a closed log."""
    log.close()
    len(log)


def damaged_record(log: OpLog) -> None:
    """Replay with a half-written checkpoint."""
    log.checkpoint("snapshot-1")
    record = log.path.with_name("checkpoint.json")
    record.write_bytes(record.read_bytes()[:40])
    log.replay_since_checkpoint()


def missing_record(log: OpLog) -> None:
    """Replay with a checkpoint that vanished."""
    log.checkpoint("snapshot-1")
    log.path.with_name("checkpoint.json").unlink()
    log.replay_since_checkpoint()


def older_cut(log: OpLog) -> None:
    """Make a checkpoint at a cut that lies before the last one."""
    old = log.cut()
    log.append(an_entry())
    log.checkpoint("snapshot-1")
    log.checkpoint("snapshot-0", upto=old)


def committed_elsewhere(log: OpLog) -> None:
    """Make a checkpoint where another replica commits."""
    folder = log.folder.parents[1] / "replicas"
    folder.mkdir(parents=True)
    (folder / "friday.committer").write_text('{"committer": "ada", "term": 1, "is_here": false, "folder": ""}')
    log.checkpoint("s")


def highest_timestamp(log: OpLog) -> None:
    """Ask for a timestamp where the largest one is used."""
    with log.path.open("a") as file:
        file.write(json.dumps(an_entry(lamport_ts=2**53 - 1)) + "\n")
    log.next_lamport_ts()


def clock_gone_wrong(log: OpLog) -> None:
    """Append a timestamp far above all others."""
    log.append(an_entry(lamport_ts=2**53 - 1))


def other_content(log: OpLog) -> None:
    """Append another operation under an op_id that is there."""
    (there,) = log.read_all()
    log.append({**there, "domain_op": {"op": "other"}})


def nested(log: OpLog) -> None:
    """Append what nests too deep."""
    value: dict[str, Any] = {}
    for _ in range(300):
        value = {"in": value}
    log.append(an_entry(domain_op=value))


def imported_twice(log: OpLog) -> None:
    """Import a session that is there."""
    archive = BytesIO()
    export_session(log, archive)
    archive.seek(0)
    import_session(log.folder.parents[2], archive)


def op(value: Any) -> Callable[[OpLog], object]:
    """Append an operation that holds this value."""
    return lambda log: log.append(an_entry(domain_op={"value": value}))


def a_secret(log: OpLog) -> object:
    """Append a password to a log with a guard."""
    pytest.importorskip("detect_secrets")
    with OpLog(log.folder, "guarded", guard=refuse_secrets) as guarded:
        return guarded.append(an_entry(domain_op={"value": "ftp://ada:tr0ub4dor@host/"}))


def guard_without_return(log: OpLog) -> object:
    """A guard that forgets to return the entry."""

    def guard(_entry: OpEntry) -> OpEntry:
        return cast("OpEntry", None)

    with OpLog(log.folder, "guarded", guard=guard) as guarded:
        return guarded.append(an_entry())


PROVOKED: list[tuple[str, type[MuseError], Callable[[OpLog], object]]] = [
    ("checkpoint.json can't be used", DamagedCheckpointError, damaged_record),
    ("checkpoint.json can't be used", DamagedCheckpointError, missing_record),
    ("The cut lies before the checkpoint", CheckpointBackwardsError, older_cut),
    ("Another replica commits", NotCommitterError, committed_elsewhere),
    ("The cut is none of this log", InvalidCutError, lambda log: log.checkpoint("s", upto=Cut("other", 0, 0))),
    ("The cut is none of this log", InvalidCutError, lambda log: log.checkpoint("s", upto=Cut("friday", 7, 1))),
    ("An append was refused by the system", AppendError, no_room_at_all),
    ("An append was refused by the system", AppendError, room_for_a_part),
    ("An append was refused by the system", AppendError, no_folder_possible),
    ("The log was replaced while open", LogReplacedError, deleted),
    ("The log was replaced while open", LogReplacedError, replaced),
    ("The log was replaced while open", LogReplacedError, cut_short),
    ("The archive is damaged", ArchiveError, lambda log: import_session(log.folder, BytesIO(b"no archive"))),
    ("The session exists already", SessionExistsError, imported_twice),
    ("The log is closed", ClosedLogError, used_after_close),
    ("The timestamps are used up", LimitExceededError, highest_timestamp),
    ("A timestamp is far too high", LimitExceededError, clock_gone_wrong),
    ("An argument was refused", InvalidArgumentError, lambda log: log.count(domain=7)),  # type: ignore[arg-type]
    ("An argument was refused", InvalidArgumentError, lambda log: log.count(min_lamport_ts="7")),  # type: ignore[arg-type]
    ("An argument was refused", InvalidArgumentError, lambda log: log.query(limit=-1)),
    ("An argument was refused", InvalidArgumentError, lambda log: log.checkpoint("")),
    ("An entry was refused", InvalidEntryError, lambda log: log.append(an_entry(op_id="1"))),
    ("An entry was refused", InvalidEntryError, op(float("nan"))),
    ("An entry was refused", InvalidEntryError, op(datetime.now(UTC))),
    ("An entry was refused", InvalidEntryError, op(2**64)),
    ("An entry was refused", InvalidEntryError, op("\ud800")),
    ("An entry was refused", InvalidEntryError, lambda log: log.append({"op_id": "1"})),  # type: ignore[typeddict-item]
    ("An entry was refused", OpIdConflictError, other_content),
    ("An entry was refused", LimitExceededError, op("x" * (17 << 20))),
    ("An entry was refused", LimitExceededError, nested),
    ("The guard refused an entry", RefusedByGuardError, a_secret),
    ("The guard refused an entry", InvalidEntryError, guard_without_return),
    ("The session id is refused", InvalidSessionIdError, lambda log: OpLog(log.folder, "")),
    ("The session id is refused", InvalidSessionIdError, lambda log: OpLog(log.folder, "x" * 999)),
]


@pytest.mark.parametrize(
    ("heading", "error", "provoke"), PROVOKED, ids=[f"{number}-{row[0]}" for number, row in enumerate(PROVOKED)]
)
def test_message_is_the_one_shown(
    heading: str, error: type[MuseError], provoke: Callable[[OpLog], object], tmp_path: Path
) -> None:
    """A failure gives its named error, with a message that its section shows."""
    with OpLog(tmp_path, "friday") as log:
        log.append(an_entry())
        with pytest.raises(error) as caught:
            provoke(log)

    assert shown_under(heading, str(caught.value)), str(caught.value)


def test_messages_of_a_failed_fsync_are_the_ones_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failing call and every later one say what the section shows."""

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with OpLog(tmp_path, "friday") as log:
        log.append(an_entry())
    with OpLog(tmp_path, "friday", durability="fsync") as log:
        log.append(an_entry())
        for _ in range(2):
            with monkeypatch.context() as patched:
                patched.setattr(os, "fsync", fail)
                with pytest.raises(SyncError) as caught:
                    log.append(an_entry())
            assert shown_under("fsync failed", str(caught.value)), str(caught.value)
    with OpLog(tmp_path, "friday") as log:
        with pytest.raises(SyncError) as caught:
            log.checkpoint("snapshot")
        assert shown_under("fsync failed", str(caught.value)), str(caught.value)


def test_message_of_a_link_that_leads_out_is_the_one_shown(tmp_path: Path) -> None:
    """A session folder that is a link to elsewhere is refused as its section shows."""
    root = tmp_path / "repo" / ".muse" / "op_log"
    root.mkdir(parents=True)
    (root / "friday").symlink_to(tmp_path)
    with pytest.raises(InvalidSessionIdError) as caught:
        OpLog(tmp_path / "repo", "friday")

    assert shown_under("The session id is refused", str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"no database at all, but long enough to be looked at" * 100], ids=["empty", "noise"]
)
def test_warnings_about_the_index_are_those_shown(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is logged about a bad index stands in its section, and the answer is right."""
    with OpLog(tmp_path, "friday") as log:
        log.append(an_entry())
    log.path.with_name("index.db").write_bytes(content)
    with OpLog(tmp_path, "friday") as log:
        assert len(log) == 1

    assert [text for text in caplog.messages if not shown_under("The index can't be used", text)] == []


def text_of(node: ast.expr) -> str:
    """A text as it stands in the source, "…" for what is put into it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub("%[sd]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return f"{text_of(node.left)}{text_of(node.right)}" if isinstance(node, ast.BinOp) else "…"


def texts(called: Callable[[str], object]) -> set[str]:
    """The longest text that each call in the engine of some functions is given, if it has words of its own."""
    calls = (
        node
        for path in (ROOT / "muse" / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args and called(ast.unparse(node.func))
    )
    told = {max(map(text_of, call.args), key=len) for call in calls}
    return {text for text in told if re.search("[a-z]", text)}


def stands_for(shown: str, text: str) -> bool:
    """Whether a line of the page is this text of the source, with more or less of it said."""
    shown = re.sub(r"^\[Errno …\] |: '…[^']*'$", "", shown)
    patterns = (".*".join(map(re.escape, each.split("…"))) for each in (shown, text))
    return any(map(re.fullmatch, patterns, (text, shown)))


def test_every_warning_of_the_engine_is_shown() -> None:
    """Each text that the engine gives to its logger stands in the section about the index, and no other does.

    But for the one about a guard, which stands in its own section.
    """
    told = texts(lambda name: name == "_log.warning")
    about_guard = {text for text in told if shown_under("The guard refused an entry", text)}
    assert len(about_guard) == 1
    told -= about_guard
    shown = fences(section(RECOVERY, "The index can't be used"), "text")[0].splitlines()

    assert len(told) >= 5
    assert [text for text in told if not any(stands_for(line, text) for line in shown)] == []
    assert [line for line in shown if not any(stands_for(line, text) for text in told)] == []


def test_every_error_of_the_engine_is_shown() -> None:
    """Each message that a public error is raised with stands on the page, and each reason that a record is refused."""
    public = {name for name in op_log.__all__ if name.endswith("Error")}
    shown = [line for block in fences(RECOVERY, "text") for line in block.splitlines()]

    told = texts(lambda name: name in public or name == "damaged")

    assert len(told) >= 60
    assert sorted(text for text in told if not any(stands_for(line, text) for line in shown)) == []


@pytest.mark.process
def test_missing_session_is_told_as_shown(tmp_path: Path) -> None:
    """A command for a session that does not exist ends with 2 and the message of its section."""
    done = children.run(
        [sys.executable, "-m", "muse", "op-log", "replay", "friday", "--repo", tmp_path],
        text=True,
    )
    assert done.returncode == 2
    assert shown_under("There is no such session", done.stderr.strip().removeprefix("Error: ")), done.stderr


def test_record_written_by_hand_is_accepted(tmp_path: Path) -> None:
    """The five fields that the page shows bring replay back where the index was deleted as well."""
    (record,) = fences(section(RECOVERY, "checkpoint.json can't be used"), "json")
    with OpLog(tmp_path, "friday") as log:
        entries = [log.record("ada", "code", {"op": "touch"}) for _ in range(3)]
        log.checkpoint("snapshot-1")
    making.drop_index(tmp_path, "friday")
    log.path.with_name("checkpoint.json").write_text(record, encoding="utf-8")
    with OpLog(tmp_path, "friday") as log:
        assert log.replay_since_checkpoint() == entries[json.loads(record)["op_count"] :]


def test_every_kind_of_finding_has_its_section() -> None:
    """What verify can find is explained under its own name, and nothing else is."""
    text = section(RECOVERY, "Findings of verify")

    assert sorted(headings(text)) == sorted(REMEDIES)


@pytest.mark.parametrize("name", [name for name in op_log.__all__ if name.endswith("Error")])
def test_every_error_that_can_be_met_is_explained(name: str) -> None:
    """Each error class that is raised itself is named on the page."""
    roots = {"MuseError", "CheckpointError", "DamagedCheckpointError"}

    assert name in roots or f"`{name}`" in RECOVERY
