"""How `watch` counts arrivals over time: pure values, with times given."""

from __future__ import annotations

import random

import pytest

from muse.cli.commands.watch.rates import Rates


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_those_of_a_list_of_all_arrivals(seed: int) -> None:
    """At any time and for both windows: a plain count over every arrival, by whole seconds."""
    order = random.Random(seed)
    rates = Rates(50.0)
    arrived: list[tuple[int, str]] = []
    now_s = 50.0
    for _ in range(300):
        now_s += order.random()
        actor_id = order.choice(["ada", "bob", "eve"])
        rates.add([actor_id], now_s)
        arrived.append((int(now_s - 50), actor_id))
        for window_s in (10, 60):
            second = int(now_s - 50)
            expected = [name for at, name in arrived if second - window_s <= at < second]
            assert rates.counts(now_s, window_s).total() == len(expected)
            assert rates.counts(now_s, window_s)["ada"] == expected.count("ada")
        parts = rates.history("ada", now_s, 20)
        assert len(parts) == 20
        assert sum(parts) == rates.counts(now_s)["ada"]


def test_a_rate_is_over_no_more_than_the_time_that_was_watched() -> None:
    """After 4 seconds, 20 arrivals are 5 a second in either window; after 30 they are 2 in the short one."""
    rates = Rates(0.0)

    assert [rates.per_second(20, 4.2, window_s) for window_s in (10, 60)] == [5.0, 5.0]
    assert rates.per_second(20, 30.0, 10) == 2.0
    assert rates.per_second(0, 0.0, 10) == 0.0


def test_history_has_the_newest_part_last() -> None:
    """Ten seconds ago and just now are the fourth part from the end and the last."""
    rates = Rates(0.0)
    rates.add(["ada"] * 2, 90.0)
    rates.add(["ada"] * 3, 99.0)

    assert rates.history("ada", 100.0, 20) == [0] * 16 + [2, 0, 0, 3]
