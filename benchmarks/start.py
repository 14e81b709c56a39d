"""What it takes to start: a fresh process that imports the engine or shows the help."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.compare import Sample, Work, compare, timed, unprepared
from benchmarks.entries import PROJECT
from benchmarks.figure import Figure, figure_of

OURS = "import muse.core.op_log"
THEIRS = "import sqlite3, pydantic, orjson"
_LEAST_ROUNDS = 15


def _rounds(bench: Bench) -> int:
    return max(_LEAST_ROUNDS, bench.many_rounds)


def running(*command: str) -> Work:
    """A process that runs a command to its end; it must exit with 0."""
    return partial(_run, command)


def _run(command: tuple[str, ...]) -> str:
    # Compiled modules are kept, as an installer keeps them; the first round, which makes them, is not measured.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=PROJECT, env=env, check=True, capture_output=True, text=True).stdout  # noqa: S603  # ours


def muse() -> list[str]:
    """The command `muse`: its script where it is installed."""
    script = Path(sys.executable).with_name("muse")
    return [str(script)] if script.exists() else [sys.executable, "-m", "muse"]


def importing(bench: Bench) -> Figure:
    """A process that imports the engine against one that imports what it stands on."""
    compared = compare(
        timed(unprepared(running(sys.executable, "-c", OURS))),
        timed(unprepared(running(sys.executable, "-c", THEIRS))),
        rounds=_rounds(bench),
    )
    return figure_of(compared, f"python -c {OURS!r}", f"python -c {THEIRS!r}", 1.5)


def import_statement(bench: Bench) -> Figure:
    """The import statements alone, without the start of Python before them."""
    compared = compare(_statement(OURS), _statement(THEIRS), rounds=_rounds(bench))
    return figure_of(compared, f"{OURS}, the statement alone", THEIRS)


def _statement(statement: str) -> Sample:
    program = (
        "import sys, time\nstart = time.perf_counter()\n"
        f"{statement}\nsys.stdout.write(str(time.perf_counter() - start))"
    )
    return lambda: float(_run((sys.executable, "-c", program)))


def helping(bench: Bench) -> Figure:
    """The help text against a Python that does nothing."""
    compared = compare(
        timed(unprepared(running(*muse(), "op-log", "--help"))),
        timed(unprepared(running(sys.executable, "-c", "pass"))),
        rounds=_rounds(bench),
    )
    return figure_of(compared, "muse op-log --help", "python -c pass", 12.0)
