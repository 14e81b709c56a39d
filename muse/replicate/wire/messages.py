"""What a message of the stream is: whole lines, a part of a long line, or an audit (docs/replication.md, "Messages").

Nothing here knows the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from urllib.parse import quote

import orjson

VERSION = 1
"""Of this layout. A host that meets a higher one stops."""
MAX_LINES = 1024
MAX_BYTES = 256 << 10
HEADROOM_BYTES = 4 << 10
"""What is left of the server's `max_payload` for headers."""
MIN_PAYLOAD = 2 * HEADROOM_BYTES
"""Less than this a server may not take at once."""
GROUP_SECONDS = 3600
"""A group of parts that is not complete after this, by the server's clock, never will be: its sender begins anew."""

ID_HEADER = "Nats-Msg-Id"
STREAM_HEADER = "Nats-Expected-Stream"
VERSION_HEADER = "Muse-Version"
PART_HEADER = "Muse-Part"
GROUP_HEADER = "Muse-Group"
AUDIT_HEADER = "Muse-Audit"

OP_ID_START = b'{"op_id":"'
_OP_ID_END = len(OP_ID_START) + 36


@dataclass(frozen=True)
class Message:
    """One message, as it is published."""

    payload: bytes
    headers: dict[str, str]
    op_ids: tuple[bytes, ...]
    """What is in it, or would be if all parts of the line were."""


def stream_name(space: str) -> str:
    """The stream of a space."""
    return f"MUSE_{space}"


def subject_of(space: str, kind: str, session_id: str) -> str:
    """The subject of a session; `kind` is "ops" or "committer"."""
    return f"muse.{space}.{kind}.{quote(session_id, safe='').replace('.', '%2E')}"


def op_id_of_line(line: bytes) -> bytes:
    """The 16 bytes of a valid line's op_id; of a line that is no entry, its digest, which is no op_id."""
    if line.startswith(OP_ID_START) and line[_OP_ID_END : _OP_ID_END + 1] == b'"':
        text = line[len(OP_ID_START) : _OP_ID_END]
    else:
        try:
            text = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))["op_id"].encode()
        except (ValueError, TypeError, KeyError, AttributeError):
            return sha256(line).digest()
    try:
        return bytes.fromhex(text.replace(b"-", b"").decode())
    except ValueError:
        return sha256(line).digest()


def messages_of(lines: Iterable[bytes], *, stream: str, subject: str, salt: str, max_payload: int) -> Iterator[Message]:
    """The messages that carry some lines, in their order, each as full as it may be.

    `subject` keeps the server from taking a message for one of another session, such as a fork, which holds the same
    lines; `salt` from taking it for one that it has seen, and has lost since.
    """
    salt = f"{subject} {salt}"
    most = min(MAX_BYTES, max_payload - HEADROOM_BYTES)
    page: list[bytes] = []
    size = 0
    for line in lines:
        if page and (size + len(line) > most or len(page) == MAX_LINES):
            yield _whole(page, stream, salt)
            page, size = [], 0
        if len(line) > most:
            yield from _parts(line, most, stream, salt)
        else:
            page.append(line)
            size += len(line)
    if page:
        yield _whole(page, stream, salt)


def audit_message(number: int, *, stream: str, subject: str) -> Message:
    """The message that has every host read everything again."""
    headers = _headers(stream, f"audit-{number}".encode(), subject)
    return Message(b"", {**headers, AUDIT_HEADER: str(number)}, ())


def _whole(page: list[bytes], stream: str, salt: str) -> Message:
    payload = b"".join(page)
    return Message(payload, _headers(stream, payload, salt), tuple(map(op_id_of_line, page)))


def _parts(line: bytes, most: int, stream: str, salt: str) -> Iterator[Message]:
    # Parts of other sizes, as of a server that took less at once, are another group.
    group = _digest(b"%d " % most + line, salt)
    pieces = [line[at : at + most] for at in range(0, len(line), most)]
    for number, piece in enumerate(pieces, start=1):
        # Two parts may hold the same bytes.
        headers = _headers(stream, f"{group} {number} ".encode(), salt)
        headers |= {PART_HEADER: f"{number}/{len(pieces)}", GROUP_HEADER: group}
        # The line has come back only with its last part.
        yield Message(piece, headers, (op_id_of_line(line),) if number == len(pieces) else ())


def _headers(stream: str, content: bytes, salt: str) -> dict[str, str]:
    return {ID_HEADER: _digest(content, salt), STREAM_HEADER: stream, VERSION_HEADER: str(VERSION)}


def _digest(content: bytes, salt: str) -> str:
    return sha256(salt.encode() + b"\n" + content).hexdigest()[:32]


def lines_in(payload: bytes) -> list[bytes]:
    """The lines of a message, each ended by its newline."""
    return BytesIO(payload if payload.endswith(b"\n") else payload + b"\n").readlines() if payload else []


def number_in(headers: Mapping[str, str], name: str) -> int:
    """The number in a header; 0 if it is missing or no number."""
    return _number(headers.get(name, ""))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


@dataclass
class _Group:
    parts: int
    first_ns: int
    pieces: dict[int, bytes] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)


class Assembler:
    """Puts long lines together from their parts, whoever's parts come between."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def add(self, headers: Mapping[str, str], payload: bytes, seq: int, time_ns: int) -> tuple[bytes | None, list[int]]:
        """Take in a part, by the server's time.

        Returns:
            (the line, if this was the part that lacked; the messages that needn't be read again: all of its group then,
            or this one if its headers make no sense)
        """
        number, parts = (_number(text) for text in headers[PART_HEADER].partition("/")[::2])
        group = headers.get(GROUP_HEADER, "")
        if not (0 < number <= parts <= 1 << 16 and group):
            return None, [seq]
        known = self._groups.setdefault(group, _Group(parts, time_ns))
        known.pieces[number] = payload
        known.seqs.append(seq)
        if len(known.pieces) < known.parts:
            return None, []
        del self._groups[group]
        return b"".join(piece for _, piece in sorted(known.pieces.items())), known.seqs

    def drop_older(self, time_ns: int) -> list[int]:
        """Forget the groups that have waited too long; the messages that needn't be read again."""
        old = [name for name, group in self._groups.items() if group.first_ns < time_ns - GROUP_SECONDS * 10**9]
        return [seq for name in old for seq in self._groups.pop(name).seqs]
