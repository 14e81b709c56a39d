"""The harness for child processes: default signals, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests import children

pytestmark = pytest.mark.process

SAY_HOW = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
START_ONE = (
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "from tests import children\n"
    "if sys.argv[1] == 'with default signals':\n"
    "    children.let_children_have_default_signals()\n"
    f"print(children.run([sys.executable, '-c', {SAY_HOW!r}]).stdout.decode())\n"
)


@pytest.mark.parametrize(("how", "expected"), [("with default signals", b"True"), ("as it is", b"False")])
def test_child_can_be_interrupted_though_its_parent_was_started_in_the_background(how: str, expected: bytes) -> None:
    """Row 36: ignored SIGINT, as in a background job of a shell, stays so in a child unless that is prevented."""
    assert children.run([sys.executable, "-c", START_ONE, how]).stdout.strip() == expected


def test_nothing_is_left_of_a_child_that_is_killed() -> None:
    """What the child has started ends with it."""
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.stdin.read()"
    with children.started([sys.executable, "-c", script]) as child:
        grandchild = int(children.pipe_of(child).readline())
        os.kill(grandchild, 0)

    assert child.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while _is_at_work(grandchild):
        assert time.monotonic() < deadline, "it is still at work"
        time.sleep(0.01)


def _is_at_work(pid: int) -> bool:
    """Whether the process is there and is not just waiting to be collected."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_child_that_takes_too_long_is_killed() -> None:
    """The one who waits gets an error, at the latest when the time is over."""
    with pytest.raises(subprocess.TimeoutExpired):
        children.run(["sleep", "600"], deadline_s=0.2)
