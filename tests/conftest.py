"""Fixtures and the Hypothesis profile that every test of the project shares."""

from __future__ import annotations

import compileall
import gc
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# A child that finds no bytecode compiles the engine, half of what it costs to start one, and thousands are started: the
# tests keep it, even where the environment says not to. (This stands before the imports, so that it holds for them.)
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from tests import children, making  # noqa: E402

if TYPE_CHECKING:
    from muse.core.op_log import OpEntry, OpLog

settings.register_profile(
    "muse",
    # Files and SQLite make an example slow or fast as the disk pleases: no deadline, no verdict on speed.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
    # Another seed each time, so that many runs try many; `nox -s properties` tries many in one.
    max_examples=int(os.environ.get("MUSE_TEST_EXAMPLES", "30")),
)
settings.register_profile(
    "quick",
    settings.get_profile("muse"),
    max_examples=12,
)
settings.load_profile("muse")

_STARTS_A_PROCESS = frozenset(
    {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system"}
)
_running: list[str] = []
"""The test at work, if it must not start a process."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis a seed that the header prints, so that any run can be repeated, and children their signals."""
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))
    children.let_children_have_default_signals()
    if not hasattr(config, "workerinput"):
        # Before any child: one with little room would leave a half of it, which Python 3.11 takes for the module.
        for name in ("muse", "tests"):
            compileall.compile_dir(config.rootpath / name, quiet=2)
    sys.addaudithook(_refuse_unmarked_processes)


def _refuse_unmarked_processes(event: str, _arguments: object) -> None:
    """Keep the quick tests quick: what starts a process says so by its marker."""
    if event in _STARTS_A_PROCESS and _running:
        raise AssertionError(f"{_running[0]} starts a process ({event}) and is not marked with pytest.mark.process")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long: if one of them came last, all but one of the workers would wait for it."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What was collected stays to the end: to look through it was most of what garbage collection cost the tests."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Know which test is at work."""
    if not (item.get_closest_marker("process") or item.get_closest_marker("browser")):
        _running.append(item.nodeid)
    try:
        return (yield)
    finally:
        _running.clear()


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed of this run."""
    return f"repeat the random tests with --hypothesis-seed={config.getoption('--hypothesis-seed')}"


@pytest.fixture(autouse=True)
def _no_child_left() -> Iterator[None]:
    """Kill what a test has started and left behind, such as the children of a test that failed."""
    yield
    children.kill_all()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """An empty repository folder."""
    folder = tmp_path / "repo"
    folder.mkdir()
    return folder


@pytest.fixture
def log(repo: Path) -> Iterator[OpLog]:
    """An open log of session "s" in `repo`, closed after the test."""
    from muse.core.op_log import OpLog

    with OpLog(repo, "s") as opened:
        yield opened


@pytest.fixture
def make_entry() -> Callable[..., OpEntry]:
    """The factory of valid entries, for tests that need one or two."""
    return making.entry


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder with the recorded editing traces; the test is skipped where it is absent."""
    if not making.TRACES.is_dir():
        pytest.skip("the recorded traces (../shared/data) are not here")
    return making.TRACES


@pytest.fixture(scope="session")
def strace() -> str:
    """The strace program, where there is one that may trace."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("needs strace")
    tried = [program, "-f", "--seccomp-bpf", "-o", os.devnull, "true"]
    if subprocess.run(tried, check=False, capture_output=True).returncode:
        pytest.skip("strace (5.3 or later) may not trace here")
    return program
