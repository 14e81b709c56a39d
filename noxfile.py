"""The checks of the project: plain `nox` runs the quick tests on this Python, `nox --list` shows the rest."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["quick"]

DEV = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "dev")
SITE = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "site")
BENCH = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "bench")
NOTEBOOKS = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "notebooks")
INTEGRATIONS = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "integrations")
MCP = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "mcp")
PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session
def quick(session: nox.Session) -> None:
    """Run the tests that start no process, open no browser and are not slow, on this Python: under a minute."""
    session.install("-e", ".", *DEV)
    chosen = ("-m", "not (process or browser or slow)", "--hypothesis-profile=quick")
    # They sync tens of thousands of times, and each waits for the disk: in memory, where there is room, they don't.
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30
    with tempfile.TemporaryDirectory(prefix="muse-quick-", dir=memory if has_room else None) as folder:
        session.run("python", "-m", "pytest", "-q", *chosen, *session.posargs, env={"TMPDIR": folder})


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run every test, on each supported Python that is present."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the rules and the formatting with ruff."""
    session.install(*[requirement for requirement in DEV if requirement.startswith("ruff")])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check every annotation with mypy --strict, the tests and this file included."""
    session.install("-e", ".", *DEV, *SITE)
    session.run("mypy", "--strict")


@nox.session
def docs(session: nox.Session) -> None:
    """Check that the documents agree with the code: names, commands, links and worked examples."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "pytest", "-q", "tests/docs", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """Build the documents as a site, site/index.html, and check that nothing is missing in it."""
    session.install("-e", ".", *DEV, *SITE)
    session.run("python", "-m", "mkdocs", "build", env={"NO_MKDOCS_2_WARNING": "1"})
    session.run("python", "-m", "pytest", "-q", "-n0", "tests/docs/test_site.py", *session.posargs)


@nox.session
def pictures(session: nox.Session) -> None:
    """Make the pictures of docs/pictures anew, from the real commands."""
    session.install("-e", ".")
    session.run("python", "-m", "tools.pictures", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel, install it in a clean environment outside the checkout and use it there."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "pytest", "-q", "tests/test_wheel.py", *session.posargs)


@nox.session
def notebooks(session: nox.Session) -> None:
    """Hand entries over to pandas and Polars, and look at what they make of them."""
    session.install("-e", ".", *DEV, *NOTEBOOKS)
    session.run("python", "-m", "pytest", "-q", "-n0", "tests/entry/test_row.py", *session.posargs)


@nox.session
def integrations(session: nox.Session) -> None:
    """Record what agents of LangGraph and of the OpenAI Agents SDK do, with the real packages."""
    session.install("-e", ".", *DEV, *INTEGRATIONS)
    session.run("python", "-m", "pytest", "-q", "-n0", "tests/test_integrations.py", *session.posargs)


@nox.session
def mcp(session: nox.Session) -> None:
    """Serve sessions to the client of the official SDK of the Model Context Protocol."""
    session.install("-e", ".", *DEV, *MCP)
    session.run("python", "-m", "pytest", "-q", "-n0", "tests/mcp", "tests/docs/test_pages_run.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure every figure against its goal; `nox -s bench -- --help` lists the options."""
    session.install("-e", ".", *BENCH)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session
def scale(session: nox.Session) -> None:
    """Measure a very large session and repository, beside a hundredth of them."""
    session.install("-e", ".", *BENCH)
    session.run("python", "-m", "benchmarks.scale", *session.posargs)


@nox.session
def traces(session: nox.Session) -> None:
    """Hold 312,849 recorded edits against a plain scan, from ../shared/data; the default suite takes 68,071 of them."""
    session.install("-e", ".", *DEV)
    args = ("python", "-m", "pytest", "-q", "-n0", "tests/test_traces.py", *session.posargs)
    session.run(*args, env={"MUSE_TEST_TRACES": "whole"})


@nox.session
def properties(session: nox.Session) -> None:
    """Try many random examples of each property, a state machine's too: `MUSE_TEST_EXAMPLES=N nox -s properties`."""
    session.install("-e", ".", *DEV)
    env = {"MUSE_TEST_EXAMPLES": os.environ.get("MUSE_TEST_EXAMPLES", "1000")}
    session.run("python", "-m", "pytest", "-q", "-m", "not (process or browser)", *session.posargs, env=env)


@nox.session
def torture(session: nox.Session) -> None:
    """Kill processes at work on one session, round after round: `nox -s torture -- --rounds 1000 [--seed S]`."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "tests.torture", *session.posargs)


@nox.session
def commits(session: nox.Session) -> None:
    """Kill committers and writers, and count in how many commits each operation is: `nox -s commits -- --seconds N`."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "tests.commit.kill_loop", *session.posargs)


@nox.session
def replicas(session: nox.Session) -> None:
    """Harm hosts and servers that replicate a session: `nox -s replicas -- --rounds N [--seed S]`."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "tests.replicate.torture", *session.posargs)


@nox.session
def sweeps(session: nox.Session) -> None:
    """Cut every byte, flip every bit, overwrite every page, kill at every call: `nox -s sweeps [-- --sweep NAME]`."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "tests.reliability.sweeps", "--full", *session.posargs)
    every_call = {"MUSE_TEST_EVERY_CALL": "1"}
    session.run("pytest", "-q", "-n0", "tests/reliability/test_redactions_cut_off.py", env=every_call)


@nox.session
def power_loss(session: nox.Session) -> None:
    """Lose power right after acknowledgements, as root on Linux: `nox -s power_loss -- --rounds N --entries M`."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "tests.reliability.power_loss", *session.posargs)


@nox.session
def interrupts(session: nox.Session) -> None:
    """Interrupt every line of every operation, 10,000 signals and forks: `MUSE_TEST_ROUNDS=N nox -s interrupts`."""
    session.install("-e", ".", *DEV)
    files = ("tests/reliability/test_interrupts.py", "tests/reliability/test_one_owner.py")
    env = {"MUSE_TEST_EVERY_LINE": "1", "MUSE_TEST_ROUNDS": os.environ.get("MUSE_TEST_ROUNDS", "10000")}
    session.run("python", "-m", "pytest", *files, *session.posargs, env=env)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the line decoder and the checkpoint reader: `nox -s fuzz -- --inputs N --seed S`."""
    session.install("-e", ".", *DEV)
    session.run("python", "-m", "tests.reliability.fuzz", *(session.posargs or ("--inputs", "1000000")))
