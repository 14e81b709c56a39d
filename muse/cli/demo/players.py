"""The demo's processes as the main process handles them: start, send commands, receive reports, end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import IO

import muse
from muse.cli.demo import actor, apart
from muse.cli.failures import SystemFailed

_PACKAGE_PARENT = Path(muse.__file__).parents[1]


class Player:
    """One process. It starts at once, and a thread reads its reports."""

    def __init__(self, name: str, script: Path, arguments: Sequence[str | Path], errors: IO[bytes]) -> None:
        """`errors` receives the standard error of the process; the caller closes it."""
        self.name = name
        self.ready = False
        self.acknowledged: int | None = None
        """How many of its entries were acknowledged; None until it is done."""
        # -P keeps the script's own folder out of the import path. The package's parent folder must be on it, because
        # the package may not be installed.
        paths = [str(_PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(  # noqa: S603 - this package's own scripts
            [sys.executable, "-P", script, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        self._reader = Thread(target=self._read_reports, daemon=True)
        self._reader.start()

    def _read_reports(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        for line in self._process.stdout:
            word, _, number = line.strip().partition(" ")
            if word == "ready":
                self.ready = True
            elif word == "done":
                self.acknowledged = int(number)

    def send(self, word: str) -> None:
        """Send a command to the process, if it is still running."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        try:
            self._process.stdin.write(word + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            # The process has ended; `failed` or `acknowledged` tells the result.
            return

    @property
    def failed(self) -> bool:
        """Whether the process ended before its work was done."""
        code = self._process.poll()
        return code is not None and (code != 0 or (not self._reader.is_alive() and self.acknowledged is None))

    def end(self) -> None:
        """Wait for the process to end; kill it first if its work is not done."""
        if self._process.poll() is None and self.acknowledged is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)


def _close(pipe: IO[str]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        # An unsent command was still buffered for a process that has ended.
        return


class Players:
    """All processes of the demo: the actors and the offline actor. A context manager."""

    def __init__(self, folder: Path) -> None:
        """`folder` receives a file with the standard error of the processes."""
        self._errors_path = folder / "errors.txt"
        self._errors = self._errors_path.open("ab")
        self._all: list[Player] = []

    def add_actor(self, name: str, *arguments: str | Path) -> Player:
        """Start a process that writes into the session."""
        return self._add(name, actor.__file__, arguments)

    def add_apart(self, name: str, *arguments: str | Path) -> Player:
        """Start the process of the offline actor, which writes into its own replica."""
        return self._add(name, apart.__file__, arguments)

    def _add(self, name: str, script: str, arguments: Sequence[str | Path]) -> Player:
        player = Player(name, Path(script), arguments, self._errors)
        self._all.append(player)
        return player

    def send(self, word: str) -> None:
        """Send a command to every process."""
        for player in self._all:
            player.send(word)

    @property
    def all_ready(self) -> bool:
        """Whether every process is waiting for the common start."""
        self._check()
        return all(player.ready for player in self._all)

    @property
    def all_done(self) -> bool:
        """Whether every process has done its work."""
        return self.working() == 0

    def working(self) -> int:
        """How many processes have not done their work yet."""
        self._check()
        return sum(player.acknowledged is None for player in self._all)

    def _check(self) -> None:
        for player in self._all:
            if player.failed:
                said = self._errors_path.read_text("utf-8", "backslashreplace").strip()
                # Several may have failed, and the engine may have said more.
                refused = [line for line in said.splitlines() if line.startswith(actor.REFUSED)]
                why = refused[0].removeprefix(actor.REFUSED) if refused else f"\n{said}"
                raise SystemFailed(f"the process of {player.name} failed: {why}")

    def __enter__(self) -> Players:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for player in self._all:
            player.end()
        self._errors.close()
