"""Servers that are down, cut off or lose their majority, and hosts that are killed: the first lines of the table."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from muse.replicate import ReplicationUnavailableError
from tests import children
from tests.replicate import servers
from tests.replicate.hosts import STREAM, WAIT, Host, assert_equal, fill, replica, scan, sent_op_ids, sync, until
from tests.replicate.servers import Server

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.mark.parametrize("how", ["kill", "stop", "freeze"])
def test_a_server_that_is_down_or_cut_off_stops_nobody(server: Server, host: Host, how: str) -> None:
    """Appends go on; when it is back both end with the same, and nothing was sent twice."""
    a, b = host("a"), host("b")
    fill(a, range(1, 50))
    with replica(a, server) as one, replica(b, server) as two:
        sync(one, two)
        getattr(server, how)()
        fill(a, range(50, 80))
        fill(b, range(80, 99))
        until(lambda: not one.status().is_connected and not two.status().is_connected)
        with pytest.raises(ReplicationUnavailableError):
            one.wait_synced(0.2)
        fill(b, [99])
        server.thaw() if how == "freeze" else server.start()
        sync(one, two)
        assert_equal(a, b)
        assert len(a) == 99
    assert sorted(sent_op_ids(server)) == sorted(scan(a).op_ids)


def test_a_server_that_comes_later_is_found(server: Server, host: Host) -> None:
    """Recording and replicating may begin without it."""
    server.kill()
    a, b = host("a"), host("b")
    with replica(a, server) as one, replica(b, server) as two:
        fill(a, range(1, 9))
        until(lambda: bool(one.status().last_error))
        server.start()
        sync(one, two)
        assert_equal(a, b)


def test_a_replica_killed_anywhere_loses_and_doubles_nothing(server: Server, host: Host, tmp_path: Path) -> None:
    """Killed while it writes and sends, also before its first save point; then it goes on."""
    a, b = host("a"), host("b")
    with replica(b, server) as two:
        for seconds in (0.1, 0.4, 0.9):
            command = [sys.executable, "-m", "tests.replicate.writer", tmp_path / "a", "ada", server.url]
            with children.started(command) as writer:
                assert children.pipe_of(writer).readline().strip() == b"ready"
                time.sleep(seconds)
                writer.send_signal(signal.SIGKILL)
                writer.wait(WAIT)
        with replica(a, server) as one:
            sync(one, two)
            assert_equal(a, b)
    assert sorted(sent_op_ids(server)) == sorted(scan(a).op_ids)


def test_a_cluster_may_lose_one_node_and_then_its_majority(host: Host, tmp_path: Path) -> None:
    """With one node gone all goes on; with two, appends do; when they are back, all have all."""
    if reason := servers.why_not():
        pytest.skip(reason)
    a, b = host("a"), host("b")
    with servers.cluster(tmp_path / "cluster") as nodes, ExitStack() as stack:
        one = stack.enter_context(replica(a, *nodes))
        two = stack.enter_context(replica(b, *nodes))
        fill(a, range(1, 50))
        sync(one, two)
        assert servers.api(nodes[0], f"STREAM.INFO.{STREAM}")["config"]["num_replicas"] == 3
        nodes[0].kill()
        fill(a, range(50, 60))
        fill(b, range(60, 70))
        sync(one, two)
        assert_equal(a, b)
        nodes[1].kill()
        fill(a, range(70, 80))
        fill(b, range(80, 90))
        with pytest.raises(ReplicationUnavailableError):
            one.wait_synced(0.5)
        for node in nodes[:2]:
            node.start()
        sync(one, two)
        assert_equal(a, b)
        assert len(a) == 89
        assert one.status().rewinds == two.status().rewinds == 0
        assert sorted(sent_op_ids(nodes[2])) == sorted(scan(a).op_ids)
