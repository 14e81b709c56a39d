"""Files that somebody has made to do harm: in the place of a session's, crafted indexes, archives and op_ids."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from muse.core.op_log import OpLog, describe_sessions, list_sessions
from tests import making, plain_scan
from tests.cli.running import muse
from tests.making import entries, entry

# -- what stands in a place where it does not belong -----------------------------------------------------------


def link_loop(path: Path) -> None:
    """A link that leads to itself."""
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    """A folder with something in it."""
    path.mkdir()
    path.joinpath("x").write_bytes(b"x")


def a_socket(path: Path) -> None:
    """A socket; its name may be longer than an address can be."""
    with socket.socket(socket.AF_UNIX) as made:
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(path.parent)
            made.bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)


KINDS = [link_loop, folder, a_socket, os.mkfifo]


def two_sessions(repo: Path) -> Path:
    """Sessions "good" and "bad" of one entry each, with checkpoints; the folder of "bad"."""
    for name in ("bad", "good"):
        with OpLog(repo, name) as log:
            log.append(entry(1))
            log.checkpoint("c")
    return making.log_path(repo, "bad").parent


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["session", "ops.jsonl", "checkpoint.json"])
def test_what_is_no_file_in_a_sessions_place_is_that_sessions_error(
    repo: Path, place: str, kind: Callable[[Path], None]
) -> None:
    """Row 54: the other session is listed with its entries, and the spoiled one with what is wrong."""
    bad = two_sessions(repo)
    if place == "session":
        for path in bad.iterdir():
            path.unlink()
        bad.rmdir()
        kind(bad)
    else:
        bad.joinpath(place).unlink()
        kind(bad / place)

    is_folder = place == "session" and kind is folder
    assert list_sessions(repo) == (["good"] if is_folder else ["bad", "good"])
    *spoiled, good = describe_sessions(repo)
    assert (good.session_id, good.ops, good.problem) == ("good", 1, None)
    assert len(spoiled) == (not is_folder)
    for found in spoiled:
        assert str(bad) in str(found.problem)
        told = muse("sessions", "--repo", repo)
        assert told.exit_code == 1
        assert "good" in told.stdout
        assert f"session 'bad': {found.problem}" in told.stderr
        assert muse("verify", "bad", "--repo", repo).exit_code == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["session", "ops.jsonl"])
def test_session_whose_place_is_taken_fails_with_an_error_that_names_it(
    repo: Path, place: str, kind: Callable[[Path], None]
) -> None:
    """Row 54: each call raises an OSError with the file's name, and nothing else."""
    path = making.log_path(repo)
    path = path.parent if place == "session" else path
    path.parent.mkdir(parents=True)
    kind(path)
    calls: list[Callable[[OpLog], object]] = [
        *(len, OpLog.read_all, OpLog.verify, OpLog.rebuild_index, OpLog.cut),
        lambda log: log.append(entry(1)),
        lambda log: log.checkpoint("c"),
    ]
    for call in calls:
        if place == "session" and kind is folder:
            break
        with OpLog(repo, "s") as log, pytest.raises(OSError, match=r"op_log/s'|ops\.jsonl|checkpoint\.json"):
            call(log)
    assert kind is folder or path.is_symlink() or not path.is_file()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["index.db", "index.db-wal", "index.db-journal", "index.db.new", "index.db.old", "index.db.building"]
)
def test_what_is_no_file_in_the_indexs_place_hinders_nobody(
    repo: Path, name: str, kind: Callable[[Path], None]
) -> None:
    """Row 54: reads and appends go on, from an index in memory at worst."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(5))
    folder = making.log_path(repo).parent
    if name == "index.db":
        folder.joinpath(name).unlink()
    kind(folder / name)
    for number in (6, 7):
        with OpLog(repo, "s") as log:
            log.append(entry(number))
            assert plain_scan.exact_list(log) == plain_scan.exact_list(plain_scan.scan(log.path.read_bytes()).entries)


@pytest.mark.parametrize("kind", [link_loop, a_socket, os.mkfifo])
def test_what_is_no_folder_in_the_place_of_all_sessions_is_an_error(repo: Path, kind: Callable[[Path], None]) -> None:
    """Row 54: it is not taken for a repository without sessions."""
    top = making.log_path(repo).parents[1]
    top.parent.mkdir()
    kind(top)
    for call in (list_sessions, describe_sessions):
        with pytest.raises(OSError, match="op_log"):
            call(repo)
    assert muse("sessions", "--repo", repo).exit_code == 3


def test_links_in_a_circle_by_way_of_outside_are_no_way_out(repo: Path, tmp_path: Path) -> None:
    """Row 54: neither of them is followed, and the error names the session's."""
    path = making.log_path(repo).parent
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "outside")
    (tmp_path / "outside").symlink_to(path)
    assert list_sessions(repo) in (["s"], [])
    with pytest.raises((OSError, ValueError), match="op_log/s"), OpLog(repo, "s") as log:
        log.append(entry(1))
