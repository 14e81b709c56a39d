"""Turns an expected failure into one line on standard error and an exit code.

A traceback is printed only for a bug in this program.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from muse.cli.engine import engine
from muse.cli.output.streams import lost_output, prepare_streams
from muse.escaping import escape_for_terminal

FOUND_DAMAGE: Final = 1
WRONG_USAGE: Final = 2
IO_FAILED: Final = 3
INTERRUPTED: Final = 130
TERMINATED: Final = 143

WAY_OUT: Final = "muse op-log help recovery"
"""The command that says what to do about a damaged session."""


class BadDataFound(click.ClickException):
    """Ends the command with a message: the data is damaged or wrong."""

    exit_code = FOUND_DAMAGE


class WrongUsage(click.ClickException):
    """Ends the command with a message: the arguments are wrong, or what they name does not exist."""

    exit_code = WRONG_USAGE


class SystemFailed(click.ClickException):
    """Ends the command with a message: the system refused to read or write."""

    exit_code = IO_FAILED


class Terminated(KeyboardInterrupt):
    """SIGTERM has arrived."""


@contextmanager
def sigterm_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, with all clean-up, and the command with `TERMINATED`."""
    # Who had it ignored, as with nohup, or is not the main thread, keeps what there is.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(_number: int, _frame: object) -> NoReturn:
    raise Terminated


def exit_with(exit_code: int) -> None:
    """End the command with this exit code and no message; do nothing if it is 0."""
    if exit_code:
        click.get_current_context().exit(exit_code)


class ReportingGroup(click.Group):
    """A command group that reports the errors that its commands raise."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line; a success whose output could not be written ends with `IO_FAILED`."""
        prepare_streams()
        try:
            return super().main(*arguments, **options)
        except SystemExit as end:
            lost = lost_output()
            if lost and not end.code:
                _show(SystemFailed(lost))
                sys.exit(IO_FAILED)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command; report an expected failure with its message and exit code."""
        try:
            with engine_log_to(_show_warning):
                return super().invoke(ctx)
        except KeyboardInterrupt as end:
            click.echo("stopped", err=True)
            ctx.exit(TERMINATED if isinstance(end, Terminated) else INTERRUPTED)
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as failure:
            told = _as_click_exception(failure)
            if told is None:
                raise
            _show(told)
            ctx.exit(told.exit_code)


def _show(failure: click.ClickException) -> None:
    """Print the message as click does, escaped, because it may quote names from a log or the command line."""
    text = StringIO()
    failure.show(text)
    click.echo(escape_for_terminal(text.getvalue(), keep="\n"), err=True, nl=False)


def _as_click_exception(failure: Exception) -> click.ClickException | None:
    """The message and exit code for `failure`; None if it is a bug in this program."""
    if isinstance(failure, click.ClickException):
        return failure
    # What is wrong with an entry is wrong with the data, not with the command line.
    if isinstance(failure, engine.InvalidArgumentError) and not isinstance(failure, engine.InvalidEntryError):
        return WrongUsage(str(failure))
    # What is both a MuseError and an OSError is what the system, git, a server or another process refused.
    if isinstance(failure, engine.MuseError) and not isinstance(failure, OSError):
        damage = engine.DamagedCheckpointError | engine.DamagedAcceptanceError | engine.LogReplacedError
        names_way_out = WAY_OUT in str(failure) or not isinstance(failure, damage)
        return BadDataFound(str(failure) if names_way_out else f"{failure} ({WAY_OUT})")
    if isinstance(failure, OSError):
        return SystemFailed(str(failure))
    if isinstance(failure, MemoryError):
        return SystemFailed("not enough memory")
    return _refusal_to_sqlite(failure)


def _refusal_to_sqlite(failure: Exception) -> click.ClickException | None:
    """The message if the system refused SQLite a file, None if `failure` is something else."""
    import sqlite3

    codes = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
    if not isinstance(failure, sqlite3.Error) or getattr(failure, "sqlite_errorcode", 0) & 0xFF not in codes:
        return None
    return SystemFailed(f"SQLite: {failure}: is there room, beside the log and in the temporary folder?")


@contextmanager
def index_named(path: Path) -> Iterator[None]:
    """Let a refusal of the system to write an index name the file that the user knows, not one made on the way."""
    try:
        yield
    except engine.MuseError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        told = _refusal_to_sqlite(error)
        if told is None:
            raise
        raise SystemFailed(f"{path}: {told.message}") from error


class _Receiver(logging.Handler):
    def __init__(self, receive: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.WARNING)
        self._receive = receive

    def emit(self, record: logging.LogRecord) -> None:
        self._receive(record)


@contextmanager
def engine_log_to(receive: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """Give the engine's warnings (an index is rebuilt, or kept in memory) to `receive`, and to nobody else."""
    logger = logging.getLogger("muse")
    before = logger.handlers[:]
    logger.handlers[:] = [_Receiver(receive)]
    try:
        yield
    finally:
        logger.handlers[:] = before


def _show_warning(record: logging.LogRecord) -> None:
    # Not that damaged lines are passed over: the commands say so themselves, with the command that tells more.
    if record.name != "muse.core.paging":
        text = escape_for_terminal(record.getMessage(), keep="\n")
        click.echo(f"{record.levelname.lower()}: {text}", err=True)
