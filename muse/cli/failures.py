"""Turns an expected failure into one line on standard error and an exit code.

A traceback is printed only for a bug in this program.
"""

# ruff: noqa: PLC0415 - the engine is imported only when used, so that --help is fast

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO, TextIOWrapper
from typing import Any, Final

import click

from muse.escaping import escape_for_terminal

FOUND_DAMAGE: Final = 1
WRONG_USAGE: Final = 2
IO_FAILED: Final = 3
INTERRUPTED: Final = 130


class BadDataFound(click.ClickException):
    """Ends the command with a message: the data is damaged or wrong."""

    exit_code = FOUND_DAMAGE


class WrongUsage(click.ClickException):
    """Ends the command with a message: the arguments are wrong, or what they name does not exist."""

    exit_code = WRONG_USAGE


class SystemFailed(click.ClickException):
    """Ends the command with a message: the system refused to read or write."""

    exit_code = IO_FAILED


def exit_with(exit_code: int) -> None:
    """End the command with this exit code and no message; do nothing if it is 0."""
    if exit_code:
        click.get_current_context().exit(exit_code)


class ReportingGroup(click.Group):
    """A command group that reports the errors that its commands raise."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; report an expected failure with its message and exit code."""
        _never_fail_to_print()
        try:
            with _engine_log_shown():
                return _flushed(lambda: super(ReportingGroup, self).invoke(ctx))
        except BrokenPipeError:
            # The reader has closed the pipe, as in `muse … | head`.
            _let_the_rest_go()
            ctx.exit(0)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(INTERRUPTED)
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as failure:
            told = _as_click_exception(failure)
            if told is None:
                raise
            _show(told)
            ctx.exit(told.exit_code)


def _flushed(work: Callable[[], Any]) -> Any:
    """Do the work and flush standard output, so that a closed pipe raises here and is handled by the caller."""
    try:
        return work()
    finally:
        sys.stdout.flush()


def _show(failure: click.ClickException) -> None:
    """Print the message as click does, escaped, because it may quote names from a log or the command line."""
    text = StringIO()
    failure.show(text)
    click.echo(escape_for_terminal(text.getvalue(), keep="\n"), err=True, nl=False)


def _as_click_exception(failure: Exception) -> click.ClickException | None:
    """The message and exit code for `failure`; None if it is a bug in this program."""
    if isinstance(failure, click.ClickException):
        return failure
    from muse.core.op_log import AppendError, InvalidSessionIdError, MuseError

    if isinstance(failure, InvalidSessionIdError):
        return WrongUsage(str(failure))
    # AppendError is both a MuseError and an OSError; as an OSError it gets exit code 3.
    if isinstance(failure, MuseError) and not isinstance(failure, AppendError):
        return BadDataFound(str(failure))
    if isinstance(failure, OSError):
        return SystemFailed(str(failure))
    return None


def _never_fail_to_print() -> None:
    """Print characters that the output's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_the_rest_go() -> None:
    """Redirect standard output to the null device, so that flushing the rest of the buffer can't fail."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


class _OnStandardError(logging.Handler):
    """Prints the engine's warnings, escaped, because they may name sessions and paths."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.levelname.lower()}: {escape_for_terminal(record.getMessage(), keep=chr(10))}", err=True)


@contextmanager
def _engine_log_shown() -> Iterator[None]:
    logger = logging.getLogger("muse")
    handler = _OnStandardError(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
