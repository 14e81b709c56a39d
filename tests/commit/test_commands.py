"""The commands `commit` and `commits`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from muse.commit import GitTarget, commit
from muse.commit.testing import assert_whole
from muse.core.op_log import OpLog
from tests import children, making
from tests.cli.running import ESCAPE, command_line, filled, json_lines, muse, muse_process
from tests.commit.targets import git, new_repository
from tests.commit.test_protocol import damage_line
from tests.reliability import faults

pytestmark = pytest.mark.process


@pytest.fixture
def folder(repo: Path) -> Path:
    """A git repository that the sessions lie in, one of them with twelve operations."""
    shutil.rmtree(repo)
    new_repository(repo)
    filled(repo, making.entries(12))
    return repo


def test_commit_is_made_and_told(folder: Path) -> None:
    """A table for people, an object for programs; then nothing is pending."""
    result = muse("commit", "s", "--repo", folder, "--message", "the verse")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == ["COMMIT", "UTC", "ENTRIES", "DOMAINS", "ACTORS"]
    assert "12 entries committed" in result.stderr
    assert git(folder, "log", "-1", "--format=%s", "refs/muse/s").strip() == "the verse"

    result = muse("commit", "s", "--repo", folder, "--json")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing is pending" in result.stderr

    filled(folder, making.entries(2, start=13))
    (told,) = json_lines(muse("commit", "s", "--repo", folder, "--json").stdout)
    made = GitTarget(folder).latest("s")
    assert made is not None
    assert told == {"commit": made.commit_id, **made.to_record()}
    assert json.loads(muse("query", "s", "--repo", folder, "--since-checkpoint", "--json").stdout or "[]") == []


def test_dry_run_commits_nothing(folder: Path) -> None:
    """It says what would be committed."""
    result = muse("commit", "s", "--repo", folder, "--dry-run")
    assert result.exit_code == 0
    assert "12 entries would be committed" in result.stderr
    assert git(folder, "for-each-ref") == ""
    assert not making.log_path(folder).with_name("checkpoint.json").exists()


def test_commits_are_listed_newest_first(folder: Path, tmp_path: Path) -> None:
    """From the repository that is named or that the sessions are in; also where the session is not."""
    for start in (13, 15):
        muse("commit", "s", "--repo", folder)
        filled(folder, making.entries(2, start=start))
    muse("commit", "s", "--repo", folder)
    told = json_lines(muse("commits", "s", "--repo", folder, "--json").stdout)
    assert [each["op_count"] for each in told] == [16, 14, 12]
    assert [each["commit"] for each in told] == git(folder, "rev-list", "refs/muse/s").split()
    result = muse("commits", "s", "--repo", tmp_path, "--git", folder)
    assert len(result.stdout.splitlines()) == 4
    assert "3 commits of 16 entries" in result.stderr
    assert muse("commits", "none", "--repo", folder).exit_code == 2
    filled(folder, making.entries(1), "new")
    assert "0 commits of 0 entries" in muse("commits", "new", "--repo", folder).stderr


def test_damaged_lines_and_names_are_shown_as_such(folder: Path) -> None:
    """What a commit passes over is said once; no control character reaches the terminal."""
    making.add_bytes(making.log_path(folder), b"\x00\n" + making.line(making.entry(99, actor_id=ESCAPE, domain=ESCAPE)))
    result = muse("commit", "s", "--repo", folder)
    assert "1 damaged line passed over" in result.stderr
    assert "\x1b" not in result.output + muse("commits", "s", "--repo", folder).output
    filled(folder, [making.entry(100)])
    assert "damaged" not in muse("commit", "s", "--repo", folder).stderr


def test_what_git_refuses_ends_with_3_and_what_does_not_fit_with_1(folder: Path, tmp_path: Path) -> None:
    """Each with one line that says what to do; a session that is not there is wrong usage."""
    (tmp_path / "plain").mkdir()
    result = muse("commit", "s", "--repo", folder, "--git", tmp_path / "plain")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "not a git repository" in result.stderr
    assert muse("commits", "s", "--repo", tmp_path / "plain").exit_code == 3
    assert muse("commit", "none", "--repo", folder).exit_code == 2
    muse("commit", "s", "--repo", folder)
    git(folder, "update-ref", "-d", "refs/muse/s")
    result = muse("commit", "s", "--repo", folder)
    assert result.exit_code == 1
    assert "commits are missing" in result.stderr


def test_objects_and_ref_are_flushed(folder: Path, tmp_path: Path, strace: str) -> None:
    """Before the command says that it has committed: the pack, its index, the ref."""
    trace = tmp_path / "trace"
    tracing = [strace, "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", trace]
    done = children.run([*tracing, *command_line("commit", "s", "--repo", folder)])
    assert done.returncode == 0, done.stderr
    flushed = trace.read_text()
    for name in ("ops.jsonl", "objects/pack/tmp_pack_", "objects/pack/tmp_idx_", "refs/muse/s.lock", "checkpoint.json"):
        assert name in flushed, name


def test_verify_holds_a_log_against_its_commits(folder: Path) -> None:
    """What differs ends with exit code 1; without --git nobody asks."""
    muse("commit", "s", "--repo", folder)
    filled(folder, making.entries(2, start=13))
    result = muse("verify", "s", "--repo", folder, "--git", folder)
    assert result.exit_code == 0
    assert "1 commit of 12 entries, 2 more pending: nothing found" in result.stderr
    told = json.loads(muse("verify", "s", "--repo", folder, "--git", folder, "--json").stdout)
    counts = {"commits": 1, "committed": 12, "pending": 2, "redacted": 0}
    assert told["commits"] == {"session_id": "s", **counts, "problems": []}
    assert "commits" not in json.loads(muse("verify", "s", "--repo", folder, "--json").stdout)
    (folder / "other").mkdir()
    filled(folder / "other", making.entries(14)[::-1])
    result = muse("verify", "s", "--repo", folder / "other", "--git", folder)
    assert result.exit_code == 1
    assert "not a cut of this log" in result.stderr


def test_repair_takes_what_is_lost_from_the_commits(folder: Path, tmp_path: Path) -> None:
    """Operations whose lines are damaged are appended again and not committed again; without --yes nothing is done."""
    muse("commit", "s", "--repo", folder)
    damage_line(making.log_path(folder), 3, b"\x00\x00")
    muse("count", "s", "--repo", folder)
    before = making.log_bytes(folder)
    assert muse("repair", "s", "--repo", folder, "--from-git", folder).exit_code == 1
    assert making.log_bytes(folder) == before
    muse("repair", "s", "--repo", folder, "--from-git", folder, "--yes")
    with OpLog(folder, "s") as log:
        assert len(log) == 12
    assert "nothing is pending" in muse("commit", "s", "--repo", folder).stderr
    result = muse("repair", "s", "--repo", folder, "--from-git", folder, "--from", tmp_path)
    assert result.exit_code == 2


def test_session_that_is_gone_is_made_again_from_its_commits(folder: Path, tmp_path: Path) -> None:
    """Byte for byte, if it is agreed; one without commits is wrong usage."""
    muse("commit", "s", "--repo", folder)
    other = tmp_path / "other"
    other.mkdir()
    result = muse("repair", "s", "--repo", other, "--from-git", folder)
    assert result.exit_code == 1
    assert not list(other.iterdir())
    result = muse("repair", "s", "--repo", other, "--from-git", folder, "--yes")
    assert result.exit_code == 0, result.output
    assert making.log_bytes(other) == making.log_bytes(folder)
    result = muse("repair", "none", "--repo", other, "--from-git", folder, "--yes")
    assert result.exit_code == 2
    assert "no commit of it" in result.stderr


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
FULL = (
    'cp -a "$0" "$0.full" && mount -t tmpfs -o size=300k none "$0" && cp -a "$0.full/." "$0" && '
    '(head -c 1000000 /dev/zero > "$0/ballast" 2> /dev/null || true)'
)


@pytest.mark.parametrize(("script", "says"), [(READ_ONLY, "Read-only file system"), (FULL, "Out of diskspace")])
def test_repository_that_can_not_be_written_is_said(folder: Path, tmp_path: Path, script: str, says: str) -> None:
    """A read-only file system, a full disk: exit code 3, nothing half done; with another one the commit is made."""
    with OpLog(folder, "s") as log:
        commit(log, GitTarget(folder))
        log.record("ada", "code", {"op": "insert"})
    shutil.rmtree(folder / ".git" / "hooks")
    other = tmp_path / "other"
    shutil.copytree(folder / ".git", other / ".git")
    before = (log.folder / "checkpoint.json").read_bytes()
    prefix = faults.in_mount_namespace(script, other)
    done = children.run([*prefix, *command_line("commit", "s", "--repo", folder, "--git", other)])
    assert done.returncode == 3, done.stderr
    assert says in done.stderr.decode()
    assert (log.folder / "checkpoint.json").read_bytes() == before
    made = muse_process("commit", "s", "--repo", folder, "--git", other)
    assert made.returncode == 0, made.stderr
    with OpLog(folder, "s") as log:
        assert_whole(GitTarget(other), log)
