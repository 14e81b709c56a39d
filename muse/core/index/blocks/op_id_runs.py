"""Op_id runs: in which segment an op_id stands, and what consecutive segments hold in sum.

A run covers consecutive segments. It holds a key for each op_id in them, sorted (muse/core/index/blocks/op_id_keys.py).
Four runs of one size become one of the next, as in an LSM tree (O'Neil et al., 1996), so no fold touches pages all
over the file, however large the log. A key leads to a segment, where the whole op_id is looked for; so keys may be
alike by chance.

A small run's keys are one block, which is held in memory as a set. A large run's keys lie in pages of some hundred,
and its block is the first key of each. Before these pages lies a Bloom filter, in parts that are loaded when they are
first needed: four bits for each key, among at least twelve, say if an op_id may be there. (docs/format.md, "Runs")
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import compress, groupby, repeat
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from operator import itemgetter

from muse.core.index.blocks.op_id_keys import (
    HASH_BITS,
    SEGMENT_BITS,
    SEGMENT_MASK,
    as_number,
    from_number,
    hashes_in,
    repeated,
)
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

_FILTER_BITS_PER_KEY = 12
_PART_BITS = 18
"""A part of a filter has at most 2 to the power of this many bits: 32 KiB, loaded in some 30 µs."""


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
            load_block: loads the keys, or the first key of each page.
            load_page: loads a page of keys, or a part of the filter.
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
    def _block(self) -> array[int]:
        """All keys of a small run, the first key of each page of a large one."""
        return array("Q", self._load_block(self))

    @cached_property
    def hashes(self) -> frozenset[int]:
        """The hashes of all op_ids; of a small run."""
        return frozenset(hashes_in(self._block))

    @cached_property
    def filter(self) -> Filter:
        """Tells which op_ids may be there; of a large run."""
        return Filter(self.summary.entries, partial(self._load_page, self))

    def all_keys(self) -> array[int]:
        """Every key, sorted."""
        return self.keys_between(0, 1 << 64)

    def keys_between(self, low: int, high: int) -> array[int]:
        """The keys from `low` up to below `high`, sorted."""
        keys = self._block
        if self.is_filtered:
            pages = range(max(bisect_right(keys, low) - 1, 0), bisect_left(keys, high))
            keys = array("Q", b"".join([self._load_page(self, self.filter.parts + page) for page in pages]))
        return keys[bisect_left(keys, low) : bisect_left(keys, high)]

    def segments_with(self, hashed: int) -> list[int]:
        """The numbers of the segments in which an op_id with this hash stands."""
        low, high = hashed << SEGMENT_BITS, (hashed << SEGMENT_BITS) | SEGMENT_MASK
        if self.is_filtered and hashed not in self.filter:
            return []
        return [key & SEGMENT_MASK for key in self.keys_between(low, high + 1)]


class Filter:
    """The Bloom filter of a large run: which op_ids may be in it. Its parts are loaded when they are first needed.

    All bits are 1 but for four of each key: so a part that is not loaded yet, all zeros, lets everything through. The
    upper bits of a hash are the number of its first bit. The others are in the same part: at the place that the lowest
    bits of the hash say, and at the two places combined by XOR, whole and with the second shifted by a bit. The first
    bit of a byte is its highest.
    """

    def __init__(self, entries: int, load: Callable[[int], bytes]) -> None:
        """Of a run of so many entries; `load` gives a part."""
        bits, part_bits = _filter_bits(entries)
        # Memory that takes no time, nor room, before it is used.
        self.bits = mmap(-1, 1 << bits - 3, MAP_PRIVATE | MAP_ANONYMOUS)
        self.shift = HASH_BITS - bits
        """A hash, shifted to the right by so much, is the number of its first bit."""
        self._mask = (1 << part_bits) - 1
        self._part_bits = part_bits
        self._load = load
        self.parts = 1 << bits - part_bits
        self._missing = set(range(self.parts))

    def load(self, parts: Iterable[int] | None = None) -> None:
        """Load these parts, or all that are not loaded yet."""
        for part in sorted(self._missing) if parts is None else parts:
            loaded = self._load(part)
            self.bits[part * len(loaded) : (part + 1) * len(loaded)] = loaded
            self._missing.discard(part)

    def __contains__(self, hashed: int) -> bool:
        """Whether an op_id with this hash may be there."""
        first, low = hashed >> self.shift, hashed & self._mask
        if self._missing and first >> self._part_bits in self._missing:
            self.load([first >> self._part_bits])
        bits, second, third, fourth = self.bits, first & ~self._mask | low, first ^ low, first ^ low >> 1
        return not (
            bits[first >> 3] & 128 >> (first & 7)
            or bits[second >> 3] & 128 >> (second & 7)
            or bits[third >> 3] & 128 >> (third & 7)
            or bits[fourth >> 3] & 128 >> (fourth & 7)
        )


def _filter_bits(entries: int) -> tuple[int, int]:
    """Of how many bits the filter of so many entries is, and each part of it, as powers of two."""
    bits = max((_FILTER_BITS_PER_KEY * entries).bit_length(), 3)
    return bits, min(bits, _PART_BITS)


def _filter_parts(keys: array[int], entries: int) -> Iterator[bytes]:
    bits, part_bits = _filter_bits(entries)
    zeros = repeat(ord("0"))
    start = 0
    for part in range(1, (1 << bits - part_bits) + 1):
        end = bisect_left(keys, part << 64 - bits + part_bits)
        count = end - start
        together, mask = as_number(keys[start:end]), (1 << part_bits) - 1
        first, second = (together >> by & repeated(mask, count) for by in (64 - bits, SEGMENT_BITS))
        half = second >> 1 & repeated(mask >> 1, count)
        # As digits, since Python makes a number of them, and bytes of that, faster than it changes a bit.
        digits = bytearray(b"1") * (1 << part_bits)
        for places in (first, second, first ^ second, first ^ half):
            deque(map(digits.__setitem__, from_number(places, count), zeros), maxlen=0)
        yield int(digits, 2).to_bytes(len(digits) // 8, "big")
        start = end


class Lookup:
    """Tells quickly, and nearly always rightly, which op_ids are not in some runs."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = runs[::-1]

    @cached_property
    def _small(self) -> list[tuple[frozenset[int], Run]]:
        return [(run.hashes, run) for run in self._runs if not run.is_filtered]

    @cached_property
    def _large(self) -> list[tuple[mmap, int, Filter, Run]]:
        large = [(run.filter, run) for run in self._runs if run.is_filtered]
        return [(each.bits, each.shift, each, run) for each, run in large]

    def runs_with(self, hashed: int) -> list[Run]:
        """The runs in which an op_id with this hash may be: hardly another than where it is."""
        found = [run for hashes, run in self._small if hashed in hashes]
        for bits, shift, each, run in self._large:
            first = hashed >> shift
            # Few get past the first bit.
            if not bits[first >> 3] & 128 >> (first & 7) and hashed in each:
                found.append(run)
        return found

    def runs_with_any(self, wanted: Collection[int]) -> dict[int, list[Run]]:
        """`runs_with` those of some hashes that may be somewhere."""
        found: dict[int, list[Run]] = {}
        for hashes, run in self._small:
            if not hashes.isdisjoint(wanted):
                for hashed in hashes.intersection(wanted):
                    found.setdefault(hashed, []).append(run)
        # In their order, so that a processor finds what it has just seen.
        asked = sorted(wanted)
        for shift, large in groupby(self._large, itemgetter(1)):
            firsts = [hashed >> shift for hashed in asked]
            places = [first >> 3 for first in firsts]
            masks = int.from_bytes(bytes([128 >> (first & 7) for first in firsts]), "big")
            for bits, _, each, run in large:
                # The first bits of all at once, as one long number.
                ones = int.from_bytes(bytes(map(bits.__getitem__, places)), "big") & masks
                for hashed in compress(asked, (ones ^ masks).to_bytes(len(asked), "big")):
                    if hashed in each:
                        found.setdefault(hashed, []).append(run)
        return found


