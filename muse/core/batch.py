"""A batch: entries that were checked, and the lines they become."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import BytesIO

import orjson

from muse.core.entry.codec import (
    check_length,
    checksum,
    decode_line,
    decode_plain_lines,
    encode_entry,
    encode_valid_entries,
    strip_padding,
)
from muse.core.entry.columns import Columns, columns_of
from muse.core.entry.model import OpEntry, op_id_bytes
from muse.core.errors import DamagedLineError, InvalidEntryError, LimitExceededError

Refuse = Callable[[bytes, InvalidEntryError], None]
"""What to do about an entry that can't be taken: its op_id and why. If this returns, the entry is passed over."""


def raise_it(_op_id: bytes, error: InvalidEntryError) -> None:
    """Refuse an entry, and with it all that was to be written together."""
    raise error


class Batch:
    """Entries that may be written: checked, field by field, and as the lines they become one after the other."""

    def __init__(self, columns: Columns, lines: Iterable[bytes]) -> None:
        """Each line is copied as it comes: to keep the encoder's own bytes would cost a page fault for each."""
        self.columns = columns
        self.lengths: list[int] = []
        self.checksums: list[int] = []
        self.data = bytearray()
        add_length, add_checksum, data = self.lengths.append, self.checksums.append, self.data
        for line in lines:
            add_length(len(line))
            add_checksum(checksum(line))
            data += line

    @classmethod
    def of_entries(cls, entries: Sequence[OpEntry], max_line_bytes: int) -> Batch:
        """A batch of entries; raises as `encode_entry`."""
        columns = columns_of(entries)
        with suppress(InvalidEntryError, TypeError):
            if columns is not None:
                batch = cls(columns, encode_valid_entries(entries))
                if max(batch.lengths, default=0) <= max_line_bytes:
                    return batch
        # One of them is refused: by itself it says why.
        for entry in entries:
            encode_entry(entry, max_line_bytes)
        raise AssertionError("a batch was refused, and each of its entries is valid")

    @classmethod
    def of_lines(cls, lines: Iterable[bytes], max_line_bytes: int, refuse: Refuse = raise_it) -> Batch:
        """A batch of valid lines of another log: the same bytes, but for what surrounds the object."""
        stripped = []
        for line in map(strip_padding, lines):
            try:
                check_length(line, max_line_bytes)
            except LimitExceededError as error:
                refuse(op_id_bytes(orjson.loads(line)["op_id"]), error)
            else:
                stripped.append(line)
        columns = columns_of(list(map(orjson.loads, stripped)))
        if columns is None:
            raise AssertionError("a line of a log's entry is not valid")
        return cls(columns, stripped)

    @classmethod
    def of_foreign_lines(cls, lines: Sequence[bytes], max_line_bytes: int, refuse: Refuse) -> Batch:
        """A batch of lines from anywhere, each ended by its newline; what is no entry is refused, without an op_id."""
        columns = decode_plain_lines(lines)
        if columns is not None and max(map(len, lines), default=0) <= max_line_bytes:
            return cls(columns, lines)
        valid = []
        for line in lines:
            try:
                if decode_line(line) is not None:
                    valid.append(line)
            except DamagedLineError as error:
                refuse(b"", InvalidEntryError(str(error)))
        return cls.of_lines(valid, max_line_bytes, refuse)

    def __len__(self) -> int:
        return len(self.lengths)

    def lines(self) -> list[bytes]:
        """The line of each entry."""
        return BytesIO(self.data).readlines()
