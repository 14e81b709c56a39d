"""Rates of the actors: arrivals counted in each second of the last minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

MINUTE_S = 60


class Rates:
    """Counts arrivals in whole seconds since `began_s`, and drops counts older than a minute.

    A rate covers only completed seconds, because the current second would always look slow. The caller passes all
    times, in seconds of a monotonic clock.
    """

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._seconds: dict[int, Counter[str]] = {}

    def add(self, actor_ids: Iterable[str], now_s: float) -> None:
        """Count one arrival for each actor named, at `now_s`."""
        second = self._second(now_s)
        self._seconds.setdefault(second, Counter()).update(actor_ids)
        for old in [each for each in self._seconds if each < second - MINUTE_S]:
            del self._seconds[old]

    def counts(self, now_s: float, window_s: int = MINUTE_S) -> Counter[str]:
        """The arrivals of each actor in the last `window_s` completed seconds."""
        now = self._second(now_s)
        found: Counter[str] = Counter()
        for second, counts in self._seconds.items():
            if now - window_s <= second < now:
                found.update(counts)
        return found

    def per_second(self, count: int, now_s: float, window_s: int) -> float:
        """Convert a count over `window_s` seconds to a rate, leaving out seconds before counting began."""
        return count / max(1, min(window_s, self._second(now_s)))

    def history(self, actor_id: str, now_s: float, parts: int) -> list[int]:
        """An actor's arrivals in the last minute, in `parts` equal parts, the oldest first; `parts` must divide 60."""
        now = self._second(now_s)
        length_s = MINUTE_S // parts
        found = [0] * parts
        for second, counts in self._seconds.items():
            if now - MINUTE_S <= second < now:
                found[(second - now + MINUTE_S) // length_s] += counts[actor_id]
        return found

    def _second(self, now_s: float) -> int:
        return int(now_s - self._began_s)
