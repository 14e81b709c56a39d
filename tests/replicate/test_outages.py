"""Servers that are down, cut off or lose their majority, and hosts that are killed: the first lines of the table."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import chain
from pathlib import Path

import pytest

from muse.replicate import ReplicationUnavailableError
from tests import children
from tests.making import entry, op_id
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


def test_the_server_of_the_system_s_packages_will_do_too(host: Host, tmp_path: Path) -> None:
    """A second version: all is exchanged, long lines too, after it was killed and after it was wiped."""
    binary = servers.system_binary()
    if reason := servers.why_not() or ("" if binary else "no nats-server of the system's packages is installed"):
        pytest.skip(reason)
    a, b = host("a"), host("b")
    fill(a, range(1, 1500))
    a.append(entry(2000, domain_op={"op": "insert", "text": "x" * 3_000_000}))
    with servers.running(tmp_path / "server", binary=binary) as server:
        with replica(a, server) as one, replica(b, server) as two:
            sync(one, two)
            server.kill()
            fill(b, [3000])
            server.start()
            sync(one, two)
            assert_equal(a, b)
            assert sorted(sent_op_ids(server)) == sorted(scan(a).op_ids)
            server.wipe()
            fill(a, [3001])
            server.start()
            sync(one, two)
            assert_equal(a, b)
            assert len(b) == 1502
        assert set(sent_op_ids(server)) == set(scan(a).op_ids)


class Proxy:
    """Stands between hosts and a server; what goes to the server over a connection can be held, and let go later."""

    def __init__(self, server: Server) -> None:
        self._server = server.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[tuple[socket.socket, socket.socket]] = []
        self._is_held: set[socket.socket] = set()
        self.held = b""
        self._let_go = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                self._open.append((client, server))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        held = b""
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if source in self._is_held:
                    held += data
                    self.held += data
                else:
                    sink.sendall(data)
        if held:
            self._let_go.wait(WAIT)
            with suppress(OSError):
                sink.sendall(held)

    def hold(self) -> None:
        """Keep from the server what comes over the connections that there are."""
        self._is_held = {client for client, _ in self._open}

    def has_held(self, marker: bytes) -> bool:
        """Whether this is among what was held."""
        return marker in self.held

    def cut(self) -> None:
        """Tell the hosts that these connections have ended; the server does not learn that."""
        for client in self._is_held:
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)

    def let_go(self) -> None:
        """Let the server have what was held."""
        self._let_go.set()

    def close(self) -> None:
        """End all connections."""
        self._let_go.set()
        for each in (self._listener, *chain.from_iterable(self._open)):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_arrives_after_it_was_sent_again_is_not_stored_twice(
    server: Server, host: Host, is_restarted: bool
) -> None:
    """What was on its way when the connection was lost; more was recorded since, and the replica killed, perhaps."""
    a, b = host("a"), host("b")
    with closing(Proxy(server)) as proxy:
        with ExitStack() as stack:
            one = stack.enter_context(replica(a, proxy.url))
            one.wait_synced(WAIT)
            proxy.hold()
            for number in (1, 3):
                fill(a, [number, number + 1])
                marker = op_id(number).encode()
                until(partial(proxy.has_held, marker))
            if is_restarted:
                save_point = a.folder.parents[2] / ".muse" / "replicas" / "t" / "s.json"
                saved = save_point.read_bytes()
                one.stop()
                # As if it had been killed.
                save_point.write_bytes(saved)
                one = stack.enter_context(replica(a, proxy.url))
            fill(a, range(5, 9))
            proxy.cut()
            one.wait_synced(WAIT)
            proxy.let_go()
            with replica(b, server) as two:
                fill(b, [20])
                sync(one, two)
                time.sleep(0.5)
        assert sorted(sent_op_ids(server)) == sorted(scan(a).op_ids)
        assert len(a) == 9
