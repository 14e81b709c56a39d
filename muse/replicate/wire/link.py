"""One connection to a server, and questions to JetStream over it; the only module that imports `nats`.

A connection is used for one round and never mended: `nats-py` lets requests of a dead connection run into their
timeouts, so every wait here ends at once when the connection does, and raises why.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

from muse.replicate.errors import ReplicationRefusedError, ReplicationUnavailableError
from muse.replicate.settings import Settings, shown
from muse.replicate.wire.messages import MIN_PAYLOAD

try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.errors import Error as NatsError
except ModuleNotFoundError as error:
    raise ReplicationUnavailableError("nats-py is missing: pip install 'muse-op-log[nats]'") from error

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 3.0
_ASK_AGAIN_SECONDS = 0.5
_CONNECT_SECONDS = 3
_DENIED = re.compile(r'permissions violation for (\w+) to "?([^"\s]+)', re.IGNORECASE)
_LOGIN = re.compile("authorization violation|authentication (?!timeout)|credentials|nkey|jwt", re.IGNORECASE)

Result = TypeVar("Result")


class ApiError(Exception):
    """JetStream has answered with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('description', 'error')} ({error.get('err_code', error.get('code'))})")
        self.code: int = error.get("code", 0)
        self.number: int = error.get("err_code", 0)


class Received(NamedTuple):
    """A message that is no answer to a request."""

    kind: str
    """The last token of its subject."""
    reply: str
    headers: Mapping[str, str]
    payload: bytes


