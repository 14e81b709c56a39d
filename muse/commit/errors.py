"""The errors of commits; all derive from `MuseError`. After each of them `commit` may be called again."""

from __future__ import annotations

from muse.core.op_log import MuseError


class CommitError(MuseError):
    """No commit was made, or it is not known whether; to call `commit` again is right in both cases."""


class CommitMovedError(CommitError):
    """A target refuses a batch: its newest commit is not, or not any more, the parent of the batch."""


class CommitDivergedError(CommitError, ValueError):
    """What the target has committed is not the beginning of this log, so that nothing can follow it.

    It is of another log, of a replica with another order, or the target has lost commits. Nothing was changed.
    """


class GitError(CommitError, OSError):
    """git is missing, or has refused. The message says what it said and what can be done; no commit was made by it."""
