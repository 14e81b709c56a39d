"""The tests that a target of commits has to pass, for pytest: make a class of `TargetContract` in a test file.

    from muse.commit.testing import TargetContract

    class TestMyTarget(TargetContract):
        def open_target(self, folder):
            return MyTarget(folder / "commits.db")

A `CommitHistory` is tested as one. Nothing else than the standard library is needed.
"""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

from muse.commit.batch import CommitBatch, CommitHistory, CommitTarget, Committed, carry_on
from muse.commit.errors import CommitMovedError
from muse.commit.protocol import commit, prepare
from muse.core.op_log import OpLog

SESSIONS = (
    "friday",
    "Ünïcode ✓",
    "feature/x",
    "..",
    "a..b",
    "x.lock",
    "@{0}",
    "-x",
    "a b~^:?*[\\",
    "x" * 250,
    "%\x00\n",
)
"""Names of sessions that file names, refs and tables have been known to stumble over."""

HOSTILE = 'eve <e@v>\n\n"end": 0}\x00\x1b[31m\n.\n\ufeff\nCo-authored-by: ada'
"""The name of an actor and of a domain that wants to be more."""


class TargetContract:
    """Each test is given an empty folder for the target and for the repository of the sessions."""

    def open_target(self, folder: Path) -> CommitTarget:
        """The target that keeps its commits in `folder`: with the same folder, the same commits. To be overridden."""
        raise NotImplementedError

    def test_nothing_is_committed_at_first(self, tmp_path: Path) -> None:
        """A session that nobody committed has no newest commit."""
        assert self.open_target(tmp_path).latest("friday") is None

    def test_newest_commit_is_the_one_that_was_made(self, tmp_path: Path) -> None:
        """What `commit` returns is what `latest` says, also to who opens the target anew."""
        with _session(tmp_path, "friday") as log:
            for number in range(3):
                made = committed(log, self.open_target(tmp_path))
                assert made == self.open_target(tmp_path).latest("friday")
                assert (made.actors, made.domains) == ({"ada": 2, "bob": 1}, {"code": 1, "music": 2})
                assert made.cut.op_count == 3 * (number + 1)
                _record(log)

    def test_second_commit_after_the_same_parent_is_refused(self, tmp_path: Path) -> None:
        """Whoever has slept while another committed gets CommitMovedError, and changes nothing."""
        with _session(tmp_path, "friday") as log:
            for _ in range(2):
                target = self.open_target(tmp_path)
                late = prepared(log, target)
                made = committed(log, target)
                assert _committed_or_refused(target, late) is None
                assert self.open_target(tmp_path).latest("friday") == made
                _record(log)

    def test_batch_that_was_committed_is_refused_when_it_comes_again(self, tmp_path: Path) -> None:
        """After an unknown outcome the same batch may come again: it is committed already, or its parent has moved."""
        with _session(tmp_path, "friday") as log:
            target = self.open_target(tmp_path)
            batch = prepared(log, target)
            made = target.commit(batch)
            assert _committed_or_refused(target, batch) in (None, made)
            assert target.latest("friday") == made

    def test_of_many_at_once_one_commits(self, tmp_path: Path) -> None:
        """Of eight threads that commit after the same parent one succeeds, again and again."""
        with _session(tmp_path, "friday") as log, ThreadPoolExecutor(8) as pool:
            for _ in range(3):
                batch, barrier = prepared(log, self.open_target(tmp_path)), Barrier(8)
                done = list(pool.map(_together(barrier, batch), [self.open_target(tmp_path) for _ in range(8)]))
                (made,) = {each.commit_id for each in done if each is not None}
                newest = self.open_target(tmp_path).latest("friday")
                assert newest is not None
                assert newest.commit_id == made
                _record(log)

    def test_sessions_are_kept_apart_whatever_their_names(self, tmp_path: Path) -> None:
        """Each session has its own commits."""
        target = self.open_target(tmp_path)
        made = {}
        for name in SESSIONS:
            with _session(tmp_path, name) as log:
                made[name] = committed(log, target)
        assert {name: target.latest(name) for name in SESSIONS} == made

    def test_names_mean_nothing(self, tmp_path: Path) -> None:
        """Actors, domains and messages of any content come back as they were, or not at all."""
        target = self.open_target(tmp_path)
        with OpLog(tmp_path / "repo", "friday") as log:
            log.record(HOSTILE, HOSTILE, {"op": HOSTILE})
            made = commit(log, target, message=HOSTILE)
            assert made is not None
            assert (made.actors, made.domains) == ({HOSTILE: 1}, {HOSTILE: 1})
            assert target.latest("friday") == made
            log.record("ada", "x" * 5000, {"op": "insert"})
            log.record("ada", ".git", {"op": "insert"})
            assert committed(log, target).domains == {"x" * 5000: 1, ".git": 1}

    def test_history_is_the_log(self, tmp_path: Path) -> None:
        """The lines of all commits, one after the other, are the log; each begins where its parent ended."""
        target = self.open_target(tmp_path)
        if not isinstance(target, CommitHistory):
            return
        with _session(tmp_path, "friday") as log:
            for _ in range(4):
                committed(log, target)
                _record(log)
                _append_damage(log)
            committed(log, target)
            assert_whole(target, log)

    def test_every_operation_is_in_one_commit(self, tmp_path: Path) -> None:
        """Whatever comes between cut, commit and checkpoint, in whatever order."""
        target = self.open_target(tmp_path)
        if not isinstance(target, CommitHistory):
            return
        with _session(tmp_path, "friday") as log, _session(tmp_path, "friday") as other:
            for number in range(8):
                if number % 2:
                    # This one dies between commit and checkpoint.
                    target.commit(prepared(log, target))
                if number % 3 == 1:
                    (log.folder / "checkpoint.json").unlink(missing_ok=True)
                _record(other)
                commit(other if number % 4 else log, target)
                assert commit(log, target) is None
                assert_whole(target, log)
                _record(log)


