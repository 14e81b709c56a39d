"""Checks of the arguments of public calls."""

from __future__ import annotations

import math

from muse.core.entry import find_unencodable
from muse.core.errors import InvalidArgumentError


def check_name(argument: str, value: object) -> None:
    """Raise `InvalidArgumentError` where `value` is no text that an entry could hold."""
    if not isinstance(value, str) or (not value.isascii() and find_unencodable(value)):
        raise InvalidArgumentError(f"{argument}: must be text in UTF-8, not {value!r}")


def check_number(argument: str, value: object, *, lowest: int | None = None, highest: int | None = None) -> None:
    """Raise `InvalidArgumentError` where `value` is no integer, or outside the bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"{argument}: must be an integer, not {value!r}")
    if lowest is not None and value < lowest:
        raise InvalidArgumentError(f"{argument}: must be at least {lowest}, not {value}")
    if highest is not None and value > highest:
        raise InvalidArgumentError(f"{argument}: must be at most {highest}, not {value}")


def check_seconds(argument: str, value: object) -> None:
    """Raise `InvalidArgumentError` where `value` is no span of time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value < 0:
        raise InvalidArgumentError(f"{argument}: must be a number of seconds, 0 or more, not {value!r}")