def block_of(keys: array[int], segments: int, entries: int) -> tuple[bytes, list[bytes]]:
    """The block of a run with these keys, and its pages."""
    packed = keys.tobytes()
    if segments < FILTERED_SEGMENTS:
        return packed, []
    pages = [packed[at : at + 8 * PAGE_KEYS] for at in range(0, len(packed), 8 * PAGE_KEYS)]
    return keys[::PAGE_KEYS].tobytes(), [*_filter_parts(keys, entries), *pages]


def runs_to_merge(sizes: Sequence[int]) -> int:
    """How many of the last runs become one, given how many segments each covers; 0 if none do."""
    last = sizes[-FAN_OUT:]
    return FAN_OUT if len(last) == FAN_OUT and last[0] < MAX_RUN_SEGMENTS and len(set(last)) == 1 else 0


def merged_keys(parts: Sequence[Sequence[int]]) -> array[int]:
    """Several times sorted keys, as one."""
    keys: list[int] = []
    for part in parts:
        keys += part
    # Sorted stretches are what Python's sort takes advantage of.
    keys.sort()
    return array("Q", keys)


_KEYS_AT_ONCE = 1 << 16
"""So many are searched for equal hashes at once, roughly: they fit into a processor's cache."""


def equal_hashes(runs: Sequence[Run]) -> Iterator[list[list[int]]]:
    """The keys of some runs that have a hash in common, for each such hash; by and by, as they are looked for."""
    bits = (sum(run.summary.entries for run in runs) // _KEYS_AT_ONCE).bit_length()
    for part in range(1 << bits):
        low, high = (each << 64 - bits for each in (part, part + 1))
        keys = array("Q")
        for run in runs:
            keys += run.keys_between(low, high)
        if len(set(hashes_in(keys))) < len(keys):
            groups = [list(group) for _, group in groupby(sorted(keys), lambda key: key >> SEGMENT_BITS)]
            yield [group for group in groups if len(group) > 1]
        else:
            yield []


def merged_summary(parts: Sequence[Summary]) -> Summary:
    """The summary of lines that follow each other."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return first
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
