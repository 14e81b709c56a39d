"""A redaction that is killed at any system call: the operation is whole in its old form or its new one, and whoever
opens the session next finishes it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from tests import children, making, plain_scan
from tests.making import entries, entry, op_id

pytestmark = pytest.mark.process

EVERY = int(os.environ.get("MUSE_TEST_EVERY_CALL", "23"))
"""Only one of so many system calls is the last; 1 takes each."""

_TRACEME, _SYSCALL = 0, 24
_CANARY = "s3cr3t-CANARY"


def killed_at_call(number: int, work: Callable[[], object]) -> bool:
    """Do `work` in a forked child that is killed on entering its n-th system call; False if it ended before that."""
    libc = ctypes.CDLL(None, use_errno=True)

    def traced() -> None:
        if libc.ptrace(_TRACEME, 0, None, None):
            os._exit(71)
        os.kill(os.getpid(), signal.SIGSTOP)
        work()

    child = children.fork(traced)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        pytest.skip("needs the right to trace a child")
    # Each call stops twice: where it is entered and where it is left.
    for _ in range(2 * number - 1):
        libc.ptrace(_SYSCALL, child, None, None)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace(2) as Linux has it")
def test_killed_at_a_system_call_a_redaction_is_not_begun_or_finished_by_the_next(repo: Path, tmp_path: Path) -> None:
    """Row 59: nothing else changes by it, no temporary file stays, and the checkpoint is right before and after."""
    domain_op = {"op": "insert", "text": _CANARY * 600}
    with OpLog(repo, "s") as log:
        log.append_many([*entries(10), entry(100, domain_op=domain_op), *entries(10, start=20)])
        log.checkpoint("one")
    before = plain_scan.scan_file(making.log_path(repo)).entries
    old = before[10]
    number, outcomes, copy = 1, set(), tmp_path / "copy"

    def redact() -> None:
        with OpLog(copy, "s") as log:
            log.redact(op_id(100), by="ada", why="held a token")

    is_killed = True
    while is_killed:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(repo, copy)
        is_killed = killed_at_call(number, redact)
        found = plain_scan.scan_file(making.log_path(copy))
        folder = making.log_path(copy).parent
        has_begun = (folder / "redacting.json").exists()
        assert has_begun or len(found.entries) == 21, f"call {number}"
        if has_begun:
            assert _CANARY not in (folder / "redacting.json").read_text()
        with OpLog(copy, "s") as log:
            now = log.read_all()
            is_redacted = now[10] != old
            assert is_redacted or not has_begun, f"call {number}"
            assert [*now[:10], *now[11:]] == [*before[:10], *before[11:]], f"call {number}"
            report = log.verify()
            assert report.counts == ({"redacted": 1} if is_redacted else {}), f"call {number}: {report.findings}"
            assert log.read_checkpoint() is not None
            log.checkpoint("two")
        if is_redacted:
            assert now[10]["domain_op"]["op"] == "redacted"
            assert not [name for name, data in making.tree(copy).items() if data and _CANARY.encode() in data]
            assert (folder / "redacted.json").exists()
        assert not [*folder.glob("redacting.json*"), *folder.glob("*.tmp")], f"call {number}"
        outcomes.add((is_killed, has_begun, is_redacted))
        number += EVERY
    # Killed before it began, in the middle and at its end; and once not at all.
    assert outcomes >= {(True, False, False), (True, True, True), (False, False, True)}
