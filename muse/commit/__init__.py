"""Each operation of a session in exactly one commit: a protocol, a target for git, a test suite for other targets.

    from muse.commit import GitTarget, commit
    from muse.core.op_log import OpLog

    with OpLog(".", "friday") as log:
        made = commit(log, GitTarget("."))      # None if nothing is pending

The rooms, from the protocol down:

    protocol    `commit`: what is pending becomes the target's next commit; the checkpoint follows
    history     all commits of a session: held against its log, and a log made from them
    rebase      a log made anew on another host, so that commits go on there
    changes     which committed lines a log no longer has as they were, and whether it is the log at all
    git_target  commits in a git repository, below refs/muse/
    git_tree    what such a commit holds, as a stream for git fast-import
    git         git as a child process
    batch       what a commit is made from and what a target remembers; what a target has to do
    testing     the tests that every target has to pass
    errors      every error

A commit begins where its parent ended, and a target takes at most one commit after each parent. docs/commit-protocol.md
says why this is enough.
"""

from muse.commit.batch import CommitBatch, CommitHistory, CommitTarget, Committed
from muse.commit.errors import CommitDivergedError, CommitError, CommitMovedError, GitError
from muse.commit.git_target import GitTarget
from muse.commit.history import CommitReport, restore_session, verify_commits
from muse.commit.protocol import commit

__all__ = [
    "CommitBatch",
    "CommitDivergedError",
    "CommitError",
    "CommitHistory",
    "CommitMovedError",
    "CommitReport",
    "CommitTarget",
    "Committed",
    "GitError",
    "GitTarget",
    "commit",
    "restore_session",
    "verify_commits",
]
