"""Row 8: read-only file systems and folders without permission are read, and nothing is left in them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils  # noqa: F401 - imported here, since a child without rights may not be able to read it

from muse.core.op_log import MuseError, OpLog, describe_sessions, list_sessions
from tests import children, making, plain_scan
from tests.making import entry
from tests.reliability import faults
from tests.reliability.faults import errors, filled, read_only, run_child

NOBODY = 65_534


@pytest.fixture
def open_repo() -> Iterator[Path]:
    """A repository that another user can reach; pytest's own folders are closed to them."""
    umask = os.umask(0o022)
    try:
        with tempfile.TemporaryDirectory(prefix="muse-test-") as name:
            os.chmod(name, 0o755)
            repo = Path(name) / "repo"
            repo.mkdir()
            yield repo
    finally:
        os.umask(umask)


def use_as_nobody(repo: Path) -> object:
    """Read a session and try to write, without root's right to write everywhere."""

    def work() -> object:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        told: dict[str, object] = {}
        with OpLog(repo, "s") as log:
            told["ids"] = [each["op_id"] for each in log]
            told["again"] = [log.count(domain="music"), len(log.replay_since_checkpoint()), log.verify().ok]
            told["summaries"] = [each.ops for each in describe_sessions(repo)]
            for name, write in (("append", lambda: log.append(entry(90))), ("checkpoint", lambda: log.checkpoint("x"))):
                try:
                    write()
                    told[name] = "done"
                except OSError as error:
                    told[name] = [type(error).__name__, error.errno, isinstance(error, MuseError), str(error)]
        return told

    return children.in_forked_child(work)


@pytest.mark.process
@pytest.mark.parametrize("index", ["with an index", "without one"])
def test_no_permission_to_write_anything(open_repo: Path, index: str) -> None:
    """Row 8: every read works without an index on disk, an append says EACCES and the path, no file is made."""
    filled(open_repo, 12, checkpoint_after=5)
    if index == "without one":
        making.drop_index(open_repo)
    folder = faults.folder_of(open_repo)
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    before = making.tree(open_repo)
    told = use_as_nobody(open_repo)
    for path in (folder, *folder.iterdir()):
        path.chmod(path.stat().st_mode | 0o200)
    assert isinstance(told, dict)
    assert told["ids"] == plain_scan.scan_file(making.log_path(open_repo)).op_ids
    assert told["again"] == [6, 7, True]
    assert told["summaries"] == [12]
    assert told["append"][:3] == ["AppendError", errno.EACCES, True]
    assert str(making.log_path(open_repo)) in told["append"][3]
    assert told["checkpoint"][1] == errno.EACCES
    assert making.tree(open_repo) == before


@pytest.mark.process
def test_log_is_writable_and_its_folder_is_not(open_repo: Path) -> None:
    """Row 8: appends go on although no index can be kept; a checkpoint says why it can't be made."""
    filled(open_repo, 6)
    making.drop_index(open_repo)
    folder = faults.folder_of(open_repo)
    if os.geteuid() == 0:
        os.chown(making.log_path(open_repo), NOBODY, NOBODY)
    folder.chmod(0o555)
    told = use_as_nobody(open_repo)
    folder.chmod(0o755)
    assert isinstance(told, dict)
    assert told["append"] == "done"
    assert told["checkpoint"][1] == errno.EACCES
    assert faults.names_in(folder) == {"ops.jsonl"}
    with OpLog(open_repo, "s") as log:
        assert log.get(making.op_id(90)) == entry(90)
        making.assert_same_as_scan(log, log.path)


@pytest.mark.process
def test_no_permission_to_read_is_an_error_and_no_empty_log(open_repo: Path) -> None:
    """Row 8: a log that may not be read is never taken for one that holds nothing."""
    filled(open_repo, 3)
    making.log_path(open_repo).chmod(0o000)

    def work() -> object:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        with OpLog(open_repo, "s") as log:
            try:
                return len(log)
            except PermissionError as error:
                return error.errno

    assert children.in_forked_child(work) == errno.EACCES


@pytest.mark.process
def test_repository_on_a_read_only_file_system(repo: Path) -> None:
    """Row 8: each step that reads answers, each that writes raises EROFS, and nothing is left."""
    filled(repo, 9, checkpoint_after=4)
    making.drop_index(repo)
    before = making.tree(repo)
    steps = ("read", "count", "get:3", "replay", "verify", "append:10", "checkpoint:two", "rebuild", "read")
    told = run_child(repo, *steps, before=read_only(repo))
    assert set(errors(told)) == {"append:10", "checkpoint:two", "rebuild"}
    assert {each["errno"] for each in told if each["step"] in {"append:10", "checkpoint:two"}} == {errno.EROFS}
    assert next(each for each in told if each["step"] == "append:10")["error"] == "AppendError"
    assert told[0]["result"] == told[-1]["result"] == plain_scan.scan_file(making.log_path(repo)).op_ids
    assert making.tree(repo) == before


@pytest.mark.process
def test_repository_that_can_not_be_made(repo: Path) -> None:
    """Row 8: the first append where no folder can be made says so; reading finds nothing and makes nothing."""
    told = run_child(repo, "read", "append:1", "count", before=read_only(repo))
    assert errors(told) == {"append:1": "AppendError"}
    assert told[1]["errno"] == errno.EROFS
    assert told[0]["result"] == []
    assert making.tree(repo) == {}
    assert list_sessions(repo) == []


def test_file_stands_where_a_folder_has_to_be(repo: Path) -> None:
    """Row 8: a file named .muse or op_log is an error with its errno and path, and stays as it is."""
    for place in (".muse", ".muse/op_log"):
        path = repo / place
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        with OpLog(repo, "s") as log, pytest.raises(OSError, match=r"\.muse") as caught:
            log.append(entry(1))
        assert caught.value.errno in {errno.ENOTDIR, errno.EEXIST}
        assert path.read_text() == "mine"
        path.unlink()
        shutil.rmtree(repo / ".muse", ignore_errors=True)
