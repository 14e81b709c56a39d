"""The half of a round that sends: how much is on its way at most."""

from __future__ import annotations

import pytest

from muse.replicate.exchange.sender import Sender
from muse.replicate.wire.messages import Message
from tests.making import entry
from tests.replicate.hosts import WAIT, Host, assert_equal, replica
from tests.replicate.servers import Server

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_not_more_is_on_its_way_than_memory_should_hold(
    server: Server, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the log is: what has not come back lies below the limit, but for one page and one long line."""
    limit, page = 1 << 20, 1 << 20
    monkeypatch.setattr("muse.replicate.exchange.sender._MAX_UNCONFIRMED_BYTES", limit)
    publish, on_their_way = Sender.publish, []

    async def noting(sender: Sender, message: Message) -> None:
        on_their_way.append(sum(len(own.payload) for own in sender._own.values()))
        await publish(sender, message)

    monkeypatch.setattr(Sender, "publish", noting)
    a, b = host("a"), host("b")
    # One of them goes in parts, and takes more than the limit by itself.
    sizes = [120_000] * 60 + [3_000_000] + [120_000] * 20
    a.append_many([entry(number, domain_op={"op": "insert", "text": "x" * size}) for number, size in enumerate(sizes)])
    with replica(a, server) as one, replica(b, server) as two:
        one.wait_synced(WAIT)
        two.wait_synced(WAIT)
    assert max(on_their_way) <= limit + page + max(sizes[:60])
    assert_equal(a, b)
