"""The lock of a session: nobody who only looks is in the way, and a failure leaves nothing locked."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from muse.replicate.bookkeeping.folder import ReplicaFolder
from tests import children


def test_whoever_asks_who_replicates_keeps_nobody_from_it(tmp_path: Path) -> None:
    """`sync-status` again and again, while replicas of the session start and stop."""
    folder, end = ReplicaFolder(tmp_path, "t", "s"), threading.Event()
    folder.lock()
    folder.unlock()

    def ask() -> None:
        while not end.wait(0.0001):
            ReplicaFolder(tmp_path, "t", "s").holder()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(200):
            folder.lock()
            assert "process" in ReplicaFolder(tmp_path, "t", "s").holder()
            folder.unlock()
    finally:
        end.set()
        asking.join()


def test_whoever_asks_who_replicates_makes_nothing(tmp_path: Path) -> None:
    """No folder, no file: a repository may be one that can only be read."""
    assert ReplicaFolder(tmp_path, "t", "s").holder() == ""
    assert list(tmp_path.iterdir()) == []


NO_ROOM = """
import resource, signal, sys
from pathlib import Path
from muse.replicate.bookkeeping.folder import ReplicaFolder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = ReplicaFolder(Path(sys.argv[1]), "t", "s")
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
try:
    folder.lock()
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    folder.lock()
    print("locked")
"""


@pytest.mark.process
def test_a_lock_that_can_not_be_written_is_not_kept(tmp_path: Path) -> None:
    """The disk is full, then not any more: the next attempt gets it."""
    done = children.run([sys.executable, "-c", NO_ROOM, tmp_path], stdout=subprocess.PIPE, text=True)
    assert done.stdout == "locked\n"
