"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import muse


@pytest.mark.parametrize(
    "command",
    [("watch", "s", "--interval"), ("sync", "s", "nats://n1", "--once", "--timeout"), ("demo", "--seconds")],
    ids=lambda command: command[0],
)
def test_no_number_of_seconds_is_wrong_usage(repo: Path, command: tuple[str, ...]) -> None:
    """With NaN for an end or an interval, nothing would ever come to pass."""
    done = muse(*command, "nan", "--repo", repo)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'nan' is not a number of seconds" in done.stderr
