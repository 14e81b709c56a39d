"""The work of a replica: it goes on when this machine has again what it lacked."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from muse.replicate import Replica, Settings
from tests import children
from tests.replicate.hosts import WAIT, Host, assert_equal, fill, replica, root, sync, until
from tests.replicate.servers import Server

pytestmark = [pytest.mark.process, pytest.mark.slow]


@contextmanager
def no_new_threads() -> Iterator[None]:
    """No thread can be started, as its stack would take more memory than there are addresses."""
    before = threading.stack_size(1 << 50)
    try:
        yield
    finally:
        threading.stack_size(before)


def test_a_machine_without_room_for_threads_ends_no_replica(server: Server, host: Host) -> None:
    """It says so, and goes on when there is room again."""
    a, b = host("a"), host("b")
    fill(a, [1])
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        with no_new_threads():
            server.kill()
            server.start()
            until(lambda: one.status().last_error == "RuntimeError: can't start new thread")
        fill(a, [2])
        sync(one, two)
    assert_equal(a, b)
    assert len(b) == 2


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_what_could_not_be_started_keeps_no_lock(server: Server, host: Host, kind: str) -> None:
    """So it can be started later."""
    a = host("a")
    one = replica(a, server) if kind == "thread" else Replica(root(a), "s", Settings((server.url,), space="t"))
    with no_new_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
        one.start()
    assert not one.status().is_running
    with one:
        one.wait_synced(WAIT)


TOO_MANY_FILES = """
import resource, sys
from pathlib import Path
from muse.replicate import ReplicationUnavailableError, Settings
from muse.replicate.process.worker import Worker

worker = Worker(Path(sys.argv[1]), "s", Settings((sys.argv[2],), space="t"))
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
# The lock and one more: an event loop takes three.
lowest = max(map(int, __import__("os").listdir("/proc/self/fd")))
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, most))
with worker:
    try:
        worker.wait_synced(1)
    except ReplicationUnavailableError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
with Worker(Path(sys.argv[1]), "s", Settings((sys.argv[2],), space="t")) as worker:
    worker.wait_synced(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc to look at descriptors")
def test_without_room_for_open_files_it_says_so_at_once(server: Server, host: Host) -> None:
    """And leaves no lock behind."""
    a = host("a")
    done = children.run([sys.executable, "-c", TOO_MANY_FILES, root(a), server.url], stderr=subprocess.STDOUT)
    assert (done.returncode, b"not running: [Errno 24]" in done.stdout) == (0, True), done.stdout.decode()
