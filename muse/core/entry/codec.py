"""The line format of `ops.jsonl`: one entry, one JSON object, one line (docs/format.md, "Lines").

`encode_entry` writes a line, `decode_line` reads one. A line is valid, blank or damage. Lines of another program are
held to the same rules, whatever their spacing, escapes and key order.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, cast

import orjson

from muse.core.entry.columns import Columns, are_flat, columns_of
from muse.core.entry.model import OpEntry
from muse.core.entry.validation import check_exact, check_fields, find_unencodable, has_valid_fields, is_plain
from muse.core.errors import DamagedLineError, InvalidEntryError, LimitExceededError
from muse.core.options import MAX_NESTING

JSON_SPACES = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"

# Without these orjson would turn datetimes, dataclasses and subclasses into something else.
_encode = partial(
    orjson.dumps,
    option=orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_APPEND_NEWLINE,
)


def encode_entry(entry: OpEntry, max_line_bytes: int) -> bytes:
    """The line of `entry`, its newline included; the same entry comes back from `decode_line`.

    Raises:
        InvalidEntryError: a field is wrong, or JSON can't carry a value exactly; names the place.
        LimitExceededError: nested too deep, or the line is longer than `max_line_bytes`.
    """
    if not has_valid_fields(entry):
        check_fields(entry)
    if not is_plain(entry):
        check_exact(entry)
    try:
        line = _encode(entry)
    except TypeError as error:
        check_exact(entry)
        raise InvalidEntryError(find_unencodable(entry) or f"entry: {error}") from None
    if len(line) > max_line_bytes:
        check_length(line, max_line_bytes)
    return line


def encode_valid_entries(entries: Sequence[OpEntry]) -> Iterator[bytes]:
    """The line of each entry; its fields are known to be valid.

    Raises:
        InvalidEntryError: JSON can't carry a value of one of them exactly.
        TypeError: the encoder refuses one.
    """
    if not are_flat(entries):
        for entry in entries:
            check_exact(entry)
    return map(_encode, entries)


def check_length(line: bytes, max_line_bytes: int) -> None:
    """Raise `LimitExceededError` if a line is longer than `max_line_bytes`."""
    if len(line) > max_line_bytes:
        raise LimitExceededError(
            f"domain_op: the line would take {len(line)} bytes, the limit is {max_line_bytes}: store the "
            "content elsewhere and log its content_id, or open the log with a larger max_line_bytes"
        )


def same_content(line: bytes, other: bytes) -> bool:
    """Whether two valid lines hold the same entry, however each of them spells it."""
    return line == other or _canonical(line) == _canonical(other)


def same_operation(entry: OpEntry, other: OpEntry) -> bool:
    """Whether two valid entries are the same operation of the same actor, whenever each was made."""
    return same_value_text(list(map(entry.get, _OPERATION))) == same_value_text(list(map(other.get, _OPERATION)))


_OPERATION = ("op_id", "actor_id", "domain", "domain_op", "parent_op_ids", "intent_id", "reservation_id")


def _canonical(line: bytes) -> bytes:
    return same_value_text(orjson.loads(strip_padding(line)))


def same_value_text(value: Any) -> bytes:
    """One text for each JSON value: they are compared so, since in Python 1 == 1.0 == True."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def strip_padding(line: bytes) -> bytes:
    """The line's object alone, ended by one newline: without byte order mark and surrounding spaces."""
    return line.removeprefix(_BOM).strip(JSON_SPACES) + b"\n"


def decode_line(line: bytes) -> OpEntry | None:
    """The entry of one line, None for a blank line; a `DamagedLineError` says why it is not a valid entry."""
    body = line.removeprefix(_BOM).strip(JSON_SPACES)
    if not body:
        return None
    try:
        entry = parse_object(body)
        check_fields(entry)
    except InvalidEntryError as error:
        nuls = body.count(0)
        reason = f"holds {nuls} NUL bytes, as a crash of the machine leaves them" if nuls else str(error)
        raise DamagedLineError(reason) from None
    return cast(OpEntry, entry)


def decode_plain_lines(lines: Sequence[bytes]) -> Columns | None:
    """The columns of lines that are all spelled as `encode_entry` spells them; None if one is not: decode each then.

    Quicker than one after the other: all are parsed, written back and compared at once.
    """
    if any(line.count(b"[") + line.count(b"{") > MAX_NESTING for line in lines if len(line) > _DEEP_LINE_BYTES):
        return None
    # The separator is random, so a crafted line can't swallow its neighbour.
    body = b"[" + b"".join(lines)[:-1].replace(b"\n", _BETWEEN) + b"]"
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    entries = values[::2]
    if values[1::2] != [_BETWEEN_VALUE] * (len(lines) - 1) or len(entries) != len(lines):
        return None
    # As in `parse_object`: a text that comes back is exact.
    return columns_of(entries) if orjson.dumps(values) == body else None


_BETWEEN_VALUE = os.urandom(16).hex()
_BETWEEN = b',"' + _BETWEEN_VALUE.encode() + b'",'
# Each level takes a bracket that opens and one that closes, and the names of the fields take more than these 100.
_DEEP_LINE_BYTES = 2 * MAX_NESTING + 100


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse one JSON object strictly: an `InvalidEntryError` for what two readers could understand differently.

    That is: not JSON in UTF-8, not an object, nested too deep, a key twice in one object, or a number that does not fit
    (64-bit integers, finite doubles).
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidEntryError(f"not JSON: {error.msg} (byte {error.pos} of the line)") from None
    if not isinstance(value, dict):
        raise InvalidEntryError(f"not a JSON object but {'null' if value is None else type(value).__name__}")
    if body.count(b"[") + body.count(b"{") > MAX_NESTING:
        check_exact(value)
    # orjson takes the last of two equal keys, and reads a larger integer as a float, both without a word. It writes
    # them back as another text; so a text that comes back is exact, and only other spellings need the slow look.
    if orjson.dumps(value) != body:
        json.loads(body, object_pairs_hook=_unique_keys, parse_int=_fitting_int)
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise InvalidEntryError(f"the key {key[:60]!r} stands twice in one object")
        seen.add(key)


def _fitting_int(digits: str) -> None:
    # Python refuses to convert very long digit strings; 20 characters hold every 64-bit integer.
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise InvalidEntryError(f"the integer {digits[:30]} does not fit 64 bits")


checksum = zlib.crc32
"""CRC-32 of a whole line, newline included: 0 … 2^32-1."""
