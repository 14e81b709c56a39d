"""What `describe_sessions` remembers: it must never tell anything but what looking at the sessions tells."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from muse.core.maintenance import summary
from muse.core.op_log import OpLog, SessionSummary, describe_sessions
from tests import plain_scan
from tests.making import entries, entry


@pytest.fixture
def settled(repo: Path) -> Path:
    """A repository of two sessions, one with a checkpoint, whose files changed long enough ago, described once."""
    for session, number in (("friday", 40), ("monday", 7)):
        with OpLog(repo, session) as log:
            log.append_many(entries(number))
            if session == "friday":
                log.checkpoint("snapshot")
                log.append(entry(99))
    time.sleep(0.15)
    described(repo)
    return repo


def described(repo: Path) -> list[SessionSummary]:
    """The summaries, held against plain scans of the logs."""
    found = describe_sessions(repo)
    for each in found:
        scanned = plain_scan.scan(log_of(repo, each.session_id).read_bytes())
        assert each.ops == len(scanned.entries)
        assert each.actors == plain_scan.tally(scanned.entries, "actor_id")
        assert each.max_lamport_ts == plain_scan.highest_lamport_ts(scanned.entries)
        assert each.size_bytes == log_of(repo, each.session_id).stat().st_size
    return found


def log_of(repo: Path, session: str) -> Path:
    """The log of a session."""
    return repo / ".muse" / "op_log" / session / "ops.jsonl"


def cache_of(repo: Path) -> Path:
    """The file that remembers."""
    return repo / ".muse" / "op_log" / ".summaries.json"


def looked_at(repo: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sessions that have to be opened to describe all."""
    opened: list[str] = []
    real = summary._describe

    def noting(folder: Path, session_id: str) -> SessionSummary:
        opened.append(session_id)
        return real(folder, session_id)

    with monkeypatch.context() as patch:
        patch.setattr(summary, "_describe", noting)
        described(repo)
    return opened


def test_sessions_that_have_not_changed_are_not_opened_again(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer equals the first, and nothing was looked at for it but the states of the files."""
    first = describe_sessions(settled)
    assert looked_at(settled, monkeypatch) == []
    assert describe_sessions(settled) == first


def test_a_session_that_has_changed_is_looked_at(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry, a checkpoint, a lost checkpoint or a lost index make the session count as changed, and only it."""
    with OpLog(settled, "monday") as log:
        log.append(entry(500))
    assert looked_at(settled, monkeypatch) == ["monday"]
    with OpLog(settled, "monday") as log:
        log.checkpoint("later")
    found = {each.session_id: each for each in described(settled)}
    assert (found["monday"].pending, found["friday"].pending) == (0, 1)
    time.sleep(0.15)
    described(settled)
    log_of(settled, "friday").with_name("index.db").unlink()
    assert looked_at(settled, monkeypatch) == ["friday"]
    log_of(settled, "monday").with_name("checkpoint.json").unlink()
    (monday,) = (each for each in described(settled) if each.session_id == "monday")
    assert monday.problem is not None


def test_a_log_changed_in_place_is_noticed_though_size_and_time_are_set_back(settled: Path) -> None:
    """A program that overwrites a line and restores the modification time can't restore the time of that change."""
    path = log_of(settled, "monday")
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[5:9] = b"\0\0\0\0"
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    (monday,) = (each for each in described(settled) if each.session_id == "monday")
    assert monday.ops == 6


def test_a_change_of_just_now_is_not_remembered(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next change might bear the same time, so the session is looked at again."""
    with OpLog(repo, "s") as log:
        log.append(entry(1))
    described(repo)
    assert looked_at(repo, monkeypatch) == ["s"]


@pytest.mark.parametrize("damage", ["emptied", "bits", "other JSON", "a folder"])
def test_a_damaged_cache_is_not_believed(settled: Path, damage: str) -> None:
    """Whatever lies in its place, the answers are right, and it is made anew if it can be."""
    path = cache_of(settled)
    expected = described(settled)
    data = path.read_bytes()
    if damage == "bits":
        for at in range(0, len(data), 13):
            path.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
            assert described(settled) == expected
        return
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"" if damage == "emptied" else b"[1, {}]\nxyz")
    assert described(settled) == expected


def test_nobody_else_may_read_the_cache(settled: Path) -> None:
    """It tells the names of actors, which a private session keeps to itself."""
    assert cache_of(settled).stat().st_mode & 0o777 == 0o600
