"""Op_id runs: in which segment an op_id stands, and what consecutive segments hold in sum.

A run covers consecutive segments. It holds a key for each op_id in them, sorted: the op_id's two halves combined by
XOR, of which the upper 40 bits count, and the number of the segment in the lower 24. Four runs of one size become one
of the next, as in an LSM tree (O'Neil et al., 1996), so no fold touches pages all over the file, however large the
log. A key leads to a segment, where the whole op_id is looked for; so keys may be alike, by chance or by design.

A small run's keys are one block, which is held in memory as a set. A large run's keys lie in pages of some hundred,
and its block is a filter: two bits for each key, among at least twelve, say if an op_id may be there; and the first
key of each page. (docs/format.md, "Runs")
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from itertools import repeat

from muse.core.index.blocks.segment import Summary, as_json
from muse.core.storage.lines import ROLES

FAN_OUT = 4
"""So many runs of one size become one of the next."""

MAX_RUN_SEGMENTS = FAN_OUT**5
"""A run of so many segments is not merged any further, so that no merge takes long."""

FILTERED_SEGMENTS = FAN_OUT**2
"""From so many segments on a run's keys lie in pages behind a filter."""

PAGE_KEYS = 120
"""Keys of a page: with its row's other columns they fill one page of SQLite's."""

MAX_RUN_NAMES = 4096
"""If there are more names of one role in a run, or more segments with parents, they are not listed in its summary."""

_SEGMENT_BITS = 24
_SEGMENT_MASK = (1 << _SEGMENT_BITS) - 1
_HASH_MASK = (1 << 64) - 1 - _SEGMENT_MASK
_HASH_BITS = 40
_FILTER_BITS_PER_KEY = 12
_FILTER_HEAD = struct.Struct("=I")

Filter = tuple[bytes, int, int]


def hash_of(op_id: bytes) -> int:
    """The 40 bits of an op_id by which it is looked for."""
    number = int.from_bytes(op_id, sys.byteorder)
    return ((number ^ number >> 64) & 0xFFFFFFFFFFFFFFFF) >> _SEGMENT_BITS