def committed(log: OpLog, target: CommitTarget) -> Committed:
    """Commit what is pending; there has to be something."""
    made = commit(log, target)
    assert made is not None
    return made


def prepared(log: OpLog, target: CommitTarget) -> CommitBatch:
    """What would be committed; there has to be something."""
    batch = prepare(log, target)
    assert batch is not None
    return batch


def assert_whole(target: CommitHistory, log: OpLog) -> None:
    """Each operation of the log is in exactly one commit of its session, or pending, and the lines are the log's."""
    lines, digest, parent = b"", "0" * 64, None
    marked: Counter[str] = Counter()
    commits = target.commits(log.session_id)
    for each, slice_ in zip(commits, target.lines(commits), strict=True):
        assert (each.parent, each.start) == (parent, len(lines)), "a commit does not begin where its parent ended"
        lines, digest, parent = lines + slice_, carry_on(digest, slice_), each.commit_id
        assert (each.cut.byte_offset, each.digest) == (len(lines), digest), "a commit does not end where it says"
        marked.update(_op_ids(slice_))
        assert each.cut.op_count == len(marked), "a commit does not count what is in it"
    whole = log.path.read_bytes()
    assert whole.startswith(lines), "the commits are not the beginning of the log"
    pending = Counter(_op_ids(whole[len(lines) :]))
    assert set(marked) | set(pending) == {entry["op_id"] for entry in log}
    assert not set(marked) & set(pending), "an operation is committed and pending"


def _op_ids(lines: bytes) -> list[str]:
    found = []
    for line in lines.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line)["op_id"])
    return found


def _session(folder: Path, name: str) -> OpLog:
    log = OpLog(folder / "repo", name)
    _record(log)
    return log


def _record(log: OpLog) -> None:
    for actor, domain in (("ada", "music"), ("bob", "code"), ("ada", "music")):
        log.record(actor, domain, {"op": "insert", "address": "a:1"})


def _append_damage(log: OpLog) -> None:
    with log.path.open("ab") as file:
        file.write(b'{"torn": \x00\xff\n')


def _committed_or_refused(target: CommitTarget, batch: CommitBatch) -> Committed | None:
    try:
        return target.commit(batch)
    except CommitMovedError:
        return None


def _together(barrier: Barrier, batch: CommitBatch) -> Callable[[CommitTarget], Committed | None]:
    def commit_at_once(target: CommitTarget) -> Committed | None:
        barrier.wait(60)
        return _committed_or_refused(target, batch)

    return commit_at_once
