"""Commits in git: what is in them, whose they are, and what becomes of them when git refuses or is killed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from muse.commit import CommitDivergedError, CommitMovedError, GitError, GitTarget, commit
from muse.commit.git_tree import file_name, ref_of
from muse.commit.protocol import prepare
from muse.commit.testing import HOSTILE, SESSIONS, assert_whole
from muse.core.op_log import OpLog, encode_session_id
from tests import children, making
from tests.commit.targets import git, new_repository
from tests.making import entries, entry

pytestmark = pytest.mark.process

REF = "refs/muse/s"


@pytest.fixture
def folder(repo: Path) -> Path:
    """A git repository that the sessions lie in."""
    shutil.rmtree(repo)
    return new_repository(repo)


@pytest.fixture
def filled(folder: Path) -> Iterator[OpLog]:
    """A log with ten operations in a git repository."""
    with OpLog(folder, "s") as log:
        log.append_many(entries(10))
        yield log


def test_commit_holds_deltas_lines_and_a_record(folder: Path, filled: OpLog) -> None:
    """Each domain's delta, the exact lines, and what is remembered; nothing else, also in the second commit."""
    for start in (11, 21):
        deltas = {domain: filled.to_structured_delta(domain) for domain in filled.domains()}
        newest = GitTarget(folder).latest("s")
        pending = filled.path.read_bytes()[newest.cut.byte_offset if newest else 0 :]
        made = commit(filled, GitTarget(folder))
        assert made is not None
        names = git(folder, "ls-tree", "-r", "--name-only", REF).split()
        assert names == ["deltas/code.json", "deltas/music.json", "muse.json", "ops.jsonl"]
        for domain, delta in deltas.items():
            assert json.loads(git(folder, "show", f"{REF}:deltas/{domain}.json")) == delta
        assert git(folder, "show", f"{REF}:ops.jsonl").encode() == pending
        assert json.loads(git(folder, "show", f"{REF}:muse.json")) == made.to_record()
        filled.append_many(entries(10, start=start))
    assert git(folder, "rev-list", "--count", REF).strip() == "2"
    assert git(folder, "fsck", "--strict", "--no-dangling").strip() == ""
    assert git(folder, "status", "--porcelain", "--untracked-files=no") == ""


def test_message_reads_well_and_names_the_actors(folder: Path, filled: OpLog) -> None:
    """What the user says, what is in it, and each actor as a co-author, as git understands it."""
    commit(filled, GitTarget(folder))
    assert git(folder, "log", "-1", "--format=%s", REF).strip() == "s: 10 operations"
    filled.append_many(entries(10, start=11))
    filled.commit(GitTarget(folder), message="The second verse\n\nsung again")
    assert git(folder, "log", "-1", "--format=%B", REF).splitlines() == [
        "The second verse",
        "",
        "sung again",
        "",
        "code: 1 delete, 2 insert, 2 move",
        "music: 2 delete, 1 insert, 2 move",
        "",
        "Co-authored-by: ada <ada@muse.invalid>",
        "Co-authored-by: bob <bob@muse.invalid>",
        "",
    ]
    trailers = git(folder, "log", "-1", "--format=%(trailers:key=Co-authored-by,valueonly)", REF)
    assert trailers.split("\n")[:2] == ["ada <ada@muse.invalid>", "bob <bob@muse.invalid>"]


def test_hostile_name_forges_nothing(folder: Path) -> None:
    """It takes one line of the message, and no control character gets into it."""
    with OpLog(folder, "s") as log:
        log.record(HOSTILE, HOSTILE, {"op": HOSTILE})
        commit(log, GitTarget(folder), message=HOSTILE)
    message = git(folder, "log", "-1", "--format=%B", REF)
    assert message.isprintable() or set(message) - {"\n"} == {each for each in message if each.isprintable()}
    (trailer,) = git(folder, "log", "-1", "--format=%(trailers)", REF).strip().splitlines()
    assert trailer.startswith("Co-authored-by: eve (e@v)")
    assert git(folder, "fsck", "--strict", "--no-dangling").strip() == ""


