"""Commits in a git repository: one ref for each session, moved by git's own compare-and-swap.

`git fast-import` writes the objects and then moves the ref, if the new commit is a child of what is there at that
moment. It takes git's lock of the ref for that, as every git does; so another git never loses an update.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from muse.commit.batch import CommitBatch, Committed
from muse.commit.errors import CommitDivergedError, CommitMovedError
from muse.commit.git import Git, Objects, said
from muse.commit.git_tree import LINES_NAME, RECORD_NAME, commit_stream, message_of, ref_of

_NOBODY = "Muse <muse@localhost>"
"""The author where git knows none."""

_IN_THE_WAY = re.compile(rb"Unable to create '(.+?\.lock)': File exists|cannot create keep file: File exists")
"""A lock, or a pack with the very same content that another process is making."""
_NEW_VALUE = re.compile(rb"[0-9a-f]{40,64}\n")
"""What stands in the lock of a ref that is being moved."""
_EMPTY_IS_OLDER = 30
"""How many times longer an empty lock is left alone: that of a `git gc`, which is not a committer, is empty too."""
_CRASH_REPORT = re.compile(rb"fast_import_crash_\d+")
_LOCK_NAME = "muse-committers"


class GitTarget:
    """The commits of sessions in a git repository, below `refs/muse/`. For `commit`; threads may share it.

    Branches, index and working tree are not touched. The author is whom git is configured to name, each actor a
    co-author; commits are signed if `commit.gpgSign` is on. To share them: `git push origin 'refs/muse/*'`.
    """

    def __init__(self, repository: str | os.PathLike[str], *, stale_lock_seconds: float = 10.0) -> None:
        """Nothing is looked at before the first use.

        Args:
            repository: a folder in the repository's working tree, or a bare repository.
            stale_lock_seconds: how old a lock of a session's ref must be to be removed, if no committer is alive;
                30 times as old if it is empty.
        """
        self._git = Git(Path(repository).absolute())
        self._stale_lock_seconds = stale_lock_seconds
        self._folder: Path | None = None
        self._people: tuple[str, str] | None = None
        self._signs: bool | None = None

    def __repr__(self) -> str:
        return f"GitTarget({os.fspath(self._git.repository)!r})"

    def latest(self, session_id: str) -> Committed | None:
        """The newest commit of a session; None if it has none."""
        with self._git.objects() as objects:
            found = objects.get(ref_of(session_id))
            return None if found is None else _read(objects, found[0], session_id)

    def commits(self, session_id: str) -> Sequence[Committed]:
        """All commits of a session, the first one first."""
        newest = self.latest(session_id)
        if newest is None:
            return []
        ids = self._git.ask("rev-list", "--first-parent", "--reverse", newest.commit_id).split()
        with self._git.objects() as objects:
            return [_read(objects, commit_id, session_id) for commit_id in ids]

    def lines(self, commits: Iterable[Committed]) -> Iterator[bytes]:
        """The lines of each of some commits, as they were in the log."""
        with self._git.objects() as objects:
            for each in commits:
                found = objects.get(f"{each.commit_id}:{LINES_NAME}")
                if found is None:
                    raise CommitDivergedError(f"commit {each.commit_id} has no {LINES_NAME}: it was not made by Muse")
                yield found[1]

    def commit(self, batch: CommitBatch) -> Committed:
        """Make the commit and move the session's ref to it, if `batch.parent` is where it is.

        Raises:
            CommitMovedError: it is elsewhere by now; the ref was not moved.
            GitError: git has refused; the ref was not moved.
        """
        ref = ref_of(batch.session_id)
        make = self._make_signed if self._is_signing() else self._make
        deadline = time.monotonic() + self._stale_lock_seconds + 5
        while True:
            with self._among_committers() as fd:
                commit_id, problem, output = make(ref, batch, fd)
            if not problem:
                return batch.committed_as(commit_id)
            newest = self.latest(batch.session_id)
            if newest is not None and newest.commit_id == commit_id:
                return newest
            if newest != batch.parent:
                raise CommitMovedError(f"{self!r}: session {batch.session_id!r} has another newest commit by now")
            in_the_way = _IN_THE_WAY.search(output)
            if in_the_way is None or time.monotonic() > deadline:
                raise self._git.failure(f"git made no commit: {problem}")
            self._wait_for(in_the_way[1], ref, deadline)

    def _make(self, ref: str, batch: CommitBatch, fd: int | None) -> tuple[str, str, bytes]:
        """Make a commit: its id, what went wrong ("" if nothing did), all that git said."""
        author, committer = self._authors()
        stream = commit_stream(ref, batch, author, committer)
        return self._import(stream, fd)

    def _import(self, stream: bytes, fd: int | None) -> tuple[str, str, bytes]:
        arguments = ("fast-import", "--quiet", "--done", "--date-format=raw")
        done = self._git.run(*arguments, stdin=stream + b"done\n", keep_open=() if fd is None else (fd,))
        if report := _CRASH_REPORT.search(done.stderr):
            # All that it says stands in the error.
            with suppress(OSError):
                (self._common_folder() / report[0].decode()).unlink()
        return done.stdout.decode().strip(), said(done) if done.returncode else "", done.stderr

    def _make_signed(self, ref: str, batch: CommitBatch, fd: int | None) -> tuple[str, str, bytes]:
        """The same, signed: fast-import can't, so it only makes the tree, on a ref that it forgets again."""
        author, committer = self._authors()
        aside = f"{ref}%2Esigning"
        stream = commit_stream(aside, batch, author, committer)
        stream += f"reset {aside}\nfrom {'0' * 40}\n\n".encode()
        unsigned, problem, output = self._import(stream, fd)
        if problem:
            return "", problem, output
        parent = batch.parent.commit_id if batch.parent else ""
        arguments = ("-S", *(("-p", parent) if parent else ()), f"{unsigned}^{{tree}}")
        commit_id = self._git.ask(
            "commit-tree", *arguments, stdin=message_of(batch), env=_as_environment(author, committer)
        )
        moved = self._git.run(
            "update-ref", ref, commit_id, parent or "0" * len(commit_id), keep_open=() if fd is None else (fd,)
        )
        return commit_id, said(moved) if moved.returncode else "", moved.stderr

    def _authors(self) -> tuple[str, str]:
        """Author and committer with this moment's time, as in a commit."""
        if self._people is None:
            found = [self._git.run("var", name) for name in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT")]
            self._people = (_person(found[0].stdout), _person(found[1].stdout))
        author, committer = self._people
        now = f"{int(time.time())} {time.strftime('%z')}"
        return f"{author} {now}", f"{committer} {now}"

    def _is_signing(self) -> bool:
        if self._signs is None:
            self._signs = self._git.run("config", "--type=bool", "commit.gpgSign").stdout.strip() == b"true"
        return self._signs

    # Locks that a git has left that was killed.

    def _common_folder(self) -> Path:
        if self._folder is None:
            self._folder = self._git.repository / self._git.ask("rev-parse", "--git-common-dir")
        return self._folder

    @contextmanager
    def _among_committers(self) -> Iterator[int | None]:
        """Be known as a committer until the block has ended, and every git that was started in it.

        Gives a descriptor that the git has to inherit. Not needed for anything but to know whose lock is left behind,
        so nobody waits for it.
        """
        fd = self._open_lock()
        if fd is None:
            yield None
            return
        try:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield fd
        finally:
            os.close(fd)

    def _open_lock(self) -> int | None:
        with suppress(OSError):
            # To read only: another user's file can be locked as well.
            flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            return os.open(self._common_folder() / _LOCK_NAME, flags, 0o666)
        return None

    def _wait_for(self, lock: bytes | None, ref: str, deadline: float) -> None:
        """Wait until a lock is gone, and remove it if it is the ref's own and was left behind.

        Not among the committers, and without trying again: whoever wants to remove it must find nobody at work.
        """
        path = Path(os.fsdecode(lock or b""))
        while time.monotonic() < deadline:
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - no secret
            is_of_ref = path.as_posix().endswith(f"/{ref}.lock")
            if not lock or not path.exists() or (is_of_ref and self._remove_if_stale(path)):
                return

    def _remove_if_stale(self, path: Path) -> bool:
        """Remove the lock of a ref if the git that made it was killed: it is old, and no committer is alive."""
        fd = self._open_lock()
        if fd is None:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = path.read_bytes()
            must_be_old = self._stale_lock_seconds * (1 if content else _EMPTY_IS_OLDER)
            is_old = time.time() - path.lstat().st_mtime >= must_be_old
            if not is_old or not (content == b"" or _NEW_VALUE.fullmatch(content)):
                return False
            path.unlink()
        except OSError:  # somebody is at work, or has removed it
            return False
        finally:
            os.close(fd)
        return True


def _read(objects: Objects, commit_id: str, session_id: str) -> Committed:
    found = objects.get(f"{commit_id}:{RECORD_NAME}")
    try:
        record = orjson.loads(found[1]) if found else None
    except orjson.JSONDecodeError:
        record = None
    committed = Committed.from_record(commit_id, record)
    if committed.session_id != session_id:
        raise CommitDivergedError(f"commit {commit_id} is of session {committed.session_id!r}, not {session_id!r}")
    return committed


def _person(ident: bytes) -> str:
    """Name and address of what `git var` prints, without the time."""
    return os.fsdecode(ident).rpartition(">")[0] + ">" if b">" in ident else _NOBODY


def _as_environment(author: str, committer: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, person in (("AUTHOR", author), ("COMMITTER", committer)):
        name, _, rest = person.partition(" <")
        address, _, date = rest.partition("> ")
        found |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address, f"GIT_{role}_DATE": f"@{date}"}
    return found
