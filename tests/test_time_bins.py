"""Bins over wall time: each event in one of them, whatever the span turns out to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from muse.core.op_log import parse_time
from muse.time_bins import MAX_BINS, TimeBins

MOMENTS = st.datetimes(timezones=st.timezones() | st.just(UTC))


@given(st.lists(st.tuples(MOMENTS, st.sampled_from("ab")), min_size=1))
def test_each_event_is_counted_in_the_bin_its_time_falls_into(events: list[tuple[datetime, str]]) -> None:
    """Any moments, in any order, land where a second pass that knows the width would put them."""
    bins = TimeBins()
    for moment, name in events:
        bins.add(moment, name)
    epoch, width = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=bins.width_ms)
    numbers = [((moment - epoch) // width, name) for moment, name in events]
    first, last = min(numbers)[0], max(numbers)[0]

    for name in "ab":
        expected = [numbers.count((number, name)) for number in range(first, last + 1)]
        assert list(bins.counts(name)) == expected
    assert last - first < MAX_BINS


@given(st.lists(MOMENTS, min_size=1))
def test_bins_are_as_narrow_as_the_limit_allows(moments: list[datetime]) -> None:
    """At half the width there would be too many."""
    bins = TimeBins()
    for moment in moments:
        bins.add(moment, "all")

    if bins.width_ms > 1:
        half = timedelta(milliseconds=bins.width_ms / 2)
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        assert (max(moments) - epoch) // half - (min(moments) - epoch) // half >= MAX_BINS


def test_nothing_counted_has_no_bins() -> None:
    """No start, no counts."""
    assert (TimeBins().start(), TimeBins().counts("all")) == (None, ())


def test_name_that_never_came_has_empty_bins() -> None:
    """As many as the others have."""
    bins = TimeBins()
    bins.add(datetime(2026, 1, 1, tzinfo=UTC), "all")

    assert bins.counts("other") == (0,)
    assert bins.start() == datetime(2026, 1, 1, tzinfo=UTC)


def test_text_that_is_no_time_is_none() -> None:
    """A time without a zone is taken for UTC."""
    assert parse_time("2026-01-02T03:04:05") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert parse_time("2026-01-02T03:04:05+01:00") == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert [parse_time(text) for text in ("", "yesterday", "2026-13-01", "\x00", "1e9")] == [None] * 5