def test_refs_are_valid_and_tell_the_sessions_apart() -> None:
    """Git takes each of them, and no two sessions share one, whatever git's lock files are called."""
    names = {*SESSIONS, "a%2E.b", "a.b", "...", "a...b", ".lock", "x.lock.lock", "x%2Elock", "x" * 200, "x" * 201}
    refs = [ref_of(name) for name in names]
    for ref in refs:
        children.run(["git", "check-ref-format", ref]).check_returncode()
        assert all(len(part) < 250 for part in ref.split("/"))
    assert len(set(refs)) == len(names)
    assert not any(other.startswith(f"{ref}/") for ref in refs for other in refs)
    assert ref_of("friday") == "refs/muse/friday"
    assert ref_of("feature/x") == f"refs/muse/{encode_session_id('feature/x')}"


def test_files_of_domains_are_told_apart() -> None:
    """None leads out of its folder, and no two domains share one."""
    names = ["a", "A", "a b", " a", "..", ".git", "a/b", "a~1", "x" * 300, "x" * 301, "é", "%41", "\n", HOSTILE]
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all(0 < len(name) <= 200 and not set(name) & set("/\n\0~"[:3]) and name[0] != "." for name in files)


# Whose it is.


@pytest.fixture
def no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user who has told git nothing."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.mark.usefixtures("no_configuration")
def test_author_is_whom_git_names(folder: Path, filled: OpLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the repository's configuration or from the environment; without either it is Muse."""
    git(folder, "config", "user.useConfigOnly", "true")
    commit(filled, GitTarget(folder))
    git(folder, "config", "user.name", "Grace H")
    git(folder, "config", "user.email", "grace@example.org")
    filled.append(entry(11))
    commit(filled, GitTarget(folder))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada L")
    filled.append(entry(12))
    commit(filled, GitTarget(folder))
    assert git(folder, "log", "--format=%an <%ae>, %cn", REF).splitlines() == [
        "Ada L <grace@example.org>, Grace H",
        "Grace H <grace@example.org>, Grace H",
        "Muse <muse@localhost>, Muse",
    ]


@pytest.mark.usefixtures("no_configuration")
def test_commit_is_signed_if_git_is_configured_to(folder: Path, filled: OpLog, tmp_path: Path) -> None:
    """Each has a signature that git verifies; compare-and-swap holds for them too; a missing key is a clear error."""
    if not shutil.which("ssh-keygen"):
        pytest.skip("needs ssh-keygen")
    key = tmp_path / "key"
    children.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]).check_returncode()
    (tmp_path / "signers").write_text(f"ada@example.org {key.with_suffix('.pub').read_text()}")
    for name, value in {
        "user.name": "Ada",
        "user.email": "ada@example.org",
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "commit.gpgSign": "true",
        "gpg.ssh.allowedSignersFile": str(tmp_path / "signers"),
    }.items():
        git(folder, "config", name, value)
    target = GitTarget(folder)
    for number in range(11, 14):
        late = prepare(filled, target)
        made = commit(filled, target)
        assert made == target.latest("s")
        assert late is not None
        with pytest.raises(CommitMovedError):
            target.commit(late)
        filled.append(entry(number))
    for commit_id in git(folder, "rev-list", REF).split():
        git(folder, "verify-commit", commit_id)
    assert git(folder, "for-each-ref", "--format=%(refname)").split() == [REF]
    assert_whole(target, filled)
    key.unlink()
    with pytest.raises(GitError, match="commit-tree"):
        commit(filled, target)
    assert target.latest("s") == made