def hashes_of(op_ids: bytes) -> list[int]:
    """`hash_of` each of some op_ids, 16 bytes each."""
    return [each >> _SEGMENT_BITS for each in array("Q", _combined(op_ids).to_bytes(len(op_ids) // 2, sys.byteorder))]


def keys_of(op_ids: bytes, number: int) -> array[int]:
    """The keys of segment `number`, sorted; `op_ids` are 16 bytes each."""
    size = len(op_ids) // 2
    masks, numbers = ((each).to_bytes(8, sys.byteorder) * (size // 8) for each in (_HASH_MASK, number))
    keys = _combined(op_ids) & int.from_bytes(masks, sys.byteorder) | int.from_bytes(numbers, sys.byteorder)
    # Twice the same key says no more than once.
    return array("Q", sorted(set(array("Q", keys.to_bytes(size, sys.byteorder)))))


def _combined(op_ids: bytes) -> int:
    """The two halves of each op_id, combined by XOR, eight bytes each: of all at once, as long numbers."""
    halves = array("Q", op_ids)
    one, other = halves[::2].tobytes(), halves[1::2].tobytes()
    return int.from_bytes(one, sys.byteorder) ^ int.from_bytes(other, sys.byteorder)


class Run:
    """One run, loaded as far as somebody has looked. Immutable."""

    def __init__(
        self,
        first_segment: int,
        summary: Summary,
        directory: bytes,
        load_block: Callable[[Run], bytes],
        load_page: Callable[[Run, int], bytes],
    ) -> None:
        """What is loaded was held against its checksum already.

        Args:
            first_segment: the number of the first segment it covers.
            summary: of all its segments.
            directory: the byte offsets at which they begin, 8 bytes each, and the checksums of their rows, 4 each.
            load_block: loads the keys, or filter and first keys.
            load_page: loads a page of keys.
        """
        segments = len(directory) // 12
        self.first_segment = first_segment
        self.end_segment = first_segment + segments
        self.summary = summary
        self.first_offsets = array("Q", directory[: 8 * segments])
        self.segment_checksums = array("I", directory[8 * segments :])
        self._load_block = load_block
        self._load_page = load_page

    @property
    def segments(self) -> int:
        """How many segments it covers."""
        return len(self.first_offsets)

    @property
    def is_filtered(self) -> bool:
        """Whether its keys lie in pages behind a filter."""
        return self.segments >= FILTERED_SEGMENTS

    def segment_at(self, byte_offset: int) -> int:
        """The number of the segment in which a byte of the log lies."""
        return self.first_segment + bisect_right(self.first_offsets, byte_offset) - 1

    @cached_property
    def _block(self) -> bytes:
        return self._load_block(self)

    @cached_property
    def _first_keys(self) -> array[int]:
        """The first key of each page."""
        (pages,) = _FILTER_HEAD.unpack_from(self._block)
        at = _FILTER_HEAD.size
        return array("Q", self._block[at : at + 8 * pages])

    @cached_property
    def _keys(self) -> array[int]:
        """All keys of a small run."""
        return array("Q", self._block)

    @cached_property
    def hashes(self) -> frozenset[int]:
        """The hashes of all op_ids; of a small run."""
        return frozenset([key >> _SEGMENT_BITS for key in self._keys])

    @cached_property
    def filter(self) -> Filter:
        """(bits, how far to shift a hash for the first bit, mask for the second); of a large run."""
        bits = self._block[_FILTER_HEAD.size + 8 * self.pages() :]
        size = 8 * len(bits)
        return bits, _HASH_BITS - _log2(size), size - 1

    def pages(self) -> int:
        """How many pages of keys it has."""
        return len(self._first_keys) if self.is_filtered else 0

    def all_keys(self) -> array[int]:
        """Every key, sorted."""
        if not self.is_filtered:
            return self._keys
        return array("Q", b"".join([self._load_page(self, page) for page in range(self.pages())]))

    def segments_with(self, hashed: int) -> list[int]:
        """The numbers of the segments in which an op_id with this hash stands."""
        low, high = hashed << _SEGMENT_BITS, (hashed << _SEGMENT_BITS) | _SEGMENT_MASK
        if not self.is_filtered:
            return _segments_between(self._keys, low, high)
        found = []
        page = max(bisect_right(self._first_keys, low) - 1, 0)
        while page < self.pages() and self._first_keys[page] <= high:
            found += _segments_between(array("Q", self._load_page(self, page)), low, high)
            page += 1
        return found


class Lookup:
    """Finds out in which segments of some runs an op_id may stand."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._small = [(run.hashes, run) for run in reversed(runs) if not run.is_filtered]
        self._large = [(run.filter, run) for run in reversed(runs) if run.is_filtered]

    def segments_with(self, hashed: int) -> list[int]:
        """The numbers of the segments in which an op_id with this hash stands."""
        found = []
        for hashes, run in self._small:
            if hashed in hashes:
                found += run.segments_with(hashed)
        for (bits, top, mask), run in self._large:
            if bits[hashed >> top >> 3] & 128 >> (hashed >> top & 7) and bits[(hashed & mask) >> 3] & 128 >> (
                hashed & 7
            ):
                found += run.segments_with(hashed)
        return found

    def those_there(self, wanted: Collection[int]) -> set[int]:
        """Those of some hashes that may be there: all that are, and hardly another."""
        found: set[int] = set()
        for hashes, _ in self._small:
            if not hashes.isdisjoint(wanted):
                found |= hashes.intersection(wanted)
        for (bits, top, mask), _ in self._large:
            found.update(
                [
                    each
                    for each in wanted
                    if bits[each >> top >> 3] & 128 >> (each >> top & 7)
                    and bits[(each & mask) >> 3] & 128 >> (each & 7)
                ]
            )
        return found


def _segments_between(keys: array[int], low: int, high: int) -> list[int]:
    start = bisect_left(keys, low)
    if start == len(keys) or keys[start] > high:
        return []
    return [key & _SEGMENT_MASK for key in keys[start : bisect_right(keys, high)]]


def block_of(keys: array[int], segments: int) -> tuple[bytes, list[bytes]]:
    """The block of a run with these keys, and its pages."""
    if segments < FILTERED_SEGMENTS:
        return keys.tobytes(), []
    packed = keys.tobytes()
    pages = [packed[at : at + 8 * PAGE_KEYS] for at in range(0, len(packed), 8 * PAGE_KEYS)]
    return _FILTER_HEAD.pack(len(pages)) + keys[::PAGE_KEYS].tobytes() + _filter_of(keys), pages


def _filter_of(keys: array[int]) -> bytes:
    """A bit for the highest bits of each hash and one for its lowest, the first bit of a byte being its highest."""
    size = max(1 << (_FILTER_BITS_PER_KEY * len(keys)).bit_length(), 8)
    top, mask = _SEGMENT_BITS + _HASH_BITS - _log2(size), size - 1
    # As digits, since Python makes a number of them, and bytes of that, faster than it sets a bit.
    digits = bytearray(b"0") * size
    set_digit = digits.__setitem__
    deque(map(set_digit, [key >> top for key in keys], repeat(ord("1"))), maxlen=0)
    deque(map(set_digit, [key >> _SEGMENT_BITS & mask for key in keys], repeat(ord("1"))), maxlen=0)
    return int(digits, 2).to_bytes(size // 8, "big")


def _log2(power: int) -> int:
    return power.bit_length() - 1


def runs_to_merge(sizes: Sequence[int]) -> int:
    """How many of the last runs become one, given how many segments each covers; 0 if none do."""
    last = sizes[-FAN_OUT:]
    return FAN_OUT if len(last) == FAN_OUT and last[0] < MAX_RUN_SEGMENTS and len(set(last)) == 1 else 0


def merged_keys(runs: Sequence[Run]) -> array[int]:
    """The keys of several runs, sorted."""
    keys: list[int] = []
    for run in runs:
        keys += run.all_keys()
    # Sorted stretches are what Python's sort takes advantage of.
    keys.sort()
    return array("Q", keys)


def merged_summary(parts: Sequence[Summary]) -> Summary:
    """The summary of lines that follow each other."""
    first, last = parts[0], parts[-1]
    parents = [part.parents_in() for part in parts]
    listed = set().union(*(each for each in parents if each is not None))
    actors, domains, intents, reservations = (_merged_names([part.names(role) for part in parts]) for role in ROLES)
    return first._replace(
        end_offset=last.end_offset,
        lines=sum(part.lines for part in parts),
        entries=sum(part.entries for part in parts),
        lowest_lamport_ts=min((low for part in parts if (low := part.lowest_lamport_ts) is not None), default=None),
        highest_lamport_ts=max((high for part in parts if (high := part.highest_lamport_ts) is not None), default=None),
        actors=actors,
        domains=domains,
        intents=intents,
        reservations=reservations,
        parent_segments=None if None in parents or len(listed) > MAX_RUN_NAMES else as_json(sorted(listed)),
        unresolved_links=sum(part.unresolved_links for part in parts),
    )


def _merged_names(each: Sequence[dict[str, int] | None]) -> str | None:
    total: Counter[str] = Counter()
    for names in each:
        if names is None:
            return None
        total.update(names)
    return as_json(total) if len(total) <= MAX_RUN_NAMES else None
