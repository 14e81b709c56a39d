"""Bins: each number counted in one of them, whatever the range turns out to be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from muse.bins import Bins

NUMBERS = st.integers(-(1 << 50), 1 << 50) | st.integers(-9, 99)
EVENTS = st.lists(st.tuples(NUMBERS, st.sampled_from("ab")), min_size=1)


@given(events=EVENTS, most_bins=st.integers(2, 70), most_counts=st.integers(4, 70))
def test_each_number_is_counted_in_the_bin_it_falls_into(
    events: list[tuple[int, str]], most_bins: int, most_counts: int
) -> None:
    """Any numbers, in any order, land where a second pass that knows the width would put them, within both limits."""
    bins: Bins[str] = Bins(most_bins, most_counts)
    for number, name in events:
        bins.add(number, name)
    places = [number // bins.width for number, _ in events]
    first, last = min(places), max(places)

    expected = Counter((name, place) for (_, name), place in zip(events, places, strict=True))
    assert {(name, place): count for name, run in bins.runs() for place, count in run} == expected
    assert bins.start() == first * bins.width
    for name in "ab":
        assert list(bins.counts(name)) == [expected[name, place] for place in range(first, last + 1)]
    assert last - first < most_bins
    assert len(expected) <= most_counts


@given(st.lists(NUMBERS, min_size=1), st.integers(2, 70))
def test_bins_are_as_narrow_as_the_limit_allows(numbers: list[int], most_bins: int) -> None:
    """At half the width there would be too many."""
    bins: Bins[str] = Bins(most_bins)
    for number in numbers:
        bins.add(number, "all")

    half = bins.width // 2
    assert half == 0 or max(numbers) // half - min(numbers) // half >= most_bins


def test_nothing_counted_has_no_bins() -> None:
    """No start, no counts."""
    assert (Bins[str](9).start(), Bins[str](9).counts("all"), list(Bins[str](9).runs())) == (None, (), [])
