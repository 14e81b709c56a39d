"""The standard streams of a command, any of which may be closed, full, or a pipe whose reader has gone.

What is printed never interrupts the work of a command. A write that fails is remembered, and all further output is
dropped. In the end `lost_output` tells whether output was lost that somebody could have read.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, TextIO, cast

import click

if TYPE_CHECKING:
    from typing_extensions import Buffer

_NOBODY_READS = (errno.EPIPE, errno.EBADF, errno.ECONNRESET)


class _Output(io.BufferedWriter):
    """Standard output or error."""

    failure: OSError | None = None
    """The first error of a write, since which everything is dropped."""
    must_arrive = False
    """Whether a failed write raises its error."""

    def write(self, data: Buffer, /) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        self._raise_if_lost()
        return memoryview(data).nbytes

    def flush(self) -> None:
        if self.failure is None:
            try:
                super().flush()
            except OSError as error:
                self.failure = error
        self._raise_if_lost()

    def _raise_if_lost(self) -> None:
        if self.failure and self.must_arrive:
            raise OSError(self.failure.errno, self.failure.strerror, "standard output")


class _ClosedInput(io.RawIOBase):
    """Standard input that was closed before this program started."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Buffer, /) -> int:
        raise OSError(errno.EBADF, "closed", "standard input")


def prepare_streams() -> None:
    """Replace the standard streams by ones that can always be used, whatever was done to them.

    Characters that the encoding of a stream lacks are printed as escapes.
    """
    # Otherwise a log would be opened as number 1 or 2, and whatever is printed would go into it.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if cast("TextIO | None", sys.stdin) is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(_ClosedInput()))
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        # Not if a caller within Python, such as a test, has put something else in its place.
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _prepared(stream, number))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _prepared(stream: TextIO | None, number: int) -> TextIO:
    output = _Output(io.FileIO(number, "w", closefd=False))
    if stream is None:
        output.failure = OSError(errno.EBADF, "closed")
    return io.TextIOWrapper(
        output,
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=number == 2 or output.isatty(),
    )


def _standard_output() -> _Output | None:
    """Standard output, all that was printed written to it; None for what a caller put there."""
    sys.stdout.flush()
    output = getattr(sys.stdout, "buffer", None)
    return output if isinstance(output, _Output) else None


def lost_output() -> str | None:
    """Why standard output could not be written; None if it could, or if nobody would have read it."""
    output = _standard_output()
    if output is None or output.failure is None or output.failure.errno in _NOBODY_READS:
        return None
    return f"standard output: {output.failure.strerror}"


def end_if_output_is_lost() -> None:
    """End the command if nothing more can be printed; for commands that may print without end."""
    output = _standard_output()
    if output and (output.failure or _reader_is_gone(output)):
        raise click.exceptions.Exit(0)


def _reader_is_gone(output: _Output) -> bool:
    """Whether the reader of a pipe has gone, which shows even if nothing is written."""
    poll = select.poll()
    poll.register(output, 0)
    return bool(poll.poll(0))


@contextmanager
def output_that_must_arrive() -> Iterator[IO[bytes]]:
    """Standard output for bytes of which none may be lost: here a write that fails raises an `OSError`."""
    output = _standard_output()
    if output:
        output.must_arrive = True
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    finally:
        if output:
            output.must_arrive = False
