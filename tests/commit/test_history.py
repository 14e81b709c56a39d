"""All commits of a session: what is found when they are held against the log, and the log made from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from muse.commit import CommitDivergedError, commit, restore_session, verify_commits
from muse.core.op_log import OpLog, SessionExistsError
from tests import making
from tests.commit.targets import MemoryTarget
from tests.commit.test_protocol import damage_line
from tests.making import entries, entry, op_id


@pytest.fixture
def target(log: OpLog) -> MemoryTarget:
    """Three commits of nine operations and a damaged line; a tenth is pending."""
    target = MemoryTarget()
    for start in (1, 4, 7):
        log.append_many(entries(3, start=start))
        making.add_bytes(log.path, b"\x00\n")
        commit(log, target)
    log.append(entry(10))
    return target


def test_commits_of_a_sound_log_have_no_problem(log: OpLog, target: MemoryTarget) -> None:
    """Each operation is in one commit or pending; nothing is changed."""
    before = making.tree(log.folder.parents[2])
    report = verify_commits(log, target)
    assert (report.commits, report.committed, report.pending, report.problems) == (3, 9, 1, [])
    assert making.tree(log.folder.parents[2]).keys() == before.keys()
    assert verify_commits(log, MemoryTarget()).pending == 10


def test_lines_that_were_changed_are_named(log: OpLog, target: MemoryTarget) -> None:
    """By place and operation, also when it was appended again; it is not pending then."""
    damage_line(log.path, 1, b"\x00\x00")
    log.rebuild_index()
    (problem,) = verify_commits(log, target).problems
    assert op_id(2) in problem
    log.append_many(entries(9))
    report = verify_commits(log, target)
    assert (report.committed, report.pending, report.problems) == (9, 1, [problem])


def test_another_log_and_a_shorter_one_are_problems(tmp_path: Path, log: OpLog, target: MemoryTarget) -> None:
    """So is one without any line."""
    for name, lines in (("other", making.line(entry(50)) * 20), ("short", log.path.read_bytes()[:600]), ("none", b"")):
        making.add_bytes(making.log_path(tmp_path / name), lines)
        with OpLog(tmp_path / name, "s") as other:
            assert verify_commits(other, target).problems


def test_history_that_is_not_whole_is_a_problem(tmp_path: Path, log: OpLog, target: MemoryTarget) -> None:
    """A commit that is missing, altered lines, a count that is wrong; and no log is made from it."""
    made, lines = list(target.commits("s")), dict(target._lines)
    for commits, change in (
        ([made[0], made[2]], {}),
        (made, {made[1].commit_id: lines[made[1].commit_id].replace(b"ada", b"eve")}),
        ([made[0], replace(made[1], start=5), made[2]], {}),
    ):
        target._commits["s"], target._lines = commits, {**lines, **change}
        assert verify_commits(log, target).problems
        with pytest.raises(CommitDivergedError):
            restore_session(tmp_path / "restored", "s", target)
        assert not (tmp_path / "restored" / ".muse").exists()
    target._commits["s"], target._lines = [replace(made[0], actors={"ada": 2}), *made[1:]], lines
    assert "counts 2" in verify_commits(log, target).problems[0]


def test_session_is_made_from_its_commits(tmp_path: Path, log: OpLog, target: MemoryTarget) -> None:
    """Byte for byte, with its checkpoint, and it goes on from there; one that is there is not touched."""
    assert restore_session(tmp_path / "restored", "s", target) == 9
    committed = b"".join(target._lines.values())
    assert making.log_bytes(tmp_path / "restored") == committed
    assert log.path.read_bytes().startswith(committed)
    with OpLog(tmp_path / "restored", "s") as restored:
        assert restored.count(since_checkpoint=True) == 0
        assert restored.verify().counts.keys() == {"damaged-line"}
        restored.append(entry(11))
        made = commit(restored, target)
        assert made is not None
        assert made.ops == 1
    with pytest.raises(SessionExistsError):
        restore_session(tmp_path / "restored", "s", target)
    with pytest.raises(CommitDivergedError, match="no commit"):
        restore_session(tmp_path / "nothing", "s", MemoryTarget())


def test_adopted_session_is_checked_and_not_made_anew(tmp_path: Path, log: OpLog) -> None:
    """Its first lines are in no commit."""
    target = MemoryTarget()
    log.append_many(entries(3))
    log.checkpoint("elsewhere")
    log.append_many(entries(3, start=4))
    commit(log, target, adopt=True)
    report = verify_commits(log, target)
    assert (report.committed, report.pending, report.problems) == (3, 0, [])
    with pytest.raises(CommitDivergedError, match="first line"):
        restore_session(tmp_path / "restored", "s", target)
