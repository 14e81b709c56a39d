"""git as a child process: its arguments, its environment, what is made of its refusals.

Nothing is guessed from what git prints but the path of a lock that is in the way. A git that is killed leaves nothing
half done but lock files and unreferenced objects, which `git gc` removes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EIO, ENOENT
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from muse.commit.errors import GitError

_OF_ANOTHER_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
)
"""What git sets for the hooks that it runs; a commit made from a hook is not one of that repository."""

_FLUSHED = ("-c", "core.fsync=all", "-c", "core.compression=1", "-c", "fastimport.unpackLimit=1")
"""All is flushed before git says that it is done; as one pack, since loose objects are flushed one by one."""

_MOST_SAID = 1 << 16
_LONGEST_SECONDS = 300
"""How long one call may take: whoever waits for a passphrase or a file system that is gone must not wait for ever."""


class Git:
    """The git program, at work in one repository. Holds no process open."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository

    def run(
        self, *arguments: str, stdin: bytes = b"", keep_open: tuple[int, ...] = (), env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a git command to its end, whatever its exit code.

        Args:
            arguments: the command and its arguments.
            stdin: what it reads.
            keep_open: descriptors that it inherits.
            env: what is changed in its environment.
        """
        with self._started(*arguments, keep_open=keep_open, env=env) as process:
            try:
                out, err = process.communicate(stdin, timeout=_LONGEST_SECONDS)
            except subprocess.TimeoutExpired:
                raise self.failure(f"git {arguments[0]} did not end in {_LONGEST_SECONDS} seconds") from None
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def ask(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """What a git command prints, without the last newline; a `GitError` if it fails."""
        done = self.run(*arguments, stdin=stdin, env=env)
        if done.returncode:
            raise self.failure(f"git {arguments[0]}: {said(done)}")
        return os.fsdecode(done.stdout).removesuffix("\n")

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        """Read objects through one process."""
        # Into a file what it says of each: a pipe that nobody empties would stop it.
        with TemporaryFile() as said, self._started("cat-file", "--batch", stderr=said) as process:
            yield Objects(self, process, said)

    def failure(self, what: str) -> GitError:
        """The error for a git that refused."""
        is_none = "not a git repository" in what
        way_out = "make one there (git init), or name another" if is_none else "mend that and commit again"
        return GitError(EIO, f"{what}: nothing was committed: {way_out}", str(self.repository))

    @contextmanager
    def _started(
        self,
        *arguments: str,
        keep_open: tuple[int, ...] = (),
        env: Mapping[str, str] | None = None,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> Iterator[subprocess.Popen[bytes]]:
        inherited = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
        settings = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", **(env or {})}
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, and names are escaped
                ["git", "-C", os.fspath(self.repository), *_FLUSHED, *arguments],  # noqa: S607 - the user's git
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**inherited, **settings},
                pass_fds=keep_open,
            )
        except FileNotFoundError:
            raise GitError(
                ENOENT, "git is not installed, or not on the PATH: install git 2.30 or later", "git"
            ) from None
        except OSError as error:
            raise GitError(error.errno, f"git can't be started: {error.strerror}", "git") from error
        try:
            yield process
        except BaseException:
            process.kill()
            raise
        finally:
            for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
                with suppress(OSError):
                    pipe.close()
            process.wait()


class Objects:
    """Objects of a repository, asked for by name one after the other."""

    def __init__(self, git: Git, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self._git = git
        self._process = process
        self._said = said
        self._asked = cast(IO[bytes], process.stdin)
        self._answers = cast(IO[bytes], process.stdout)

    def get(self, name: str) -> tuple[str, bytes] | None:
        """The id and the content of an object; None if there is none of this name."""
        with suppress(BrokenPipeError):  # then there is no answer either
            self._asked.write(name.encode() + b"\n")
            self._asked.flush()
        header = self._answers.readline().split()
        if header[1:] == [b"missing"]:
            return None
        if len(header) == 3:
            size = int(header[2])
            content = self._answers.read(size + 1)
            if len(content) == size + 1:
                return header[0].decode(), content[:-1]
        self._process.communicate()
        self._said.seek(0)
        raise self._git.failure(f"git can't read {name}: {_first_lines(self._said.read(_MOST_SAID))}")


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What a git that refused has to say."""
    return _first_lines(done.stderr) or f"it ended with exit code {done.returncode}"


def _first_lines(text: bytes) -> str:
    return "; ".join(line for line in text.decode(errors="replace").splitlines()[:4] if line.strip())
