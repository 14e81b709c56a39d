"""What a sweep is: numbered cases over one kind of damage, and the verdicts on a case."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

FINE = ""
"""What a case says when all is as it should be."""
REFUSED = "(refused)"
"""What a case says when the damage was answered with the library's own error, and nothing wrong was said."""


class Wrong(AssertionError):  # noqa: N818 - a verdict on the engine
    """The engine gave a wrong answer."""


def must(holds: object, what: str) -> None:
    """Raise `Wrong` if the claim does not hold."""
    if not holds:
        raise Wrong(what)


class Sweep:
    """Numbered cases over one kind of damage; `attempt` tries one in a folder of its own."""

    stride: ClassVar[int] = 1
    """The default suite tries each case whose number is a multiple of this."""

    def __len__(self) -> int:
        raise NotImplementedError

    def attempt(self, number: int, repo: Path) -> str:
        """Try one case; FINE or REFUSED, else raises."""
        raise NotImplementedError
