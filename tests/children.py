"""The child processes of the tests: started with default signals, waited for with a deadline, never left behind.

A child leads a process group of its own, so that whatever it starts ends with it. What the children do is in
`tests.workers`; the commands of `muse` are started by `tests.cli.running`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from tests.making import PROJECT

DEADLINE_S = 120
"""How long any child may take on a busy machine. One that takes longer hangs."""

_started: list[subprocess.Popen[Any]] = []


def let_children_have_default_signals() -> None:
    """Make sure that children start with default signals, even if this process was started with some ignored.

    A shell starts a background job with SIGINT ignored, and an ignored signal stays ignored in every child. A signal
    that is caught does not: the child starts with its default. So what is ignored is caught here, and then dropped.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def start(command: Sequence[object], **changes: Any) -> subprocess.Popen[Any]:
    """Start a child in the project's folder, with pipes for its standard input and output."""
    options: dict[str, Any] = {"cwd": PROJECT, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **changes}
    process = subprocess.Popen(list(map(str, command)), start_new_session=True, **options)
    _started.append(process)
    return process


@contextmanager
def started(command: Sequence[object], **changes: Any) -> Iterator[subprocess.Popen[Any]]:
    """A child that is killed when the block ends, if it has not ended before."""
    process = start(command, **changes)
    try:
        yield process
    finally:
        kill(process)


def run(
    command: Sequence[object], *, stdin: bytes | None = None, deadline_s: float = DEADLINE_S, **changes: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a child to its end, with `stdin` for its standard input, and return what it printed and its exit code."""
    given = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    with started(command, **{"stdin": given, "stderr": subprocess.PIPE, **changes}) as process:
        out, err = process.communicate(stdin, timeout=deadline_s)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def end(process: subprocess.Popen[Any]) -> None:
    """Close a child's pipes and wait until it has ended by itself."""
    _close_pipes(process)
    process.wait(DEADLINE_S)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a child, unless it has ended, and whatever it started; close its pipes."""
    kill_group(process.pid)
    process.wait(DEADLINE_S)
    _close_pipes(process)
    if process in _started:
        _started.remove(process)


def kill_group(leader: int) -> None:
    """Kill a group of processes, if some of it is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def kill_all() -> None:
    """Kill every child that a test has left behind."""
    for process in _started:
        kill(process)


def _close_pipes(process: subprocess.Popen[Any]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            # What was meant for a child that is gone can't be flushed.
            with suppress(BrokenPipeError):
                pipe.close()


def pipe_of(process: subprocess.Popen[Any]) -> IO[Any]:
    """The standard output of a child."""
    assert process.stdout is not None
    return process.stdout


def readable(pipe: IO[Any], seconds: float) -> bool:
    """Wait until a pipe has something to read or has ended; False when `seconds` passed without either."""
    return bool(select.select([pipe], [], [], seconds)[0])


def worker_command(name: str, *arguments: object) -> list[str]:
    """The command line of a function of tests/workers.py."""
    return [sys.executable, "-B", "-m", "tests.workers", name, *map(str, arguments)]


def start_worker(name: str, *arguments: object) -> subprocess.Popen[Any]:
    """Start a function of tests/workers.py as a child; it talks over its standard input and output."""
    return start(worker_command(name, *arguments))


def run_worker(name: str, *arguments: object, before: Sequence[str] = ()) -> Any:
    """Run a function of tests/workers.py to its end, and return the JSON that it printed last."""
    done = run([*before, *worker_command(name, *arguments)])
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return json.loads(done.stdout.splitlines()[-1])


def go(*workers: subprocess.Popen[Any]) -> None:
    """Wait until workers are ready, and let them begin at once."""
    for worker in workers:
        assert pipe_of(worker).readline()
    for worker in workers:
        tell(worker, b"go\n")


def tell(process: subprocess.Popen[Any], data: bytes) -> None:
    """Write to a child's standard input at once."""
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def race(workers: Sequence[subprocess.Popen[Any]]) -> list[Any]:
    """Let workers that wait for the word begin at once; what each of them told in the end."""
    go(*workers)
    told = [json.loads(pipe_of(worker).readline()) for worker in workers]
    for worker in workers:
        end(worker)
        assert worker.returncode == 0
    return told


def kill_after(worker: subprocess.Popen[Any], acknowledgements: int) -> list[str]:
    """Kill a writer with SIGKILL once it acknowledged so many appends; every op_id it ever acknowledged."""
    pipe = pipe_of(worker)
    lines = [pipe.readline() for _ in range(acknowledgements)]
    worker.send_signal(signal.SIGKILL)
    lines += pipe.readlines()
    end(worker)
    assert worker.returncode == -signal.SIGKILL
    return [op for line in lines if line.endswith(b"\n") for op in json.loads(line)]


def fork(work: Callable[[], object]) -> int:
    """Fork a child that does `work` and ends, without what this process does at its own end; its process id."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setpgid(0, 0)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the child must end here, whatever it is
            traceback.print_exc()
        finally:
            os._exit(code)
    # Also from this side: whichever of the two is first, it is done before the child may have to be killed.
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(child, child)
    return child


def wait_for_child(pid: int) -> int:
    """Collect a forked child and return its exit code; one that hangs is killed."""
    deadline = time.monotonic() + DEADLINE_S
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_forked_child(work: Callable[[], object]) -> object:
    """Do `work` in a forked child and return what it returned (JSON), so that what it did to itself dies with it."""
    ours, theirs = os.pipe()

    def work_and_tell() -> None:
        os.close(ours)
        os.write(theirs, json.dumps(work()).encode())

    child = fork(work_and_tell)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        data = pipe.read()
    assert wait_for_child(child) == 0
    return json.loads(data)
