"""The stream of a space, as one session's replica uses it: made, counted, read, written to.

The settings of the stream, and why they are so, are in docs/replication.md, "The stream".
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from muse.replicate.errors import ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.wire.link import ApiError, Link, Received, parsed
from muse.replicate.wire.messages import MAX_BYTES, Message, stream_name, subject_of

HEARTBEAT_SECONDS = 1
"""How often the server says that a pull is still known; three that are missed end the connection."""
_PULL_SECONDS = 60
_PULL_MESSAGES = 2000
_INACTIVE_SECONDS = 60
_MAX_CONSUMERS = 100_000
"""Said explicitly, as newer servers take a thousand else; each replica of each session needs one."""

_DROPPING, _DROPPING_OLD = ("retention", "max_age", "max_msgs_per_subject"), ("max_msgs", "max_bytes")
"""Settings of a stream by which it drops messages; the latter two only if it discards the old ones."""
_NOT_FOUND = 404
_NO_STREAM, _NO_MESSAGE, _STREAM_EXISTS = 10059, 10037, 10058
_TOO_FEW_NODES = (10005, 10074)


class Delivered(NamedTuple):
    """A message of the stream."""

    seq: int
    time_ns: int
    pending: int
    """How many more of the subject there were when it was delivered."""
    headers: Mapping[str, str]
    payload: bytes


class Stored(NamedTuple):
    """The server's answer to a message that was published."""

    seq: int
    is_duplicate: bool


