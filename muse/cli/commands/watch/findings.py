"""Problems found while a session is watched.

There are two kinds: states, which may end again (a torn tail, a damaged checkpoint), and events (a damaged line
arrived, the index was rebuilt). An event that happens again is shown once, with a count.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

_MOST_KEPT = 100


class Findings:
    """The findings of one watch, each one line of text."""

    def __init__(self, clock: Callable[[], str]) -> None:
        """`clock` returns the time of day as text."""
        self._clock = clock
        self._events: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._states: dict[str, str] = {}

    def add_event(self, what: str) -> None:
        """Add an event."""
        times, _ = self._events.pop(what, (0, ""))
        self._events[what] = (times + 1, self._clock())
        while len(self._events) > _MOST_KEPT:
            self._events.popitem(last=False)

    def set_state(self, kind: str, what: str | None) -> None:
        """Set the state of `kind`: what is wrong with it now, or None if nothing is."""
        if what is None:
            self._states.pop(kind, None)
        else:
            self._states[kind] = what

    def lines(self) -> list[str]:
        """All events, the latest last, then all current states."""
        events = [
            f"{at} {what}{f' ({times} times)' if times > 1 else ''}" for what, (times, at) in self._events.items()
        ]
        return events + [f"now {what}" for what in self._states.values()]
