"""Guarantee 15: a process that is stopped, stuck or hostile keeps nobody waiting for more than some seconds."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from muse.core.op_log import LockTimeoutError, OpLog
from muse.core.storage.locks import exclusive_lock, lock_file
from tests import children, making, plain_scan
from tests.cli.running import muse_process, offered
from tests.making import entries, entry
from tests.reliability import faults
from tests.reliability.faults import errors, filled, folder_of, run_child

MOST_SECONDS = 30
"""How long any call may take: what is stopped stays so, and nobody waits for more than 8 seconds; the rest is for a
machine that has much else to do."""
APPEND_SECONDS = 5
"""How long an append may take, which waits for half a second at most."""

STEPS = (
    *("append:51", "record:one", "batch:52-55", "read", "len", "actors", "get:3", "replay", "count"),
    *("describe", "export", "verify", "checkpoint:two", "fork:56", "append:57", "rebuild", "append:58"),
)


@contextmanager
def stopped(path: Path, how: str) -> Iterator[int]:
    """A process that has taken a lock and is stopped; gives its number."""
    holder = children.start_worker("hold_lock", path, how)
    try:
        assert children.pipe_of(holder).readline() == b'"locked"\n'
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
        yield holder.pid
    finally:
        children.kill(holder)


every_lock = pytest.mark.parametrize(
    ("name", "how"),
    [
        (".", "flock"),
        ("index.db.building", "flock"),
        ("ops.jsonl", "flock"),
        ("index.db", "write"),
        ("index.db", "all"),
    ],
    ids=["folder", "building", "log", "writing index", "all of index"],
)


@pytest.mark.process
@pytest.mark.parametrize("missing", [False, True], ids=["index there", "no index"])
@every_lock
def test_stopped_process_with_a_lock_keeps_nobody_waiting(repo: Path, name: str, how: str, missing: bool) -> None:
    """Row 25: whatever lock it has, each call returns, or fails and names what it waited for, within seconds."""
    filled(repo, 50, checkpoint_after=10)
    steps = list(STEPS)
    if missing:
        if name == "index.db":
            pytest.skip("there is no index to be locked")
        making.drop_index(repo)
        # It waits for the longest time of all, and for no index.
        steps.remove("checkpoint:two")
    with stopped(folder_of(repo) / name, how) as holder:
        told = run_child(repo, *steps)
        assert [each["step"] for each in told] == steps
        for each in told:
            appends = each["step"].partition(":")[0] in {"append", "record", "batch"}
            assert each["seconds"] < (APPEND_SECONDS if appends else MOST_SECONDS), each
            if "error" in each:
                assert each["error"] == "LockTimeoutError", each
                assert str(folder_of(repo)) in each["text"]
                assert f"process {holder} " in each["text"]
        # What is being written to the old index would be forgotten, so nobody puts a new one in its place.
        assert set(errors(told)) <= ({"checkpoint:two"} if name == "ops.jsonl" else {"rebuild"})
    faults.assert_recovered(repo, [each for each in told if each["step"][:6] in {"append", "batch:"}])
    assert making.op_id(56) in plain_scan.scan_file(making.log_path(repo)).op_ids, "the forked child appended nothing"


@pytest.mark.process
@every_lock
def test_stopped_process_with_a_lock_keeps_no_command_waiting_that_shows_sessions(
    repo: Path, name: str, how: str
) -> None:
    """Row 25: `sessions` and what TAB offers of a session answer right within seconds, if need be from memory."""
    filled(repo, 50, checkpoint_after=10)
    actors = {each["actor_id"] for each in plain_scan.scan_file(making.log_path(repo)).entries}
    with stopped(folder_of(repo) / name, how):
        done = muse_process("sessions", "--json", "--repo", repo, deadline_s=MOST_SECONDS)
        assert done.returncode == 0, done.stderr
        assert [(each["session_id"], each["ops"]) for each in json.loads(done.stdout)["sessions"]] == [("s", 50)]
        assert offered(repo, "query", "s", "--actor", "", deadline_s=MOST_SECONDS) == actors


@pytest.mark.process
@pytest.mark.parametrize("name", ["checkpoint.json", "ops.jsonl", "index.db", "index.db-journal", "index.db-wal"])
def test_fifo_in_the_place_of_a_file_is_not_waited_for(repo: Path, name: str) -> None:
    """Row 26: calls that need this file fail and name it, the others work, and none waits for a writer of the FIFO."""
    filled(repo, 50)
    path = folder_of(repo) / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    told = run_child(repo, *STEPS)
    assert [each["step"] for each in told] == list(STEPS)
    assert all(each["seconds"] < MOST_SECONDS for each in told), told
    needed = {"checkpoint.json": {"replay", "export", "verify", "checkpoint:two"}, "ops.jsonl": set(STEPS)}
    failed = {step for step in errors(told) if not step.startswith("fork")}
    assert failed <= needed.get(name, set()), errors(told)
    for each in told:
        assert "error" not in each or name in each["text"], each
    if name == "checkpoint.json":
        assert failed == needed[name]


def test_whoever_waits_in_vain_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    """Row 25: file, time and process are in the message; without a wait it is asked once."""
    with exclusive_lock(tmp_path, 0):
        for seconds in (0, 0.05):
            with pytest.raises(
                LockTimeoutError, match=rf"{tmp_path}: .*process {os.getpid()}.* waited \d+\.\d seconds"
            ):
                exclusive_lock(tmp_path, seconds).__enter__()
    with exclusive_lock(tmp_path, 0):
        pass


def test_a_lock_is_waited_for_as_long_as_its_holder_gives_signs_of_life(tmp_path: Path) -> None:
    """Row 42: a builder that goes on is waited for, however long it takes; one that does not is given up."""
    path = tmp_path / "x.building"
    order: list[str] = []

    def hold() -> None:
        with lock_file(path, 1) as sign_of_life:
            held.set()
            # Many signs in the second for which one is waited for: a busy machine may delay a few of them.
            for _ in range(25):
                time.sleep(0.05)
                sign_of_life(0)
            sign_of_life(5)
            time.sleep(1.2)
            order.append("first")

    held = threading.Event()
    first = threading.Thread(target=hold)
    first.start()
    held.wait()
    with lock_file(path, 1):
        order.append("second")
        with pytest.raises(LockTimeoutError), lock_file(path, 0.1):
            pass
    first.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_appends_go_on_while_a_missing_index_is_built_by_a_stopped_process(repo: Path) -> None:
    """Row 42: a handle that has an index open goes on with it, though its file is gone and a builder has stopped."""
    with OpLog(repo, "s") as log:
        log.append_many(entries(3_000))
        making.drop_index(repo)
        with stopped(folder_of(repo) / "index.db.building", "flock"):
            for number in range(10_001, 10_600):
                began = time.monotonic()
                log.append(entry(number))
                assert time.monotonic() - began < APPEND_SECONDS
        making.assert_same_as_scan(log, log.path)
    assert plain_scan.scan_file(making.log_path(repo)).duplicates == []


@pytest.mark.process
def test_reader_of_another_user_follows_while_a_writer_is_live() -> None:
    """Row 55: it may read the files and write none, and sees what the writer appends, from an index in memory."""
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user, by setpriv")
    # The folders of the tests are for one user alone.
    with tempfile.TemporaryDirectory() as folder, OpLog(folder, "s") as log:
        repo = Path(folder)
        repo.chmod(0o755)
        log.append_many(entries(20))
        before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        told = run_child(repo, "len", "read", "describe", before=before)
        log.append(entry(21))
        again = run_child(repo, "len", before=before)
        op_ids = plain_scan.scan_file(log.path).op_ids
    assert [each.get("result") for each in told] == [20, op_ids[:20], 20], told
    assert again[0]["result"] == 21
    assert all(each["seconds"] < MOST_SECONDS for each in told + again)