class Stream:
    """The stream, over one connection, and what one session has in it."""

    def __init__(self, link: Link, space: str, session_id: str) -> None:
        self.link = link
        self.name = stream_name(space)
        self.subject = subject_of(space, "ops", session_id)
        self.committer_subject = subject_of(space, "committer", session_id)
        self._space = space
        self._delivered: list[Delivered] = []
        self._news = asyncio.Event()
        self._pull = ""
        self._pulled = 0
        self._consumer = ""
        self._last_in_order = 0
        self._pulled_at = self._heard_at = 0.0
        link.take, link.at_end = self._take, self._news.set

    async def close(self) -> None:
        """Tell the server that nothing more is read; if it does not hear it, it finds out."""
        if self._consumer:
            with suppress(Exception):
                await self.link.api(f"CONSUMER.DELETE.{self.name}.{self._consumer}", seconds=1)

    async def ensure(self) -> None:
        """Make the stream of the space if it is not there; a `ReplicationRefusedError` if it drops what it has."""
        try:
            config = (await self.link.api(f"STREAM.INFO.{self.name}"))["config"]
            names = [*_DROPPING, *(_DROPPING_OLD if config.get("discard") == "old" else ())]
            if found := [f"{name} {config[name]}" for name in names if config.get(name, 0) not in (0, -1, "limits")]:
                raise ReplicationRefusedError(
                    f"{self.link.url}: the stream {self.name} drops messages, as it has {', '.join(found)}: "
                    "its administrator has to take the limit away"
                )
        except ApiError as error:
            if error.number != _NO_STREAM:
                raise
            for replicas in (self.link.settings.replicas,) if self.link.settings.replicas else (3, 1):
                try:
                    await self._make_stream(replicas)
                except ApiError as refusal:
                    if refusal.number in _TOO_FEW_NODES and replicas > 1 and not self.link.settings.replicas:
                        continue
                    if refusal.number != _STREAM_EXISTS:
                        raise
                return

    async def _make_stream(self, replicas: int) -> None:
        config = {
            "name": self.name,
            "subjects": [f"muse.{self._space}.ops.*", f"muse.{self._space}.committer.*"],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "max_age": 0,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_msgs_per_subject": -1,
            "max_consumers": _MAX_CONSUMERS,
            "deny_delete": True,
            "deny_purge": True,
            "allow_direct": False,
            "duplicate_window": 120 * 10**9,
            "num_replicas": replicas,
        }
        await self.link.api(f"STREAM.CREATE.{self.name}", config, seconds=10)

    async def count(self) -> int:
        """How many messages of the session the server says it has."""
        state = await self._state({"subjects_filter": self.subject})
        return int((state.get("subjects") or {}).get(self.subject, 0))

    async def last_seq(self) -> int:
        """The sequence number of the newest message of any session."""
        return int((await self._state(None))["last_seq"])

    async def _state(self, request: Mapping[str, Any] | None) -> Mapping[str, Any]:
        state: Mapping[str, Any] = (await self.link.api(f"STREAM.INFO.{self.name}", request))["state"]
        return state

    async def message(self, request: Mapping[str, Any]) -> tuple[int, str, int, bytes] | None:
        """(seq, subject, when it was stored in nanoseconds, payload) of one message; None if there is none."""
        try:
            found = (await self.link.api(f"STREAM.MSG.GET.{self.name}", request))["message"]
        except ApiError as error:
            if error.number == _NO_MESSAGE or error.code == _NOT_FOUND:
                return None
            raise
        return int(found["seq"]), found["subject"], _nanoseconds(found["time"]), b64decode(found.get("data") or "")

    async def consume(self, after: int) -> int:
        """Have the messages of the session delivered that follow a sequence number; how many there are by now."""
        name = f"muse{random.getrandbits(64):016x}"
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "ack_policy": "none",
            "filter_subject": self.subject,
            "inactive_threshold": _INACTIVE_SECONDS * 10**9,
            "mem_storage": True,
            "num_replicas": 1,
        }
        made = await self.link.api(
            f"CONSUMER.CREATE.{self.name}.{name}.{self.subject}", {"stream_name": self.name, "config": config}
        )
        self._consumer = name
        await self._pull_more()
        return int(made.get("num_pending", 0))

    async def _pull_more(self) -> None:
        # A reply subject of its own for each pull: what comes late for an old one is not looked at.
        self._pull, reply = self.link.inbox()
        self._pulled = 0
        self._pulled_at = asyncio.get_running_loop().time()
        request = {
            "batch": _PULL_MESSAGES,
            "max_bytes": max(2 * self.link.max_payload, 4 * MAX_BYTES),
            "expires": _PULL_SECONDS * 10**9,
            "idle_heartbeat": HEARTBEAT_SECONDS * 10**9,
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.name}.{self._consumer}"
        await self.link.publish(subject, json.dumps(request).encode(), reply)

    def _note_status(self, headers: Mapping[str, str]) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if status := headers.get("Status"):
            # 100 is a heartbeat; what else there is ends this pull, and all but these the consumer too.
            text = headers.get("Description", "")
            if status in ("408", "404") or (
                status == "409" and re.search("batch completed|maxbytes|max bytes", text, re.I)
            ):
                self._pull = ""
                self._news.set()
            elif status != "100":
                self.link.fail(ReplicationUnavailableError(f"{self.link.url}: {status} {text}"))

    def _take(self, message: Received) -> None:
        # A message of the stream keeps its own subject; only what the server says itself is of the inbox.
        if not message.reply.startswith("$JS.ACK."):
            if message.kind == self._pull:
                self._note_status(message.headers)
            return
        self._heard_at = asyncio.get_running_loop().time()
        tokens = message.reply.split(".")
        if len(tokens) > 9:
            # With the names of a domain and an account in between.
            del tokens[2:4]
        seq, in_order, time_ns, pending = (int(token) for token in tokens[5:9])
        if in_order != self._last_in_order + 1:
            self.link.fail(ReplicationUnavailableError(f"{self.link.url}: message {in_order - 1} was lost on its way"))
            return
        self._last_in_order = in_order
        self._delivered.append(Delivered(seq, time_ns, pending, message.headers, message.payload))
        self._pulled += 1
        if self._pulled == _PULL_MESSAGES:
            # Not every version of the server says so.
            self._pull = ""
        self._news.set()

    def is_alive(self) -> bool:
        """Whether what delivers messages was heard just now; if its node is gone, that none come says nothing."""
        return asyncio.get_running_loop().time() - self._heard_at < 2 * HEARTBEAT_SECONDS

    async def delivered(self, seconds: float) -> list[Delivered]:
        """What was delivered since the last call, after so many seconds at the latest; perhaps nothing."""
        if not self._delivered:
            if not self._pull:
                await self._pull_more()
            self._news.clear()
            await self.link.until(self._news.wait(), seconds)
            silence = asyncio.get_running_loop().time() - max(self._heard_at, self._pulled_at)
            if silence > 3 * HEARTBEAT_SECONDS + 1:
                raise ReplicationUnavailableError(f"{self.link.url}: nothing was heard for {silence:.0f} seconds")
        self.link.check()
        found, self._delivered = self._delivered, []
        return found

    async def publish(self, message: Message, stored: Callable[[Stored | ApiError], None]) -> None:
        """Send a message; `stored` is called with the answer, if one comes."""

        def answer(received: Received) -> None:
            try:
                answered = parsed(received, self.subject)
            except ApiError as error:
                stored(error)
            except ReplicationUnavailableError as error:
                self.link.fail(error)
            else:
                stored(Stored(int(answered["seq"]), bool(answered.get("duplicate"))))

        _, reply = self.link.inbox(answer)
        await self.link.publish(self.subject, message.payload, reply, message.headers)


def _nanoseconds(text: str) -> int:
    """Since 1970, of a time such as 2026-01-02T03:04:05.123456789Z."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = datetime.fromisoformat(seconds[:19]).replace(tzinfo=UTC)
    return int(whole.timestamp()) * 10**9 + int((fraction + "0" * 9)[:9])
