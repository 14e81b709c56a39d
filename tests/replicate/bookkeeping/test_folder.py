"""The lock of a session: nobody who only looks is in the way, and a failure leaves nothing locked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from muse.replicate.bookkeeping.folder import ReplicaFolder
from muse.replicate.bookkeeping.note import Committer, Note
from muse.replicate.bookkeeping.redactions import Redactions
from muse.replicate.bookkeeping.save_point import SavePoint
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


def test_nobody_waits_for_a_fifo_in_place_of_a_file(tmp_path: Path) -> None:
    """It is as if the file was not there; what can't be written says so."""
    folder, note = ReplicaFolder(tmp_path, "t", "s"), Note(tmp_path, "s", "ada")
    folder.folder.mkdir(parents=True)
    for ending in ("json", "status", "ends", "redacted"):
        os.mkfifo(folder.path.with_suffix(f".{ending}"))
    os.mkfifo(note.path)
    assert (folder.load(), folder.read_status(), folder.load_ends(), note.read()) == (SavePoint(), {}, [], None)
    with OpLog(tmp_path, "s") as log:
        Redactions(log, folder, "")
    with pytest.raises(OSError, match=r"s\.ends"):
        folder.save_ends([1])
    with pytest.raises(OSError, match=r"s\.committer"):
        note.write(Committer(1, "ada"))
