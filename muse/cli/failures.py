"""What a failure becomes: one line on standard error and an exit code, never a traceback.

A traceback is left for mistakes of this program itself.
"""

# ruff: noqa: PLC0415 - the engine is imported when it is needed, so that a help text comes at once

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
    """Ends the command with a message: what was asked for makes no sense here."""

    exit_code = WRONG_USAGE


class SystemFailed(click.ClickException):
    """Ends the command with a message: the system refused to read or write."""

    exit_code = IO_FAILED


def exit_with(exit_code: int) -> None:
    """End the command quietly with this exit code, unless it is 0."""
    if exit_code:
        click.get_current_context().exit(exit_code)


class ReportingGroup(click.Group):
    """A group whose commands may let the errors of the engine and of the system through."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command and give every expected failure its message and exit code."""
        _never_fail_to_print()
        try:
            with _engine_log_shown():
                return _flushed(lambda: super(ReportingGroup, self).invoke(ctx))
        except BrokenPipeError:
            # The reader has what it wanted, as in `muse … | head`.
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
    """Do the work and flush what it printed, here, where a reader that went away is expected."""
    try:
        return work()
    finally:
        sys.stdout.flush()


def _show(failure: click.ClickException) -> None:
    """Print the message as click does; it may quote names from a log or from the command line."""
    text = StringIO()
    failure.show(text)
    click.echo(escape_for_terminal(text.getvalue(), keep="\n"), err=True, nl=False)


def _as_click_exception(failure: Exception) -> click.ClickException | None:
    """What to tell the user about `failure`; None when it is a mistake of this program."""
    if isinstance(failure, click.ClickException):
        return failure
    from muse.core.op_log import AppendError, InvalidSessionIdError, MuseError

    if isinstance(failure, InvalidSessionIdError):
        return WrongUsage(str(failure))
    # AppendError is both; the system's refusal says more than the engine's name for it.
    if isinstance(failure, MuseError) and not isinstance(failure, AppendError):
        return BadDataFound(str(failure))
    if isinstance(failure, OSError):
        return SystemFailed(str(failure))
    return None


def _never_fail_to_print() -> None:
    """Let letters that the terminal's encoding lacks be shown as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_the_rest_go() -> None:
    """Point standard output at nothing, so that what is still buffered fails nowhere."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


class _OnStandardError(logging.Handler):
    """Shows what the engine logs: it may name sessions and paths, which are escaped."""

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