class Link:
    """Use `async with Link(settings) as link`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._client = Client()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = ""
        self._number = 0
        self._last_error = ""
        self._subjects: dict[str, str] = {}
        self._answers: dict[str, Callable[[Received], None]] = {}
        self.take: Callable[[Received], None] = lambda _received: None
        """What is done with messages that are no answers."""
        self.at_end: Callable[[], None] = lambda: None
        """Called when the connection ends, whyever."""
        self.url = ""

    # -- the connection --------------------------------------------------------------------------------

    async def __aenter__(self) -> Link:
        urls = list(self.settings.urls)
        random.shuffle(urls)
        reasons: list[str] = []
        for url in urls:
            self._last_error = ""
            self._client, self._lost = Client(), asyncio.get_running_loop().create_future()
            try:
                try:
                    await self._connect_to(url)
                except BaseException:
                    # The client leaves its socket open.
                    await self._close()
                    raise
            except ReplicationRefusedError:
                raise
            except (OSError, NatsError, TimeoutError, ValueError) as error:
                text = self._last_error or str(error) or "no answer"
                if _LOGIN.search(text) or isinstance(error, ssl.SSLError):
                    raise ReplicationRefusedError(f"{shown(url)}: {text}") from error
                reasons.append(f"{shown(url)}: {text}")
            else:
                self.url = shown(url)
                return self
        raise ReplicationUnavailableError("; ".join(reasons))

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if not self._lost.done():
            self._lost.cancel()
        else:
            self._lost.exception()
        with suppress(Exception):
            await asyncio.wait_for(self._client.close(), 2)

    async def _connect_to(self, url: str) -> None:
        settings = self.settings
        for path in (settings.tls_ca, settings.tls_cert, settings.tls_key, settings.creds):
            if path and not os.access(path, os.R_OK):
                raise ReplicationRefusedError(f"{path}: can't be read")
        tls = None
        if settings.tls_ca or settings.tls_cert or url.startswith("tls://"):
            tls = ssl.create_default_context(cafile=settings.tls_ca)
            if settings.tls_cert:
                tls.load_cert_chain(settings.tls_cert, settings.tls_key, password=self._refuse_passphrase)
        # The client would take them as they are in the URL.
        parts = urlsplit(url)
        user = settings.user or (parts.username and unquote(parts.username))
        password = settings.password or (parts.password and unquote(parts.password))
        is_token = not (settings.user or password)
        options: dict[str, Any] = {
            "tls": tls,
            "user": None if is_token else user,
            "password": password,
            "token": user if is_token else None,
            "user_credentials": settings.creds,
        }
        connecting = self._client.connect(
            servers=[shown(url)],
            allow_reconnect=False,
            # The fewest there are; else it tries one server sixty times, with two seconds in between.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_SECONDS,
            ping_interval=5,
            max_outstanding_pings=2,
            inbox_prefix=settings.inbox,
            disconnected_cb=self._disconnected,
            closed_cb=self._disconnected,
            error_cb=self._error,
            **{name: value for name, value in options.items() if value is not None},
        )
        try:
            await asyncio.wait_for(connecting, 2 * _CONNECT_SECONDS)
        except ModuleNotFoundError as error:
            raise ReplicationRefusedError(
                f"a credentials file needs {error.name}: pip install 'nats-py[nkeys]'"
            ) from error
        if self.max_payload < MIN_PAYLOAD:
            raise ReplicationRefusedError(
                f"{shown(url)}: max_payload is {self.max_payload} bytes there, and has to be {MIN_PAYLOAD} or more"
            )
        self._inbox = self._client.new_inbox()
        answers = f"{self._inbox}.*"
        self._subjects[answers.lower()] = answers
        await self._client.subscribe(answers, cb=self._dispatch)

    def _refuse_passphrase(self) -> NoReturn:
        # Else the terminal would be asked for it, again for each round, and all would wait for that.
        raise ReplicationRefusedError(f"{self.settings.tls_key}: has a passphrase: a key without one is needed")

    async def _disconnected(self) -> None:
        self.fail(ReplicationUnavailableError(f"{self.url}: the connection was lost"))

    async def _error(self, error: Exception) -> None:
        self._last_error = str(error)
        if denied := _DENIED.search(str(error)):
            verb, subject = denied.groups()
            # The client gives the error in lower case.
            subject = self._subjects.get(subject.lower(), subject)
            what = "publish" if verb.lower() == "publish" else "subscribe to"
            self.fail(ReplicationRefusedError(f"{self.url}: not allowed to {what} {subject}"))
        elif _LOGIN.search(str(error)):
            self.fail(ReplicationRefusedError(f"{self.url}: {error}"))
        else:
            _log.debug("%s: %s", self.url, error)

    def fail(self, error: Exception) -> None:
        """End the connection for everybody who waits, with this error."""
        if not self._lost.done():
            self._lost.set_exception(error)
        self.at_end()

    async def until(self, awaited: Awaitable[Result], seconds: float | None) -> Result | None:
        """What is awaited, or None after so many seconds; raises as soon as the connection is lost."""
        task: asyncio.Future[Any] = asyncio.ensure_future(awaited)
        either: set[asyncio.Future[Any]] = {task, self._lost}
        try:
            await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if self._lost.done():
                self._lost.result()
            return task.result() if task.done() else None
        finally:
            task.cancel()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until an event happens anew, but not longer than so many seconds; raises as `until`."""
        event.clear()
        await self.until(event.wait(), seconds)

    def check(self) -> None:
        """Raise if the connection is lost."""
        if self._lost.done():
            self._lost.result()

    @property
    def max_payload(self) -> int:
        """How long a message may be, by the server."""
        return self._client.max_payload

    async def _dispatch(self, message: Msg) -> None:
        kind = message.subject.rpartition(".")[2]
        answer = None if message.reply else self._answers.pop(kind, None)
        received = Received(kind, message.reply, message.headers or {}, message.data or b"")
        (answer or self.take)(received)

    def inbox(self, answer: Callable[[Received], None] | None = None) -> tuple[str, str]:
        """A subject of one's own for the answer to one message: (its last token, the whole)."""
        self._number += 1
        number = str(self._number)
        if answer:
            self._answers[number] = answer
        return number, f"{self._inbox}.{number}"

    # -- requests --------------------------------------------------------------------------------------

    async def request(
        self,
        subject: str,
        payload: bytes,
        headers: dict[str, str] | None = None,
        seconds: float = ANSWER_SECONDS,
        *,
        ask_again: float = ANSWER_SECONDS,
    ) -> Any:
        """The answer, parsed; after `ask_again` seconds without one the question is repeated.

        Raises:
            ApiError: the answer is an error.
            ReplicationUnavailableError: nobody is there to answer, or not in time.
        """
        answered: asyncio.Future[Received] = asyncio.get_running_loop().create_future()

        def answer(message: Received) -> None:
            if not answered.done():
                answered.set_result(message)

        number, reply = self.inbox(answer)
        message, left = None, seconds
        try:
            while message is None and left > 0:
                await self.publish(subject, payload, reply, headers)
                message = await self.until(asyncio.shield(answered), min(left, ask_again))
                left -= ask_again
        finally:
            self._answers.pop(number, None)
        if message is None:
            raise ReplicationUnavailableError(f"{self.url}: no answer to {subject} for {seconds:g} seconds")
        return parsed(message, subject)

    async def api(self, subject: str, request: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS) -> Any:
        """`request` to JetStream."""
        payload = json.dumps(request).encode() if request else b""
        # While a cluster chooses the leader of a stream, nobody answers, and the question is lost.
        ask_again = _ASK_AGAIN_SECONDS if subject.startswith(("STREAM.INFO.", "STREAM.MSG.GET.")) else seconds
        return await self.request(f"$JS.API.{subject}", payload, None, seconds, ask_again=ask_again)

    async def publish(self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None = None) -> None:
        """Send a message; the answer, if there is one, comes to `reply`."""
        self.check()
        self._subjects[subject.lower()] = subject
        try:
            await self._client.publish(subject, payload, reply=reply, headers=headers)
        except (NatsError, OSError) as error:
            self.check()
            raise ReplicationUnavailableError(f"{self.url}: {error}") from error


def parsed(message: Received, subject: str) -> Any:
    """An answer, or the error that it is."""
    if message.headers.get("Status") == "503":
        raise ReplicationUnavailableError(f"nobody answers to {subject}: no JetStream, no stream, or no leader yet")
    try:
        answer = json.loads(message.payload)
    except ValueError:
        raise ReplicationUnavailableError(f"no JSON in the answer to {subject}") from None
    if "error" in answer:
        raise ApiError(answer["error"])
    return answer


async def first_to_end(*works: Coroutine[Any, Any, None]) -> None:
    """Work until one of them raises; then none of them works any more."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
