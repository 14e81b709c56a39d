"""The process behind `OpLog.replicate`: it ends with the program, shows nobody a secret, and takes nothing along."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from muse.replicate import Replica, ReplicationRefusedError, ReplicationUnavailableError, Settings
from tests import children
from tests.making import entry
from tests.replicate import servers
from tests.replicate.hosts import WAIT, Host, assert_equal, fill, replica, root, until
from tests.replicate.servers import Server

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to look at processes"),
]


def replicating(parent: int) -> list[int]:
    """The processes that replicate for another one, zombies too."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(after_name[1]) == parent and (b"muse.replicate.process.child" in command or after_name[0] == "Z"):
            found.append(int(folder.name))
    return found


def one_replicating(parent: int) -> int:
    """The process that replicates for another one, as soon as it is there."""
    until(lambda: len(replicating(parent)) == 1)
    return replicating(parent)[0]


def is_alive(pid: int) -> bool:
    """Whether there is such a process, which is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_another_process_does_the_work_until_it_is_stopped(server: Server, host: Host) -> None:
    """It is no zombie then; signals that a terminal sends to both do not end it."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    with a.replicate(server.url, space="t") as one:
        child = one_replicating(os.getpid())
        one.wait_synced(WAIT)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(child, number)
        fill(a, [9])
        one.wait_synced(WAIT)
        assert one_replicating(os.getpid()) == child
    assert replicating(os.getpid()) == []
    assert not one.status().is_running
    with replica(b, server) as two:
        two.wait_synced(WAIT)
    assert_equal(a, b)
    assert len(b) == 9


