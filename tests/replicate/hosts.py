"""What the tests of replication do with hosts: start, wait, compare with a plain scan."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from muse.core.op_log import OpLog
from muse.replicate import Replica, Settings
from muse.replicate.process.worker import Worker
from tests import plain_scan
from tests.making import entries
from tests.plain_scan import exact_list
from tests.replicate import servers
from tests.replicate.servers import Server

SPACE = "t"
STREAM = "MUSE_t"
WAIT = 60.0
"""How long anything may take on a busy machine."""

Host = Callable[[str], OpLog]


def replica(log: OpLog, *where: Server | str, space: str = SPACE) -> Worker:
    """A replica of a log's session, not started; it works in this process, which is quicker than in one of its own."""
    urls = tuple(each if isinstance(each, str) else each.url for each in where)
    return Worker(log.folder.parents[2], log.session_id, Settings(urls, space=space))


def scan(log: OpLog) -> plain_scan.PlainScan:
    """The log read plainly."""
    return plain_scan.scan_file(log.path)


def assert_equal(*logs: OpLog) -> None:
    """All hold the same set, in the same total order, each operation once, with the same deltas."""
    found = [scan(log) for log in logs]
    ordered = [exact_list(plain_scan.total_order(each.entries)) for each in found]
    assert all(each == ordered[0] for each in ordered)
    assert not any(each.duplicates or each.conflicts for each in found)
    for domain in ("music", "code"):
        deltas = [log.to_structured_delta(domain) for log in logs]
        assert all(delta == deltas[0] for delta in deltas)


def sync(*replicas: Worker | Replica) -> None:
    """Wait until all have all: what the last one sends, the first one has to see too."""
    for each in (*replicas, *replicas):
        each.wait_synced(WAIT)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something, but not for ever."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def sent_op_ids(server: Server) -> list[str]:
    """The op_ids of all lines that the stream holds, repeated ones too; parts of a long line are put together."""
    whole: list[bytes] = []
    parts: dict[str, dict[str, bytes]] = {}
    for _, _, headers, payload in servers.messages(server, STREAM):
        if part := headers.get("Muse-Part"):
            pieces = parts.setdefault(headers["Muse-Group"], {})
            pieces[part] = payload
            if len(pieces) == int(part.partition("/")[2]):
                whole.append(
                    b"".join(pieces[name] for name in sorted(pieces, key=lambda name: int(name.split("/")[0])))
                )
                del parts[headers["Muse-Group"]]
        else:
            whole += payload.splitlines()
    return [json.loads(each)["op_id"] for each in whole]


def publish(server: Server, payload: bytes, subject: str = "muse.t.ops.s", **headers: str) -> None:
    """Put a message into the stream as a program that knows nothing of the rules would."""
    import asyncio

    import nats

    async def send() -> None:
        client = await nats.connect(server.url)
        await client.request(subject, payload, timeout=5, headers=headers or None)
        await client.close()

    asyncio.run(send())


def fill(log: OpLog, numbers: Iterable[int]) -> None:
    """Append some entries."""
    log.append_many([each for number in numbers for each in entries(1, number)])


def root(log: OpLog) -> Path:
    """The repository of a log."""
    return log.folder.parents[2]
