"""What is shown of a session as it grows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from muse.cli.commands.watch.arrivals import Watched
from muse.core.op_log import OpLog
from tests import making


def test_highest_timestamp_is_that_of_the_log(repo: Path) -> None:
    """It stays where late entries arrive, however many and in whatever order, and may be the largest there is."""
    stamps = [100, 3, 2, 99, 101, *range(900, 300, -1), *range(300), 2**53 - 1, 5]
    with OpLog(repo, "s", max_lamport_jump=None) as log:
        with closing(Watched(repo, "s", 0.0)) as watched:
            for number in range(0, len(stamps), 301):
                part = range(number, min(number + 301, len(stamps)))
                log.append_many([making.entry(each + 1, lamport_ts=stamps[each]) for each in part])
                watched.poll(1.0)
                assert watched.view(1.0).max_lamport_ts == max(stamps[: part.stop])
        with closing(Watched(repo, "s", 0.0)) as watched:
            assert watched.view(0.0).max_lamport_ts == 2**53 - 1
