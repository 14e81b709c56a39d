"""What is written down about redactions, beside the log: what was redacted, and what is just being overwritten.

redacted.json    who has redacted which operation, when and why; the log alone tells what was redacted and is there
redacting.json   the bytes that are to stand in the log; there while a redaction is at work, or if it was cut off

Neither holds what was there before, nor a checksum of it: a short secret is soon found by trying.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from muse.core.entry.codec import checksum
from muse.core.entry.marker import Redaction, may_hold_marker, rank, redacted_in
from muse.core.entry.model import parse_op_id
from muse.core.errors import MuseError
from muse.core.storage import durable
from muse.core.storage.locks import exclusive_lock
from muse.core.storage.log_file import LogFile
from muse.core.storage.scanner import scan
from muse.core.storage.session_dir import LOG_NAME, REDACTED_NAME, REDACTING_NAME

MAX_REDACTED_BYTES = 256 << 20
_WAIT_SECONDS = 2.0
_log = logging.getLogger(__name__)

BLANK = b"#"
"""What a damaged line is overwritten with: it stays damaged, and nothing of it can be read."""


@dataclass(frozen=True)
class Change:
    """Bytes of one line that are overwritten."""

    line: int
    """The byte offset at which the line begins."""
    length: int
    """Bytes of the line, newline included."""
    spans: tuple[tuple[int, int], ...]
    """Where in the line they begin and end."""
    text: str
    """What is written there, without the spaces that fill it up; "" fills all of it with `BLANK`."""
    rest: int
    """CRC-32 of what stays of the line, so that nothing is written into a file that is another by now."""

    @classmethod
    def of(cls, line: bytes, begin: int, spans: Iterable[tuple[int, int]], data: bytes = b"") -> Change:
        """Have `data`, or nothing readable, in the place of some bytes of the line that begins at byte `begin`."""
        spans = tuple(spans)
        text = (data[:-1].rstrip(b" ") + data[-1:]).decode()
        return cls(begin, len(line), spans, text, _checksum_of_rest(line, spans))

    @classmethod
    def parsed(cls, read: Mapping[str, Any]) -> Change:
        """A change as a journal has it; a `ValueError`, `TypeError` or `LookupError` if it is none."""
        spans = tuple((int(start), int(end)) for start, end in read["spans"])
        return cls(int(read["line"]), int(read["length"]), spans, str(read["text"]), int(read["rest"]))

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """The byte offsets of the log, and what is written there."""
        text = self.text.encode()
        for start, end in self.spans:
            size = end - start
            yield self.line + start, text[:-1].ljust(size - 1) + text[-1:] if text else BLANK * size

    def fits(self, log: LogFile) -> bool:
        """Whether the line is there, whatever stands now where the change is made."""
        line = log.read(self.line, self.line + self.length)
        begins = self.line == 0 or log.read(self.line - 1, self.line) == b"\n"
        is_whole = len(line) == self.length and b"\n" not in line[:-1]
        return begins and is_whole and _checksum_of_rest(line, self.spans) == self.rest


def _checksum_of_rest(line: bytes, spans: Sequence[tuple[int, int]]) -> int:
    starts = [0, *(end for _, end in spans)]
    stops = [*(start for start, _ in spans), len(line)]
    return checksum(b"".join(line[start:stop] for start, stop in zip(starts, stops, strict=True)))


@dataclass(frozen=True)
class Journal:
    """A redaction that has begun: to do it again is right, wherever it was cut off."""

    redactions: dict[str, Redaction]
    """By op_id."""
    changes: tuple[Change, ...]
    checkpoint: tuple[int, str] | None
    """Up to where checkpoint.json covers the log, and the digest that this has when all is done."""

    def write(self, folder: Path) -> None:
        """Write it down; when this returns it survives power loss."""
        changes = list(map(asdict, self.changes))
        found = {"redacted": _listed(self.redactions), "changes": changes, "checkpoint": self.checkpoint}
        durable.replace_file(folder / REDACTING_NAME, orjson.dumps(found), folder / LOG_NAME)


def read_journal(folder: Path) -> Journal | None:
    """The redaction that has begun; None if there is none, or what is there is no journal of ours."""
    path = folder / REDACTING_NAME
    try:
        data = durable.read_small_file(path, MAX_REDACTED_BYTES)
        read = orjson.loads(data)
        at = read["checkpoint"]
        checkpoint = None if at is None else (int(at[0]), str(at[1]))
        return Journal(parse_redacted(data), tuple(map(Change.parsed, read["changes"])), checkpoint)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        _log.warning("%s: not what a redaction writes (%s): nothing is done about it; remove it", path, error)
        return None


def state_of(folder: Path) -> tuple[bool, tuple[int, int] | None]:
    """What differs after a redaction from what it was before: whoever reads lines without an index asks it twice."""
    found = None
    with suppress(OSError):
        status = os.stat(folder / REDACTED_NAME, follow_symlinks=False)
        found = status.st_ino, status.st_mtime_ns
    return os.path.lexists(folder / REDACTING_NAME), found


def redacted_since(folder: Path, before: tuple[bool, object]) -> bool:
    """Whether lines that were read since the state was this one may be half redacted, or not all of one moment."""
    return (before[0] and read_journal(folder) is not None) or state_of(folder) != before


def finish_if_free(log: LogFile, finish: Callable[[], None], faults: tuple[type[Exception], ...]) -> None:
    """Finish a redaction that was cut off, unless it fails; one that is at work is waited for, but not for long."""
    faults = (*faults, OSError, MuseError)
    try:
        with exclusive_lock(log.path, _WAIT_SECONDS):
            finish()
    except faults as error:
        _log.warning("%s: a redaction that has begun is not finished yet (%s)", log.path, error)


def holds_redaction(log: LogFile, stop: int) -> bool:
    """Whether an entry was redacted that lies below a byte offset, by the bytes of the log."""
    return any(
        op_id and redacted_in(log.read(at, at + lines.length(number))) is not None
        for lines in scan(log, 0, stop)
        if may_hold_marker(log.read(lines.start, lines.end))
        for number, (at, op_id) in enumerate(zip(lines.offsets, lines.op_ids, strict=True))
    )


# -- redacted.json --------------------------------------------------------------------------------------------


def read_redacted(folder: Path) -> dict[str, Redaction]:
    """Who has redacted what, by op_id; of a file that can't be read nothing, which is logged."""
    path = folder / REDACTED_NAME
    try:
        return parse_redacted(durable.read_small_file(path, MAX_REDACTED_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        _log.warning("%s: can't be read (%s): who has redacted what, and why, is not known from it", path, error)
        return {}


def redacted_here(folder: Path) -> dict[bytes, Redaction]:
    """The same by the 16 bytes of each op_id, read when it has changed."""
    state = state_of(folder)[1]
    return {} if state is None else _redacted_here(folder, state)


@lru_cache(maxsize=8)
def _redacted_here(folder: Path, _state: tuple[int, int]) -> dict[bytes, Redaction]:
    redacted = read_redacted(folder)
    return {key: said for op_id, said in redacted.items() if (key := parse_op_id(op_id)) is not None}


def parse_redacted(data: bytes) -> dict[str, Redaction]:
    """The content of such a file; a `ValueError`, `TypeError`, `LookupError` or `AttributeError` if it is none."""
    items = [(item["op_id"], item["by"], item["at"], item["why"]) for item in orjson.loads(data)["redacted"]]
    if not all(isinstance(text, str) for item in items for text in item):
        raise TypeError("not all of it is text")
    return {op_id: Redaction(*said) for op_id, *said in items}


def _listed(redactions: Mapping[str, Redaction]) -> list[dict[str, str]]:
    return [{"op_id": op_id, **said._asdict()} for op_id, said in redactions.items()]


def add_redacted(folder: Path, redactions: Mapping[str, Redaction]) -> None:
    """Write down who has redacted what; of two redactions of one operation the one that its marker is of."""
    path = folder / REDACTED_NAME
    known = read_redacted(folder)
    if not known and os.path.lexists(path):
        os.rename(path, path.with_name(f"{REDACTED_NAME}.{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"))
    known |= {op_id: min(said, known.get(op_id, said), key=rank) for op_id, said in redactions.items()}
    data = orjson.dumps({"redacted": _listed(known)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    durable.replace_file(path, data, folder / LOG_NAME)
