"""Every error this library raises of its own accord.

All derive from `MuseError` and, if one fits, from the builtin they specialise: `except ValueError` keeps meaning "bad
argument" and `except OSError` "the system said no". Any other `OSError` passes through unchanged.
"""

from __future__ import annotations

from typing import Any


class MuseError(Exception):
    """Root of all errors of Muse."""

    entries: tuple[Any, ...] = ()
    """The entries that were to be written, if `append`, `append_many` or `record` failed when they had been made.

    Whether they are in the log is not known; `log.append_many(error.entries)` appends the very same ones, once.
    """


class InvalidArgumentError(MuseError, ValueError):
    """An argument is not of the type or in the range that the call asks for."""


class InvalidSessionIdError(InvalidArgumentError):
    """The session id can't become a folder name, or its folder leads out of `op_log/`."""


class InvalidEntryError(InvalidArgumentError):
    """An entry or a line is not what the format asks for; nothing was written. The message names the place."""


class LimitExceededError(InvalidEntryError):
    """The entry is valid but larger, deeper or later than the documented limits allow (docs/format.md)."""


class RefusedByGuardError(InvalidEntryError):
    """The guard of the log refuses the entry; nothing was written. For a guard to raise."""


class OpIdConflictError(InvalidEntryError):
    """The log already holds this op_id with other content."""


class UnknownOpError(MuseError, LookupError):
    """The log holds no operation with this op_id."""


class InvalidCutError(InvalidArgumentError):
    """The cut is of another session, or not a cut of this log."""


class CheckpointError(MuseError):
    """Something about `checkpoint.json` stops the call."""


class DamagedCheckpointError(CheckpointError, ValueError):
    """`checkpoint.json` is unreadable, gone, another session's, or does not fit its log.

    Never taken for "no checkpoint": replaying everything would commit operations twice.
    """


class CheckpointBackwardsError(CheckpointError, ValueError):
    """The requested cut lies before the checkpoint that exists."""


class NotCommitterError(CheckpointError):
    """The session is on several hosts, and another replica makes its commits. The message names it."""


class DamagedAcceptanceError(MuseError, ValueError):
    """`accepted.json` can't be read: nothing counts as accepted."""


class LockTimeoutError(MuseError, TimeoutError):
    """Another process held a lock for too long. The message names the file, how long this one waited, and who it is."""


class LogReplacedError(MuseError, RuntimeError):
    """`ops.jsonl` was deleted, replaced or cut short while this handle had it open."""


class AppendError(MuseError, OSError):
    """The system refused or shortened a write; the entries are not acknowledged. `errno` is set."""


class SyncError(AppendError):
    """fsync failed: whether the bytes are durable is unknown, and the handle takes no more appends."""


class ClosedLogError(MuseError, ValueError):
    """The `OpLog` was used after `close()`."""


class HandleInUseError(MuseError, RuntimeError):
    """A thread came in again while it was in the middle of using a handle; nothing was done."""


class DamagedLineError(MuseError, ValueError):
    """A line of the log is not a valid entry. Readers skip such lines; `verify` reports them."""


class ArchiveError(MuseError, ValueError):
    """The file is not a whole archive of a session; nothing was imported."""


class SessionExistsError(InvalidArgumentError):
    """There is a session of this id already, and nothing may overwrite it."""
