"""Worker processes: each applies one function to the items that it is sent, and sends back the results.

A worker is this module started by itself. It depends on no state of the process that starts it: no fork takes open
files along, and a program needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_ITEMS_AHEAD = 2
"""How many items a worker is sent before it has given back the first: it need not wait, and memory stays bounded."""


def map_in_workers(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results for some items, in their order.

    Args:
        function: of a module, or a `partial` of one; it and the items have to be few bytes when they are pickled.
        items: taken one after the other, as the results are.
        workers: how many processes; they end with the iterator.

    Raises:
        ChildProcessError: a worker died.
        OSError: a worker could not be started.
    """
    with ExitStack() as stack:
        started = [_start(function, stack) for _ in range(workers)]
        waiting: deque[subprocess.Popen[bytes]] = deque()
        for number, item in enumerate(items):
            worker = started[number % workers]
            _send(worker, item)
            waiting.append(worker)
            if len(waiting) == _ITEMS_AHEAD * workers:
                yield _received(waiting.popleft())
        while waiting:
            yield _received(waiting.popleft())


def _start(function: object, stack: ExitStack) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from muse.core.index.workers import work; work()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    worker = stack.enter_context(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603 - ours
    )
    stack.callback(worker.kill)
    _send(worker, function)
    return worker


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("a worker is started with pipes")
    return stream


def _send(worker: subprocess.Popen[bytes], value: object) -> None:
    try:
        # Few bytes, which a pipe takes at once; through the buffer of the pipe they would be written again on closing.
        os.write(_pipe(worker.stdin).fileno(), pickle.dumps(value))
    except BrokenPipeError:
        raise _death_of(worker) from None


def _received(worker: subprocess.Popen[bytes]) -> Any:
    try:
        return pickle.load(_pipe(worker.stdout))  # noqa: S301 - a process started here
    except (EOFError, pickle.UnpicklingError):
        raise _death_of(worker) from None


def _death_of(worker: subprocess.Popen[bytes]) -> ChildProcessError:
    worker.kill()
    return ChildProcessError(f"a worker of the rebuild died, exit status {worker.wait()}")


def work() -> None:
    """Apply the function that comes first over standard input to the items that come then, until it ends."""
    received, sent = sys.stdin.buffer, sys.stdout.buffer
    function = pickle.load(received)  # noqa: S301 - the process that started this one
    while True:
        try:
            item = pickle.load(received)  # noqa: S301 - the process that started this one
        except EOFError:
            return
        pickle.dump(function(item), sent, protocol=pickle.HIGHEST_PROTOCOL)
        sent.flush()
