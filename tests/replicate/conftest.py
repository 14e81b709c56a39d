"""A server for each test that asks for one, and hosts that record into one session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from muse.core.op_log import OpLog
from tests.replicate import servers


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is only there to spare a server that is down, or one that several hosts fill again."""
    monkeypatch.setattr("muse.replicate.process.worker._LONGEST_PAUSE_SECONDS", 0.3)
    monkeypatch.setattr("muse.replicate.process.worker._REWIND_PAUSE_SECONDS", 0.2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[servers.Server]:
    """A server that runs; a test may kill it and start it again."""
    if reason := servers.why_not():
        pytest.skip(reason)
    with servers.running(tmp_path / "server") as started:
        yield started


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[[str], OpLog]]:
    """Call it with a name: the log of session "s" in a repository of that name, closed at the end."""
    logs: list[OpLog] = []

    def make(name: str) -> OpLog:
        (tmp_path / name).mkdir(exist_ok=True)
        logs.append(OpLog(tmp_path / name, "s"))
        return logs[-1]

    yield make
    for log in logs:
        log.close()