def test_a_process_that_is_killed_is_started_again(
    server: Server, host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits gets what it waits for; that it was killed is logged."""
    monkeypatch.setattr("muse.replicate.process.parent._PAUSE_SECONDS", 0.1)
    a, b = host("a"), host("b")
    with a.replicate(server.url, space="t") as one, replica(b, server) as two:
        for number in (1, 2):
            os.kill(one_replicating(os.getpid()), signal.SIGKILL)
            fill(a, [number])
            one.wait_synced(WAIT)
        two.wait_synced(WAIT)
        assert_equal(a, b)
        assert len(b) == 2
    assert "has ended (-9)" in caplog.text


def test_a_process_that_hangs_does_not_keep_anybody_waiting(
    server: Server, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop` kills it; the session can be replicated again."""
    monkeypatch.setattr("muse.replicate.process.parent._STOP_SECONDS", 0.5)
    a = host("a")
    for _ in range(2):
        with a.replicate(server.url, space="t") as one:
            one.wait_synced(WAIT)
            os.kill(one_replicating(os.getpid()), signal.SIGSTOP)
            with pytest.raises(ReplicationUnavailableError):
                one.wait_synced(0.2)
        assert replicating(os.getpid()) == []


def test_a_process_that_hangs_may_be_told_any_number_of_wishes(
    server: Server, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than its pipe holds: whoever waits waits no longer than asked for, and `stop` ends it."""
    monkeypatch.setattr("muse.replicate.process.parent._STOP_SECONDS", 0.5)
    with host("a").replicate(server.url, space="t") as one:
        one.wait_synced(WAIT)
        os.kill(one_replicating(os.getpid()), signal.SIGSTOP)
        wishing = threading.Thread(target=wish, args=(one, 2000), daemon=True)
        wishing.start()
        wishing.join(WAIT)
        is_stuck = wishing.is_alive()
        os.kill(one_replicating(os.getpid()), signal.SIGKILL if is_stuck else signal.SIGSTOP)
    assert not is_stuck


def wish(replica: Replica, times: int) -> None:
    """Wait for nothing, often."""
    for _ in range(times):
        with suppress(ReplicationUnavailableError):
            replica.wait_synced(0)


def test_why_a_process_can_not_start_is_told(
    server: Server, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said last, as there is nobody else who could."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'first line' >&2\necho 'no module named wings' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with host("a").replicate(server.url, space="t") as one:
        until(lambda: one.status().last_error != "")
        assert one.status().last_error == "the process that replicates has ended (3): no module named wings"


def test_what_others_print_in_it_is_passed_over(
    server: Server, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a module does that Python loads whenever it starts, and Python itself if it is asked to."""
    monkeypatch.setenv("PYTHONVERBOSE", "1")
    for name in ("usercustomize.py", "sitecustomize.py"):
        (tmp_path / name).write_text("print('hello')\nprint(5)\nprint({'hello': 5})\n")
    monkeypatch.syspath_prepend(tmp_path)
    with host("a").replicate(server.url, space="t") as one:
        one.wait_synced(WAIT)


def test_whoever_asks_later_is_told_why_it_has_ended(host: Host, tmp_path: Path) -> None:
    """As often as it is asked, with no more behind the error each time, and also when a `with` begins only then."""
    if reason := servers.why_not():
        pytest.skip(reason)
    settings = Settings(("nats://127.0.0.1:1",), space="t", tls_ca=str(tmp_path / "missing.pem"))
    one = Replica(root(host("a")), "s", settings).start()
    until(lambda: not one.status().is_running)
    with one:
        depths = []
        for _ in range(3):
            with pytest.raises(ReplicationRefusedError, match=r"missing\.pem: can't be read") as raised:
                one.wait_synced(1)
            depths.append(len(list(traceback.walk_tb(raised.value.__traceback__))))
    assert depths[0] == depths[2]


def test_a_handle_that_is_dropped_is_stopped(server: Server, host: Host) -> None:
    """With a warning, as a log's."""
    replicas = [host("a").replicate(server.url, space="t")]
    replicas[0].wait_synced(WAIT)
    with pytest.warns(ResourceWarning, match="not stopped"):
        replicas.clear()
    until(lambda: replicating(os.getpid()) == [])


def test_it_inherits_no_descriptor_and_shows_no_password(tmp_path: Path) -> None:
    """Others can read a command line and an environment; a descriptor would keep a file or a socket in use."""
    if reason := servers.why_not():
        pytest.skip(reason)
    config = 'authorization { user: "ada", password: "very-secret" }'
    mine, other = os.pipe()
    os.set_inheritable(mine, True)
    try:
        with servers.running(tmp_path / "server", config) as server:
            (tmp_path / "a").mkdir()
            settings = Settings((server.url,), space="t", user="ada", password="very-secret")
            with Replica(tmp_path / "a", "s", settings) as one:
                child = Path("/proc") / str(one_replicating(os.getpid()))
                one.wait_synced(WAIT)
                for name in ("cmdline", "environ"):
                    assert b"very-secret" not in (child / name).read_bytes()
                there = set()
                for path in (child / "fd").iterdir():
                    # It opens and closes files while it is looked at.
                    with suppress(FileNotFoundError):
                        there.add(os.readlink(path))
                assert os.readlink(f"/proc/self/fd/{mine}") not in there
            wrong = Settings((server.url,), space="t", user="ada", password="wrong")
            with Replica(tmp_path / "a", "s", wrong) as one:
                with pytest.raises(ReplicationRefusedError, match=r"(?i)authorization"):
                    one.wait_synced(WAIT)
                assert not one.status().is_running
                until(lambda: replicating(os.getpid()) == [])
    finally:
        os.close(mine)
        os.close(other)


def test_the_handle_s_own_limits_count_and_what_is_logged_is_logged_here(
    server: Server, host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line that this handle would not append is refused, and told; the rest goes on."""
    a = host("a")
    a.append_many([entry(1), entry(2, domain_op={"op": "insert", "text": "x" * 5000}), entry(3)])
    (tmp_path / "b").mkdir()
    with (
        OpLog(tmp_path / "b", "s", max_line_bytes=1000) as b,
        replica(a, server) as one,
        caplog.at_level(logging.WARNING),
        b.replicate(server.url, space="t") as two,
    ):
        one.wait_synced(WAIT)
        two.wait_synced(WAIT)
        assert [each["op_id"] for each in b] == [entry(1)["op_id"], entry(3)["op_id"]]
        assert two.status().refused == 1
        until(lambda: entry(2)["op_id"] in caplog.text)


PROGRAM = """
import os, sys, time
from muse.core.op_log import OpLog
from muse.replicate import ReplicationUnavailableError
log = OpLog(sys.argv[1], "s")
replica = log.replicate(sys.argv[2], space="t")
replica.wait_synced(60)
forked = os.fork()
if forked == 0:
    # This handle is one that has stopped, and stops nothing.
    assert not replica.status().is_running
    try:
        replica.wait_synced(1)
    except ReplicationUnavailableError:
        replica.stop()
        print("forked", os.getpid(), flush=True)
    time.sleep(100)
time.sleep(100)
"""


def test_it_ends_with_the_program_though_a_forked_one_lives_on(server: Server, host: Host) -> None:
    """Killed without warning; the session can be replicated again at once."""
    a = host("a")
    fill(a, [1])
    command = [sys.executable, "-c", PROGRAM, a.folder.parents[2], server.url]
    with children.started(command, stdout=subprocess.PIPE) as program:
        forked = int(children.pipe_of(program).readline().split()[1])
        child = one_replicating(program.pid)
        pipes = {os.readlink(f"/proc/{program.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{program.pid}/fd")}
        ends = {os.readlink(path) for path in Path(f"/proc/{child}/fd").iterdir() if path.name in "01"}
        assert ends <= pipes
        assert not ends & {os.readlink(path) for path in Path(f"/proc/{forked}/fd").iterdir()}
        os.kill(program.pid, signal.SIGKILL)
        program.wait(WAIT)
        with a.replicate(server.url, space="t") as one:
            assert not is_alive(child)
            one.wait_synced(WAIT)
        assert is_alive(forked)
