"""What is noticed to be wrong while a session is watched.

Some of it holds for as long as it holds (a torn tail, a damaged checkpoint), some happened once (a
damaged line came, the index was rebuilt). Told again, the same thing is counted and not repeated.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MOST_KEPT = 100


class Findings:
    """The findings of one watch; each is a line of text."""

    def __init__(self, clock: Callable[[], str]) -> None:
        """`clock` gives the time of day as it is shown."""
        self._clock = clock
        self._events: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._holding: dict[str, str] = {}

    def happened(self, what: str) -> None:
        """Something was noticed once."""
        times, _ = self._events.pop(what, (0, ""))
        self._events[what] = (times + 1, self._clock())
        while len(self._events) > _MOST_KEPT:
            self._events.popitem(last=False)

    def holds(self, kind: str, what: str | None) -> None:
        """How it stands with `kind` now; None where nothing is wrong with it."""
        if what is None:
            self._holding.pop(kind, None)
        else:
            self._holding[kind] = what

    def lines(self) -> list[str]:
        """What happened, the latest last, and then what is wrong now."""
        events = [
            f"{at} {what}{f' ({times} times)' if times > 1 else ''}" for what, (times, at) in self._events.items()
        ]
        return events + [f"now {what}" for what in self._holding.values()]


class _Listener(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record.getMessage())


@contextmanager
def engine_heard(hear: Callable[[str], None]) -> Iterator[None]:
    """Hear what the engine logs (that it rebuilds an index, or keeps one in memory) instead of printing it."""
    logger = logging.getLogger("muse")
    before = logger.handlers[:]
    logger.handlers[:] = [_Listener(hear)]
    try:
        yield
    finally:
        logger.handlers[:] = before
