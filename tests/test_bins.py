"""Bins: each number counted in one of them, whatever the range turns out to be."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from muse.bins import Bins

NEAR, FAR = st.integers(-9, 99), st.integers(-(1 << 50), 1 << 50)
NUMBERS = st.lists(NEAR, min_size=1) | st.lists(NEAR | FAR, min_size=1)


@given(numbers=NUMBERS, most_bins=st.integers(2, 200), most_counts=st.integers(1, 9))
def test_each_number_is_counted_in_the_bin_it_falls_into(numbers: list[int], most_bins: int, most_counts: int) -> None:
    """Any numbers, in any order, land where a second pass that knows the width would put them, within both limits."""
    bins: Bins[str] = Bins(most_bins, most_counts)
    for at, number in enumerate(numbers):
        bins.add(number, "abc"[at % 3])
    places = [number // bins.width for number in numbers]
    first, last = min(places), max(places)

    expected = Counter(("abc"[at % 3], place) for at, place in enumerate(places))
    assert {(name, place): count for name, run in bins.runs() for place, count in run} == expected
    assert bins.start() == first * bins.width
    for name in "abc":
        assert list(bins.counts(name)) == [expected[name, place] for place in range(first, last + 1)]
    assert last - first < most_bins
    # Neither one bin nor those on both sides of 0 can be joined.
    assert len(expected) <= most_counts or first == last or (first, last) == (-1, 0)


@given(NUMBERS, st.integers(2, 70))
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