@pytest.mark.usefixtures("no_configuration")
def test_repository_of_a_hook_is_not_taken(
    folder: Path, filled: OpLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook's environment names its own repository; the commit goes where it was told to."""
    other = new_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    commit(filled, GitTarget(folder))
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_WORK_TREE")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(other, "for-each-ref") == ""
    assert git(folder, "for-each-ref", "--format=%(refname)").split() == [REF]


# Where it is.


def test_any_folder_of_the_repository_names_it(folder: Path, filled: OpLog, tmp_path: Path) -> None:
    """A folder in it, or another working tree of it: the commits are the same."""
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(folder, "worktree", "add", "-q", str(tmp_path / "tree"))
    (folder / "inner").mkdir()
    for number, place in enumerate((folder / "inner", tmp_path / "tree", folder), 11):
        made = commit(filled, GitTarget(place))
        assert made == GitTarget(folder).latest("s")
        filled.append(entry(number))
    assert_whole(GitTarget(tmp_path / "tree"), filled)


def test_everything_reads_after_the_user_has_packed(folder: Path, filled: OpLog) -> None:
    """`git gc --prune=now` and a pruned reflog take nothing away."""
    target = GitTarget(folder)
    for number in range(11, 15):
        commit(filled, target)
        filled.append(entry(number))
        git(folder, "reflog", "expire", "--expire=now", "--all")
        git(folder, "gc", "-q", "--prune=now")
        assert_whole(GitTarget(folder), filled)
    assert git(folder, "for-each-ref", "--format=%(refname)").split() == [REF]


def test_git_that_says_something_of_each_object_is_listened_to(
    folder: Path, filled: OpLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a pipe holds, as git does when it is traced: nobody waits for anybody."""
    made = commit(filled, GitTarget(folder))
    assert made is not None
    git(folder, "gc", "-q")
    monkeypatch.setenv("GIT_TRACE_PACK_ACCESS", "1")
    assert set(GitTarget(folder).lines([made] * 2000)) == {filled.path.read_bytes()}


def test_clone_has_the_log_byte_for_byte(folder: Path, filled: OpLog, tmp_path: Path) -> None:
    """A log made from the lines of the commits in a clone is the log, and its commits go on there."""
    making.add_bytes(filled.path, b'{"torn\x00\n')
    for number in range(11, 20):
        commit(filled, GitTarget(folder))
        filled.append(entry(number))
    commit(filled, GitTarget(folder))
    git(tmp_path, "clone", "-q", str(folder), "clone")
    clone = tmp_path / "clone"
    git(clone, "fetch", "-q", "origin", "refs/muse/*:refs/muse/*")
    target = GitTarget(clone)
    making.add_bytes(making.log_path(clone), b"".join(target.lines(target.commits("s"))))
    assert making.log_bytes(clone) == making.log_bytes(folder)
    with OpLog(clone, "s") as log:
        assert commit(log, target) is None
        assert log.count(since_checkpoint=True) == 0
        log.append(entry(20))
        assert commit(log, target) is not None
        assert_whole(target, log)
    # The other one has not heard of it: its ref does not move to where it can't.
    filled.append(entry(21))
    commit(filled, GitTarget(folder))
    done = children.run(["git", "-C", clone, "push", "-q", "origin", "refs/muse/*"])
    assert done.returncode != 0


# What git refuses.


def assert_nothing_made(folder: Path, log: OpLog, match: str, **options: float) -> None:
    """`commit` raises GitError, with the way out; when the cause is gone it commits."""
    refs, mark = git(folder, "for-each-ref"), log.read_checkpoint()
    with pytest.raises(GitError, match=match):
        commit(log, GitTarget(folder, **options))
    assert git(folder, "for-each-ref") == refs
    assert log.read_checkpoint() == mark
    assert not list((folder / ".git").glob("fast_import_crash_*"))


def test_lock_of_a_git_that_was_killed_is_removed_when_no_committer_is_alive(folder: Path, filled: OpLog) -> None:
    """Not while it is fresh, while a committer lives, or if it is not that of a commit; then the error names it."""
    commit(filled, GitTarget(folder))
    filled.append(entry(11))
    lock = folder / ".git" / f"{REF}.lock"
    lock.write_text(git(folder, "rev-parse", REF))
    soon = time.time() + 3600
    os.utime(lock, (soon, soon))
    started = time.monotonic()
    target = GitTarget(folder, stale_lock_seconds=-4)
    with pytest.raises(GitError, match=r"s\.lock"):
        commit(filled, target)
    assert time.monotonic() - started < 60
    os.utime(lock, (0, 0))
    with (folder / ".git" / "muse-committers").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with pytest.raises(GitError, match=r"s\.lock"):
            commit(filled, target)
    assert lock.exists()
    lock.write_text("not an id")
    os.utime(lock, (0, 0))
    with pytest.raises(GitError, match=r"s\.lock"):
        commit(filled, target)
    for content in (git(folder, "rev-parse", REF), ""):
        lock.write_text(content)
        os.utime(lock, (0, 0))
        assert commit(filled, target) is not None
        assert not lock.exists()
        filled.record("ada", "music", {"op": "insert"})


def test_lock_that_is_empty_may_be_that_of_a_gc_and_has_to_be_older(folder: Path, filled: OpLog) -> None:
    """Which holds it for a moment: it is left alone where one with the id of a commit is removed."""
    commit(filled, GitTarget(folder))
    filled.append(entry(11))
    lock = folder / ".git" / f"{REF}.lock"
    lock.write_text("")
    then = time.time() - 9
    os.utime(lock, (then, then))
    with pytest.raises(GitError, match=r"s\.lock"):
        commit(filled, GitTarget(folder, stale_lock_seconds=1))
    lock.write_text(git(folder, "rev-parse", REF))
    os.utime(lock, (then, then))
    assert commit(filled, GitTarget(folder, stale_lock_seconds=1)) is not None


def test_ref_that_is_not_of_muse_is_refused(folder: Path, filled: OpLog) -> None:
    """A user's commit, a blob, or another session's commits below refs/muse/ are not taken for the session's."""
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(folder, "update-ref", REF, "HEAD")
    with pytest.raises(CommitDivergedError):
        commit(filled, GitTarget(folder))
    with OpLog(folder, "other") as other:
        other.append(entry(1))
        commit(other, GitTarget(folder))
    git(folder, "update-ref", REF, "refs/muse/other")
    with pytest.raises(CommitDivergedError, match="'other'"):
        commit(filled, GitTarget(folder))
    git(folder, "update-ref", REF, git(folder, "rev-parse", f"{REF}:muse.json").strip())
    with pytest.raises(CommitDivergedError):
        commit(filled, GitTarget(folder))


def test_ref_that_was_deleted_is_brought_back_from_the_checkpoint(folder: Path, filled: OpLog) -> None:
    """It is refused, and says so, until the ref is where the checkpoint says."""
    target = GitTarget(folder)
    for number in range(11, 14):
        commit(filled, target)
        filled.append(entry(number))
    git(folder, "update-ref", "-d", REF)
    with pytest.raises(CommitDivergedError, match="commits are missing"):
        commit(filled, target)
    record = filled.read_checkpoint()
    assert record is not None
    git(folder, "update-ref", REF, record["snapshot_id"])
    assert commit(filled, target) is not None
    assert_whole(target, filled)


def test_no_repository_and_no_git_are_said(
    folder: Path, filled: OpLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it."""
    (tmp_path / "plain").mkdir()
    with pytest.raises(GitError, match=r"not a git repository.*git init"):
        commit(filled, GitTarget(tmp_path / "plain"))
    with pytest.raises(GitError, match=r"No such file"):
        commit(filled, GitTarget(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="install git"):
        commit(filled, GitTarget(folder))


def test_file_in_the_way_of_the_ref_is_said(folder: Path, filled: OpLog) -> None:
    """A ref below the session's name can't be there at the same time."""
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    git(folder, "update-ref", f"{REF}/inner", "HEAD")
    assert_nothing_made(folder, filled, "refs/muse/s/inner")
    git(folder, "update-ref", "-d", f"{REF}/inner")
    assert commit(filled, GitTarget(folder)) is not None


def test_parent_that_is_gone_is_said(folder: Path, filled: OpLog) -> None:
    """A repository that has lost objects is for git to mend."""
    made = commit(filled, GitTarget(folder))
    assert made is not None
    for path in (folder / ".git/objects/pack").iterdir():
        path.unlink()
    filled.append(entry(11))
    with pytest.raises((GitError, CommitDivergedError)):
        commit(filled, GitTarget(folder))
